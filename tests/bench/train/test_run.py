"""What a step must give to the loop; see also test_loop.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.api import Batch, Context, StepOutput
from bench.errors import StepError
from bench.train.run import TrainModule

LOSS = torch.ones(3, requires_grad=True)


class Fixed(TrainModule):
    def __init__(self, terms: Any) -> None:
        super().__init__()
        self.terms = terms

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        return StepOutput(terms=self.terms)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "gives no loss term"),
        ({"mse": LOSS * 2}, r'loss term "mse" is of shape \(3,\), not a scalar tensor'),
        ({"mse": 0.5}, 'loss term "mse" is float, not a scalar tensor'),
        ({"mse": LOSS.sum().detach()}, r"no loss term \(mse\) depends on a parameter"),
        ({"mse": LOSS.sum(), "fixed": torch.zeros(())}, ""),
    ],
)
def test_terms_that_cannot_be_minimised_are_named(terms: Any, said: str) -> None:
    module = Fixed(terms)
    module.ctx = None  # type: ignore[assignment]  # which this step does not ask for
    if not said:
        assert module({})["terms"].keys() == terms.keys()
        return
    with pytest.raises(StepError, match=said):
        module({})
