import math

import pytest
import torch

from bench.api import Draws
from bench.data.augment import affine
from bench.grid.augment_spec import Spec
from bench.losses.views import cell_centres, cell_diagonals, cell_distances, read_view, shared_points

SIZE = (32, 32)
GRID = (4, 4)


def cut(left, top, side, *, flip=False, size=32.0):
    """Map from the stored image to a square part of it, enlarged to `size`, then mirrored."""
    zoom = size / side
    crop = torch.tensor([[zoom, 0, -zoom * left], [0, zoom, -zoom * top], [0, 0, 1]])
    mirror = torch.tensor([[-1.0, 0, size], [0, 1, 0], [0, 0, 1]])
    return (mirror @ crop if flip else crop)[None]


def test_cells_of_the_whole_image_and_of_a_part():
    whole = cell_centres(torch.eye(3)[None], GRID, SIZE)[0]
    assert whole[:5].tolist() == [[4, 4], [12, 4], [20, 4], [28, 4], [4, 12]]
    part = cell_centres(cut(8, 4, 16), GRID, SIZE)[0]
    assert part[[0, 5, 15]].tolist() == [[10, 6], [14, 10], [22, 18]]
    assert cell_diagonals(cut(8, 4, 16), GRID, SIZE).tolist() == pytest.approx([4 * math.sqrt(2)])


def test_mirrored_cells_are_counted_from_the_other_side():
    plain, mirrored = (cell_centres(cut(8, 4, 16, flip=f), GRID, SIZE).view(4, 4, 2) for f in (False, True))
    torch.testing.assert_close(mirrored, plain.flip(1))


def test_neighbours_are_0_7071_of_a_diagonal_apart():
    distances = cell_distances(cut(2, 3, 20), cut(2, 3, 20), GRID, SIZE)[0]
    torch.testing.assert_close(distances.diagonal(), torch.zeros(16))
    others = distances[~torch.eye(16, dtype=torch.bool)]
    assert others.min().item() == pytest.approx(math.sqrt(0.5), rel=1e-5)
    assert torch.equal(distances < 0.7, torch.eye(16, dtype=torch.bool))


def test_a_mirrored_view_meets_the_mirrored_diagonal():
    near = cell_distances(cut(2, 3, 20), cut(2, 3, 20, flip=True), GRID, SIZE)[0] < 0.7
    expected = torch.eye(16, dtype=torch.bool).view(4, 4, 4, 4).flip(3).reshape(16, 16)
    assert torch.equal(near, expected)


def test_elongated_cells_have_near_neighbours():
    near = cell_distances(torch.eye(3)[None], torch.eye(3)[None], (2, 8), SIZE)[0] < 0.7
    assert near[0].nonzero().flatten().tolist() == [0, 1, 2]  # 4 and 8 of 16.5 pixels


def test_the_larger_cell_is_the_unit_and_far_views_have_no_pair():
    small, large = cut(0, 0, 8), cut(0, 0, 32)
    there, back = cell_distances(small, large, GRID, SIZE), cell_distances(large, small, GRID, SIZE)
    torch.testing.assert_close(there, back.mT)
    assert there[0, 0, 0].item() == pytest.approx(math.dist((1, 1), (4, 4)) / (8 * math.sqrt(2)))
    assert (cell_distances(cut(0, 0, 8), cut(24, 24, 8), GRID, SIZE) > 0.7).all()


def test_shared_points_fill_the_intersection():
    points, there = shared_points(cut(0, 0, 16), cut(8, 4, 16, flip=True), SIZE, 2)
    assert there.tolist() == [True]
    assert points[0].tolist() == [[10, 7], [14, 7], [10, 13], [14, 13]]
    both = torch.cat([cut(0, 0, 8), cut(0, 0, 16)])
    points, there = shared_points(both, torch.cat([cut(8, 0, 8), cut(4, 0, 8)]), SIZE, 3)
    assert there.tolist() == [False, True] and points.isfinite().all()


def ramp(crop, grid):
    """Draw a map of a view that holds the x and y of the stored image at each cell."""
    return cell_centres(crop, grid, SIZE).mT.unflatten(2, grid)


def test_two_views_read_the_same_at_the_same_place():
    recipe = Spec(crop_area=(0.3, 1.0), flip=True, rotation=20.0)
    draws = Draws(generator=torch.Generator().manual_seed(0))
    crops = []
    for _ in range(2):
        uniform = draws.rand(50, 9, dtype=torch.float64)
        normal = draws.randn(50, 2, dtype=torch.float64)
        crops.append(affine(recipe, uniform[:, 0] < 0.5, uniform, normal, SIZE).float())
    middle = torch.full((50, 1, 2), 16.0)  # of the stored image
    reads = [read_view(ramp(crop, (8, 8)), middle, crop, SIZE) for crop in crops]
    within = [((crop @ torch.tensor([16.0, 16.0, 1.0]))[:, :2] - 16).abs().amax(1) < 14 for crop in crops]
    both = within[0] & within[1]
    assert both.sum() > 10
    for read in reads:
        torch.testing.assert_close(read[both], middle[both], atol=1e-3, rtol=0)


def test_a_mirrored_view_reads_as_the_unmirrored_one():
    crop, mirrored = cut(4, 6, 20), cut(4, 6, 20, flip=True)
    maps = torch.rand(1, 5, 8, 8)
    points, _ = shared_points(crop, mirrored, SIZE, 16)
    torch.testing.assert_close(
        read_view(maps, points, crop, SIZE), read_view(maps.flip(-1), points, mirrored, SIZE)
    )
