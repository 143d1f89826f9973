"""Gesture of a hand: which of HaGRID's 18 gestures a single image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Metric, Stats
from bench.metrics.weighted import weighted_sums
from bench.synth.hand_poses import GESTURES
from tasks.classification import Classification, Floats

ALIKE = (  # gestures that differ only in whether fingers are spread, or in the thumb
    ("peace", "two_up", "three2"),
    ("peace_inverted", "two_up_inverted"),
    ("palm", "stop"),
)
KIND = np.arange(len(GESTURES))  # of each gesture, the number of the first one that is like it
for alike in ALIKE:
    KIND[[GESTURES.index(name) for name in alike]] = GESTURES.index(alike[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class GestureConfig:
    """This task has no settings."""


class Gesture(Classification):
    """Classes are gestures (arXiv:2311.09104, Tab. 2): layer norm and one linear layer on the pooled vector.

    `alike_as_one` is the accuracy where gestures that look alike count as one; what it is above `top1` is
    lost between these, e.g. `peace`, `two_up` and `three2`.
    """

    Config = GestureConfig
    names = GESTURES
    norm = True
    targets = ("gesture",)
    metrics = (*Classification.metrics, Metric(name="alike_as_one", unit="%"))

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return besides whether a gesture like that of the sample was named, (n,) bool."""
        rows = super().score_samples(predicted, truth)
        return {**rows, "alike": KIND[predicted["gesture"]] == KIND[truth["gesture"]]}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        alike = weighted_sums({"alike": rows["alike"]}, weights)["alike"]
        share = 100 * alike / np.maximum(1, weights.sum(1))
        return {**super().aggregate(rows, weights), "alike_as_one": share}
