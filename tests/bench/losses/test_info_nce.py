import math

import pytest
import torch

from bench.api import ProcessGroup
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


class TwoProcesses(ProcessGroup):
    """One of two processes that share rows: gathering returns those of both."""

    world_size = 2

    def __init__(self, rank, *whole):
        self.rank, self.whole = rank, whole

    def all_gather(self, x):
        return next(w for w in self.whole if w.dtype == x.dtype and torch.equal(w.chunk(2)[self.rank], x))

    def all_gather_with_grad(self, x):
        return self.all_gather(x)

    def all_reduce(self, x):
        return self.whole[-1].sum()


def test_processes_with_half_of_the_rows_each_give_the_loss_of_all():
    a, b = l2_normalize(torch.randn(6, 8)), l2_normalize(torch.randn(6, 8))
    valid = torch.tensor([True, False, True, True, True, True])
    shares = [
        info_nce(
            *(x.chunk(2)[rank] for x in (a, b)), 0.1, valid.chunk(2)[rank], TwoProcesses(rank, a, b, valid)
        )
        for rank in range(2)
    ]
    torch.testing.assert_close(torch.stack(shares).mean(), info_nce(a, b, 0.1, valid))
