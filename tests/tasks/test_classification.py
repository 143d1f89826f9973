"""Accuracy over samples and classes against repeated samples and by hand, and the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.api import DataInfo, FeatureInfo, Features
from bench.palette import RIGHT, WRONG
from tasks.classification import Classification

INFO = FeatureInfo(kind="pyramid", channels=(8,), strides=(4,), pooled=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No settings."""


class Colour(Classification):
    Config = Nothing
    names = ("red", "green", "blue", "grey")
    targets = ("colour",)


class Normed(Colour):
    norm = True


TASK = Colour(Nothing(), DataInfo(n_samples=8, size=(32, 32), joint_set=""))


def scored(predicted: Any, truth: Any, weights: Any = None) -> dict[str, float]:
    arrays = [{"colour": np.array(values, np.uint8)} for values in (predicted, truth)]
    rows = TASK.score_samples(*arrays)
    weights = np.ones(len(truth)) if weights is None else np.array(weights, np.float64)
    return {name: float(v[0]) for name, v in TASK.aggregate(rows, weights[None]).items()}


classes = st.integers(0, 3)


@given(
    st.lists(st.tuples(classes, classes, st.integers(0, 3)), min_size=1).filter(
        lambda x: any(w for *_, w in x)
    )
)
def test_accuracies_count_a_sample_as_often_as_its_weight_says(samples: list[tuple[int, int, int]]) -> None:
    predicted, truth, weights = map(np.array, zip(*samples, strict=True))
    kept = np.repeat(np.arange(len(truth)), weights)
    found = scored(predicted, truth, weights)
    right = (predicted == truth)[kept]
    assert found["top1"] == pytest.approx(100 * right.mean())
    recalls = [right[truth[kept] == k].mean() for k in np.unique(truth[kept])]
    assert found["mean_class"] == pytest.approx(100 * np.mean(recalls))


def test_classes_count_alike_however_many_samples_they_have() -> None:
    assert scored([0, 0, 0, 0], [0, 0, 0, 1]) == {"top1": 75.0, "mean_class": 50.0}


def test_guesses_bounds_and_frames() -> None:
    seen = {"colour": np.array([3, 1, 1, 0], np.uint8)}
    floor = TASK.floor_prediction(seen, 3)
    assert floor["colour"].tolist() == [1, 1, 1]
    truth = {"colour": np.array([1, 2, 1], np.uint8)}
    assert TASK.ceiling_prediction(truth, INFO)["colour"].tolist() == [1, 2, 1]
    (rows,) = TASK.draw(floor, truth, {"rgb": np.zeros((3, 8, 8, 3), np.uint8)}).values()
    assert [tuple(row[0, 0]) for row in rows] == [RIGHT, WRONG, RIGHT] and not rows[:, 4, 4].any()


def test_the_head_names_the_likeliest_class_and_a_norm_makes_it_blind_to_scale() -> None:
    pooled = torch.randn(5, 6)
    for task, alike in ((TASK, False), (Normed(Nothing(), TASK.data), True)):
        head = task.head(INFO)
        once, twice = (head(Features(maps=(), pooled=k * pooled), (32, 32))["logits"] for k in (1, 20))
        assert once.shape == (5, 4) and torch.allclose(once, twice, atol=1e-3) == alike
        named = task.predict({"logits": once}, {})["colour"]
        batch = {"colour": torch.from_numpy(named.astype(np.int64))}
        others = {"colour": (batch["colour"] + 1) % 4}
        assert task.loss({"logits": once}, batch)["ce"] < task.loss({"logits": once}, others)["ce"]
