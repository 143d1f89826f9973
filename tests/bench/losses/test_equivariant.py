import math

import pytest
import torch
from torch.nn import functional as F

from bench.api import Draws, seeded
from bench.errors import StepError
from bench.losses.equivariant import aligned_pixels, rounded_cuts
from bench.losses.numerics import l2_normalize, masked_mean
from bench.losses.queue import KeyQueue, queue_contrast

SIZE = (32, 32)
SIDE = 4


def crop(left, top, side, *, mirrored=False):
    """Return the map of a square crop of the stored image, enlarged to `SIZE`."""
    zoom = SIZE[0] / side
    forward = torch.tensor([[zoom, 0.0, -left * zoom], [0.0, zoom, -top * zoom], [0.0, 0.0, 1.0]])
    mirror = torch.tensor([[-1.0, 0.0, SIZE[1]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return (mirror @ forward if mirrored else forward)[None]


def draws(seed=0):
    return Draws(generator=seeded("test", seed))


def maps(seed=0, cells=8, channels=5):
    return torch.randn(1, channels, cells, cells, generator=torch.Generator().manual_seed(seed))


def aligned(pair, crops, wanted=SIDE * SIDE):
    return aligned_pixels(pair, crops, SIZE, SIDE, wanted, draws())


def cuts(pair, crops):
    return (*rounded_cuts(pair, crops, SIZE, SIDE), None)


@pytest.mark.parametrize("read", [aligned, cuts])
def test_equal_views_align_to_equal_pixels(read):
    where = crop(3, 5, 20)
    first, second, _ = read((maps(), maps()), (where, where))
    assert torch.equal(first, second) and first.shape == (1, 16, 5)
    torch.testing.assert_close(first.norm(dim=2), torch.ones(1, 16))


@pytest.mark.parametrize("read", [aligned, cuts])
def test_a_mirrored_view_aligns_to_the_upright_one(read):
    views = (crop(3, 5, 20), crop(3, 5, 20, mirrored=True))
    first, second, _ = read((maps(), maps().flip(-1)), views)
    torch.testing.assert_close(first, second)
    first, second, _ = read((maps(), maps()), views)
    assert not torch.allclose(first, second, atol=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_values_are_those_of_the_place_whatever_the_crops(mirrored):
    """Maps hold where their cells lie; two crops, one half of the other's size, agree at each point."""

    def coordinates(left, top, side, flip):
        centres = (torch.arange(8) + 0.5) / 8 * side
        x = left + (centres.flip(0) if flip else centres)
        rows, columns = torch.meshgrid(top + centres, x, indexing="ij")
        return torch.stack([rows, columns, torch.full_like(rows, 9.0)])[
            None
        ]  # as directions: unit length is taken

    first, second, valid = aligned(
        (coordinates(0, 0, 32, False), coordinates(8, 6, 16, mirrored)),
        (crop(0, 0, 32), crop(8, 6, 16, mirrored=mirrored)),
    )
    assert valid.all()
    torch.testing.assert_close(first, second, atol=0.03, rtol=0)  # the border of the small map is clamped
    torch.testing.assert_close(first[:, [5, 6, 9, 10]], second[:, [5, 6, 9, 10]])
    ratio = first[0, 5] * 9 / first[0, 5, 2]
    torch.testing.assert_close(ratio[:2], torch.tensor([6 + 6.0, 8 + 6.0]))


def test_disjoint_views_contribute_nothing():
    views = tuple(
        torch.cat(c) for c in ((crop(0, 0, 12), crop(0, 0, 32)), (crop(20, 20, 12), crop(2, 2, 20)))
    )
    pair = tuple(torch.cat([maps(s), maps(s + 1)]).requires_grad_() for s in (0, 10))
    first, second, valid = aligned(pair, views)
    assert valid.tolist() == [[False] * 16, [True] * 16]
    queue = KeyQueue(32, 5).keys
    values = queue_contrast(first.flatten(0, 1), second.detach().flatten(0, 1), queue, 0.2)
    loss = masked_mean(values, valid.flatten())
    torch.testing.assert_close(loss, values[16:].mean())
    loss.backward()
    assert not pair[0].grad[0].any() and pair[0].grad[1].any()
    nothing = masked_mean(values.detach(), torch.zeros(32, dtype=torch.bool))
    assert nothing == 0


def test_the_released_code_adds_a_constant_for_disjoint_views():
    first, second = rounded_cuts((maps(), maps(1)), (crop(0, 0, 12), crop(20, 20, 12)), SIZE, SIDE)
    assert not first.any() and not second.any()
    values = queue_contrast(first[0], second[0], KeyQueue(32, 5).keys, 0.2)
    torch.testing.assert_close(values, torch.full((16,), math.log(33)))


def test_the_released_code_rounds_cuts_to_cells():
    """Where the shared part ends at cells, both variants cut the same; half a cell further only one moves."""
    pair = (maps(), maps(1))
    first, _ = rounded_cuts(pair, (crop(0, 0, 32), crop(8, 8, 16)), SIZE, SIDE)
    by_hand = F.interpolate(pair[0][:, :, 2:6, 2:6], (SIDE, SIDE), mode="bilinear", align_corners=True)
    torch.testing.assert_close(first, l2_normalize(by_hand, 1).flatten(2).mT)
    exact, _, _ = aligned(pair, (crop(0, 0, 32), crop(8, 8, 16)))
    torch.testing.assert_close(exact, first)
    nudged = (crop(0, 0, 32), crop(9, 9, 16))
    torch.testing.assert_close(rounded_cuts(pair, nudged, SIZE, SIDE)[0], first)
    assert not torch.allclose(aligned(pair, nudged)[0], exact)


def test_fewer_points_are_drawn_from_all():
    views, pair = (crop(0, 0, 32), crop(8, 8, 16)), (maps(), maps(1))
    every, matching, _ = aligned(pair, views)
    some, others, valid = aligned(pair, views, wanted=5)
    assert some.shape == (1, 5, 5) and valid.shape == (1, 5)
    which = (some[0] @ every[0].T).argmax(1)
    assert len(set(which.tolist())) == 5
    torch.testing.assert_close(some, every[:, which])
    torch.testing.assert_close(others, matching[:, which])


def test_rotated_views_count_where_both_show_the_place():
    turn = math.radians(45)
    c, s = math.cos(turn), math.sin(turn)
    rotated = torch.tensor([[c, -s, 16 - 16 * c + 16 * s], [s, c, 16 - 16 * s - 16 * c], [0.0, 0.0, 1.0]])[
        None
    ]
    _, _, valid = aligned((maps(), maps(1)), (crop(0, 0, 32), rotated))
    corners = [0, 3, 12, 15]
    assert valid[0].sum() == 12 and not valid[0, corners].any()
    with pytest.raises(StepError, match="knows no rotated crops"):
        rounded_cuts((maps(), maps(1)), (crop(0, 0, 32), rotated), SIZE, SIDE)
