"""Grasp of a hand that holds something: which of the 33 grasps of the taxonomy a single image shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Metric, Stats
from bench.metrics.weighted import weighted_sums
from bench.synth.grasping import GRASPS
from tasks.classification import Classification, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class GraspConfig:
    """This task has no settings."""


class Grasp(Classification):
    """Classes are grasps (arXiv:2311.09104, Tab. 2): one linear layer on the pooled vector.

    `top1` is over all views ("All" of GUN-71), `best_view` over those that show the hand best ("BV").
    """

    Config = GraspConfig
    names = GRASPS
    targets = ("grasp",)
    extras = ("best_view",)
    metrics = (*Classification.metrics, Metric(name="best_view", unit="%"))

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return besides whether a sample is a best view, (n,) bool."""
        return {**super().score_samples(predicted, truth), "best": truth["best_view"].astype(bool)}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        """Return the metrics; `best_view` is NaN where no best view counts."""
        right = rows["right"].any(1) & rows["best"]
        best = weighted_sums({"right": right, "there": rows["best"]}, weights)
        with np.errstate(invalid="ignore"):
            share = 100 * best["right"] / best["there"]
        return {**super().aggregate(rows, weights), "best_view": share}
