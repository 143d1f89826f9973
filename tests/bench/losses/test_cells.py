import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bench.api import Draws
from bench.losses.cells import draw_cells, joint_cells, mask_on_grid, read_cells, read_points


def pyramid(n=2, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = [(3, side), (4, side // 2), (5, side // 4), (2, side // 8)]
    return [torch.randn(n, c, s, s, generator=generator) for c, s in sizes]


def upsampled(maps):
    size = maps[0].shape[2:]
    more = [F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:]]
    return torch.cat([maps[0], *more], 1)


def test_reading_cells_equals_reading_the_upsampled_map():
    maps = pyramid()
    cells = torch.cartesian_prod(torch.arange(8), torch.arange(8)).expand(2, -1, -1)
    full = upsampled(maps)
    torch.testing.assert_close(read_cells(maps, cells), full.flatten(2).mT)
    assert torch.equal(read_cells(maps[:1], cells), maps[0].flatten(2).mT)


def test_reading_points_equals_bilinear_sampling():
    maps = pyramid()
    pixels = torch.rand(2, 9, 2) * 40 - 4  # also outside of the 32 pixels
    grid = (pixels / 32 * 2 - 1).flip(-1)[:, :, None]
    expected = [
        F.grid_sample(m, grid, padding_mode="border", align_corners=False).squeeze(3).mT for m in maps
    ]
    torch.testing.assert_close(read_points(maps, pixels, 4), torch.cat(expected, 2))


def test_gradient_of_reading_equals_that_of_the_full_map():
    maps = [m.requires_grad_() for m in pyramid()]
    cells = torch.tensor([[[0, 0], [7, 7], [3, 5]], [[2, 2], [2, 2], [6, 1]]])
    flat = (cells[..., 0] * 8 + cells[..., 1])[:, None].expand(-1, 14, -1)
    a = torch.autograd.grad(read_cells(maps, cells).square().sum(), maps)
    b = torch.autograd.grad(upsampled(maps).flatten(2).gather(2, flat).square().sum(), maps)
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y)


def test_joints_are_read_at_floor_of_pixel_over_stride():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    coordinates = torch.stack([rows, columns])[None]
    pixels = torch.tensor([[[0.0, 3.9], [4.0, 31.9], [-5.0, 40.0], [17.2, 8.0]]])
    cells = joint_cells(pixels, 4, (8, 8))
    assert cells.tolist() == [[[0, 0], [1, 7], [0, 7], [4, 2]]]
    assert torch.equal(read_cells([coordinates], cells).long(), cells)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.05, 0.9), st.booleans())
def test_drawn_cells_lie_in_the_mask_and_differ_where_they_can(seed, count, share, replace):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(3, 5, 6, generator=generator) < share
    mask[:, 2, 3] = True
    cells = draw_cells(mask, count, Draws(generator=generator), replace=replace)
    assert cells.shape == (3, count, 2)
    for sample, drawn in zip(mask, cells, strict=True):
        assert sample[drawn[:, 0], drawn[:, 1]].all()
        if not replace and sample.sum() >= count:
            assert len(drawn.unique(dim=0)) == count


@pytest.mark.parametrize("replace", [True, False])
def test_draws_are_uniform(replace):
    mask = torch.zeros(4000, 4, 4, dtype=torch.bool)
    mask[:, 1:3, :3] = True
    cells = draw_cells(mask, 3, Draws(generator=torch.Generator().manual_seed(0)), replace=replace)
    counts = torch.bincount((cells[..., 0] * 4 + cells[..., 1]).flatten(), minlength=16)
    assert (counts[mask[0].flatten()] / 2000 - 1).abs().max() < 0.1


def test_empty_mask_gives_the_first_cell():
    draws = Draws(generator=torch.Generator())
    assert draw_cells(torch.zeros(1, 4, 4, dtype=torch.bool), 3, draws).tolist() == [[[0, 0]] * 3]


def test_mask_shrinks_by_nearest_neighbour():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 4, 0] = mask[0, 3, 3] = True
    assert mask_on_grid(mask, (2, 2)).tolist() == [[[False, False], [True, False]]]
