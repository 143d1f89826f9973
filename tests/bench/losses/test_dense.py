import math

import pytest
import torch
from torch.nn import functional as F

from bench.api import Draws
from bench.losses.cells import draw_cells
from bench.losses.dense import dense_contrast, hard_targets, soft_targets
from bench.losses.numerics import l2_normalize


def draws(seed: int) -> Draws:
    return Draws(generator=torch.Generator().manual_seed(seed))


LINE = torch.tensor([[[0, 0], [0, 1], [0, 2]]])


def pixels(s=20, d=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return l2_normalize(torch.randn(2, s, d, generator=generator)), l2_normalize(
        torch.randn(2, s, d, generator=generator)
    )


def test_nearer_pixels_weigh_more():
    weights = soft_targets(LINE)[0, :, 0]
    torch.testing.assert_close(weights, torch.tensor([0.665, 0.245, 0.090]), atol=5e-4, rtol=0)


def test_soft_becomes_hard_for_small_sigma_also_with_repeated_cells():
    cells = draw_cells(
        torch.ones(2, 4, 4, dtype=torch.bool), 20, Draws(generator=torch.Generator().manual_seed(0))
    )
    torch.testing.assert_close(soft_targets(cells, 0.01), hard_targets(cells))
    torch.testing.assert_close(soft_targets(cells).sum(1), torch.ones(2, 20))
    assert hard_targets(cells).max() == 1
    assert (hard_targets(cells) == 0.5).any()


def test_identity_targets_give_cross_entropy():
    rgb, depth = pixels()
    value, lower_bound = dense_contrast(rgb, depth, torch.eye(20).expand(2, -1, -1), 0.07)
    own = torch.arange(20)
    for i in range(2):
        logits = depth[i] @ rgb[i].T / 0.07
        expected = F.cross_entropy(logits.T, own) + F.cross_entropy(logits, own)
        assert value[i].item() == pytest.approx(expected.item(), abs=1e-5)
    assert torch.equal(lower_bound, torch.zeros(2))


def test_definition_with_soft_targets():
    rgb, depth = pixels(6)
    w = soft_targets(torch.randint(9, (2, 6, 2)))
    logits = torch.einsum("nid,njd->nij", depth, rgb) / 0.07
    one = -(w * logits.log_softmax(1)).sum(1).mean(1)
    two = -(w.mT * logits.log_softmax(2)).sum(2).mean(1)
    torch.testing.assert_close(dense_contrast(rgb, depth, w, 0.07).value, one + two)


def test_optimum_is_the_entropy_of_the_targets():
    cells = draw_cells(
        torch.ones(1, 6, 6, dtype=torch.bool), 12, Draws(generator=torch.Generator().manual_seed(1))
    )
    distance = torch.cdist(cells.float(), cells.float())
    w = soft_targets(cells)
    value, lower_bound = dense_contrast(torch.eye(12)[None], -0.07 * distance, w, 0.07)
    assert value.item() == pytest.approx(lower_bound.item(), abs=1e-5)
    assert lower_bound.item() == pytest.approx(-2 * (w * w.log()).sum(1).mean().item(), abs=1e-5)


def test_interior_pixel_of_a_full_grid_keeps_a_sixth():
    cells = torch.cartesian_prod(torch.arange(41), torch.arange(41))[None]
    column = soft_targets(cells)[0, :, 20 * 41 + 20]
    assert column.max().item() == pytest.approx(0.154, abs=1e-3)
    assert torch.special.entr(column).sum().item() == pytest.approx(3.77, abs=0.01)


def test_value_at_random_init():
    generator = torch.Generator().manual_seed(0)
    rgb, depth = (l2_normalize(torch.randn(4, 400, 128, generator=generator)) for _ in range(2))
    value = dense_contrast(rgb, depth, torch.eye(400).expand(4, -1, -1), 0.07).value.mean().item()
    assert value == pytest.approx(2 * (math.log(400) + 1 / (2 * 128 * 0.07**2)), abs=0.1)
