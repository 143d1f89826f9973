import math

import pytest
import torch

from bench.losses.info_nce import info_nce
from bench.losses.numerics import l2_normalize


def test_value_at_random_init():
    generator = torch.Generator().manual_seed(0)
    a, b = (l2_normalize(torch.randn(401, 128, generator=generator)) for _ in range(2))
    assert info_nce(a, b, 0.07).item() == pytest.approx(math.log(401) + 1 / (2 * 128 * 0.07**2), abs=0.1)


def test_hand_example_of_two_samples():
    loss = info_nce(torch.eye(2), torch.eye(2), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_invalid_rows_are_neither_anchors_nor_negatives():
    a, b = l2_normalize(torch.randn(6, 8)), l2_normalize(torch.randn(6, 8))
    valid = torch.tensor([True, False, True, True, False, True])
    torch.testing.assert_close(info_nce(a, b, 0.1, valid), info_nce(a[valid], b[valid], 0.1))


def test_no_valid_row_gives_zero_and_zero_gradients():
    a = l2_normalize(torch.randn(3, 8)).requires_grad_()
    loss = info_nce(a, l2_normalize(torch.randn(3, 8)), 0.1, torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert torch.equal(a.grad, torch.zeros_like(a))
