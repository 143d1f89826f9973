import math

import pytest
import torch
from torch.nn import functional as F

from bench.losses.joints import joint_contrast, structure_contrast
from bench.losses.numerics import l2_normalize, masked_mean

B, J = 56, 16
LABELS = torch.arange(J).repeat(2 * B)
ALL = torch.ones(2 * B * J, dtype=torch.bool)


def units(*shape, seed=0):
    return l2_normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def structure(rows, labels=LABELS, valid=ALL, counted=None, temperature=0.07, **options):
    counted = valid if counted is None else counted
    (value, lower_bound), usable = structure_contrast(rows, labels, valid, counted, temperature, **options)
    return masked_mean(value, usable), masked_mean(lower_bound, usable)


def test_joint_contrast_is_cross_entropy_over_the_nodes_and_starts_at_3_5():
    readings, nodes = units(64, J, 128), units(64, J, 128, seed=1)
    values = joint_contrast(readings, nodes, 0.07)
    logits = readings[3] @ nodes[3].T / 0.07
    torch.testing.assert_close(values[3], F.cross_entropy(logits, torch.arange(J), reduction="none"))
    assert values.mean().item() == pytest.approx(3.5, abs=0.1)


@pytest.mark.parametrize(("exclude_self", "expected"), [(False, 14.29), (True, 8.28)])
def test_structure_at_random_init(exclude_self, expected):
    value, _ = structure(units(2 * B * J, 128), exclude_self=exclude_self)
    assert value.item() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("exclude_self", "expected"), [(False, math.log(2 * B)), (True, math.log(2 * B - 1))]
)
def test_perfect_clusters_reach_the_floor(exclude_self, expected):
    value, lower_bound = structure(F.one_hot(LABELS).float(), exclude_self=exclude_self)
    assert value.item() == pytest.approx(expected, abs=1e-4)
    assert lower_bound.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("exclude_self", [False, True])
def test_definition_with_masks(exclude_self):
    rows, labels = units(24, 8), torch.arange(4).repeat(6)
    valid = torch.rand(24, generator=torch.Generator().manual_seed(2)) < 0.7
    value, _ = structure(rows, labels, valid, temperature=0.2, exclude_self=exclude_self)
    terms = []
    for a in valid.nonzero().flatten().tolist():
        positives = [p for p in range(24) if p != a and valid[p] and labels[p] == labels[a]]
        q = [k for k in range(24) if valid[k] and not (exclude_self and k == a)]
        normaliser = torch.logsumexp(rows[q] @ rows[a] / 0.2, 0)
        terms += (
            [-torch.stack([rows[p] @ rows[a] / 0.2 - normaliser for p in positives]).mean()]
            if positives
            else []
        )
    torch.testing.assert_close(value, torch.stack(terms).mean())


def test_invariances():
    rows = units(2 * B * J, 32)
    value, _ = structure(rows)
    grid = rows.view(2, B, J, 32)
    samples, joints = torch.randperm(B), torch.randperm(J)
    torch.testing.assert_close(structure(grid[:, samples].reshape(-1, 32))[0], value)
    torch.testing.assert_close(structure(grid[:, :, joints].reshape(-1, 32))[0], value)
    shuffled = grid.clone()
    shuffled[0, 0] = shuffled[0, 0].roll(1, 0)
    assert abs(structure(shuffled.reshape(-1, 32))[0] - value) > 1e-6


def test_rows_outside_the_denominator_do_not_matter():
    rows, valid = units(2 * B * J, 32), ALL.clone()
    valid[::3] = False
    changed = rows.clone()
    changed[::3] = units(len(changed[::3]), 32, seed=9)
    assert torch.equal(structure(rows, valid=valid)[0], structure(changed, valid=valid)[0])
    assert structure(rows, valid=valid, counted=ALL)[0] > structure(rows, valid=valid)[0]


def test_anchors_of_a_slice_average_to_the_whole():
    rows = units(2 * B * J, 32)
    half = B * J
    parts = [structure(rows, anchors=slice(i * half, (i + 1) * half))[0] for i in range(2)]
    torch.testing.assert_close(sum(parts) / 2, structure(rows)[0])


def test_nothing_valid_gives_zero_and_zero_gradients():
    rows = units(2 * B * J, 32).requires_grad_()
    value, lower_bound = structure(rows, valid=~ALL, exclude_self=True)
    value.backward()
    assert value == lower_bound == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))
