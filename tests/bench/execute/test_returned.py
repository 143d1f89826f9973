"""What the hooks of a task return by mistake is named with the hook, before it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.api import Metric, Task
from bench.errors import BenchError, StepError
from bench.execute.returned import finite, per_sample, plain_metrics, scored


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, r"^predict\(\) returns NoneType, not a dict of arrays$"),
        ({}, "returns an empty dict, not a dict"),
        (np.zeros(3), "returns ndarray, not a dict"),
        (
            {"mask": torch.zeros(3)},
            r'predict\(\)\["mask"\] is a Tensor, not .*; end it with \.cpu\(\)\.numpy',
        ),
        ({"mask": [0, 0, 0]}, "is a list, not a numpy array$"),
        ({"mask": np.zeros((1, 2))}, r"has the shape \(1, 2\), not one row for each of 3 samples"),
        ({"mask": np.zeros(())}, r"has the shape \(\)"),
    ],
)
def test_one_row_per_sample(found: Any, said: str) -> None:
    with pytest.raises(StepError, match=said):
        per_sample("predict", found, 3)


def test_rows_are_handed_on() -> None:
    rows = np.arange(3.0)
    assert per_sample("predict", {"mask": rows}, 3)["mask"] is rows


class Careless(Task):
    metrics = (Metric(name="iou"),)

    def __init__(self, rows: Any, values: Any) -> None:
        self.rows, self.values = rows, values

    def loss(self, out: Any, batch: Any) -> Any:
        raise NotImplementedError

    def predict(self, out: Any, batch: Any) -> Any:
        raise NotImplementedError

    def score_samples(self, predicted: Any, truth: Any) -> Any:
        return self.rows

    def aggregate(self, rows: Any, weights: Any) -> Any:
        return self.values


@pytest.mark.parametrize(
    ("rows", "values", "said"),
    [
        ({"hit": np.int64(2)}, {}, r'score_samples\(\)\["hit"\] is a int64'),
        ({"hit": np.zeros(2)}, {}, r"score_samples.* \(2,\), not one row for each of 3 samples"),
        ({"hit": np.zeros(3)}, {"uio": np.zeros(1)}, "aggregate.. returns uio, the task declares iou"),
        (
            {"hit": np.zeros(3)},
            {"iou": 0.5},
            r"aggregate.* shape \(\) for weights of shape \(1, 3\), not \(1,\)",
        ),
        ({"hit": np.zeros(3)}, {"iou": np.array([np.nan])}, "metric iou is nan on the validation data"),
    ],
)
def test_statistics_and_metrics(rows: Any, values: Any, said: str) -> None:
    task = Careless(rows, values)
    with pytest.raises(BenchError, match=said):
        finite(plain_metrics(task, scored(task, {}, {"mask": np.zeros(3)})), "validation")


def test_a_bound_that_is_not_finite_is_named() -> None:
    with pytest.raises(StepError, match=r"metric iou of the task's floor is nan on the test data"):
        finite({"miou": 1.0, "iou": float("nan")}, "test", " of the task's floor")
