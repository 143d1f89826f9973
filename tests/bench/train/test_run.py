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
    def __init__(self, terms: Any, scalars: Any = None) -> None:
        super().__init__()
        self.terms, self.scalars = terms, scalars or {}

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        return StepOutput(terms=self.terms, scalars=self.scalars)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "gives no loss term"),
        ({"mse": LOSS * 2}, r'loss term "mse" is of shape \(3,\), not a scalar tensor'),
        ({"mse": 0.5}, 'loss term "mse" is float, not a scalar tensor'),
        ({"my loss": LOSS.sum()}, "'my loss' cannot name a value of a step; take letters"),
        ({0: LOSS.sum()}, "0 cannot name a value of a step"),
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


@pytest.mark.parametrize(
    ("scalars", "said"),
    [
        ({"right": torch.ones(3)}, r'scalar "right" is of shape \(3,\); e.g. take its mean'),
        ({"step": 1.0}, 'scalar "step": the curve has a column of that name'),
        ({"loss_mse": 1.0}, 'scalar "loss_mse": the curve has a column of that name'),
        ({"right %": 1.0}, "'right %' cannot name"),
        ({"right": 0.5, "loss": torch.ones(())}, ""),
    ],
)
def test_scalars_that_the_curve_cannot_hold_are_named(scalars: Any, said: str) -> None:
    module = Fixed({"mse": LOSS.sum()}, scalars)
    module.ctx = None  # type: ignore[assignment]
    if not said:
        assert {name: float(v) for name, v in module({})["logged"].items()} == {"right": 0.5, "loss": 1.0}
        return
    with pytest.raises(StepError, match=said):
        module({})
