"""Action in a person crop: which of the embedded people's 19 actions a single image shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Features, Metric, Outputs, Stats, Task
from bench.heads import LinearProbe
from bench.heads.frozen import AttentiveProbe
from bench.heads.grid import commonest
from bench.metrics.weighted import weighted_sums
from bench.palette import framed, shown
from bench.synth.actions import ACTIONS, HELD_OUT

Floats = NDArray[np.float64]

NAMES = tuple(ACTIONS)
TAUGHT = np.array([name not in HELD_OUT for name in NAMES])  # the others appear in test data alone


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionConfig:
    """This task has no settings."""


class Action(Task):
    """Cross-entropy over the actions; accuracy on test samples of actions that training shows (16 of 19)."""

    Config = ActionConfig
    targets = ("action",)
    metrics = (Metric(name="top1", unit="%"), Metric(name="mean_class", unit="%"))

    def head(self, info: FeatureInfo) -> nn.Module:
        return PooledHead(info.pooled, len(NAMES))

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        head = {"linear": LinearProbe, "attentive": AttentiveProbe}[protocol]
        return head(info, len(NAMES))

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(out["logits"].float(), batch["action"])}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"action": out["logits"].argmax(1).to(torch.uint8).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {"action": truth["action"]}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Name the commonest action of the training samples."""
        return {"action": np.repeat(commonest(seen["action"], len(NAMES)), n)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """One vector per image names any class: nothing is lost."""
        return {"action": truth["action"]}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        """Frame images in green where the action is right, in red where it is wrong."""
        return {"right or wrong": framed(shown(images), predicted["action"] == truth["action"])}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return the class of each sample and whether it was named, (n, 19) each; none of an untaught one."""
        there = np.eye(len(NAMES), dtype=bool)[truth["action"]] & TAUGHT
        right = (predicted["action"] == truth["action"])[:, None]
        return {"there": there, "right": there & right}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)
        there, right = totals["there"], totals["right"]  # (B, 19)
        shares = right / np.maximum(1, there)
        classes = np.maximum(1, (there > 0).sum(-1))
        return {
            "top1": 100 * right.sum(-1) / np.maximum(1, there.sum(-1)),
            "mean_class": 100 * shares.sum(-1) / classes,
        }


class PooledHead(nn.Module):
    """One linear layer on the pooled vector."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, classes)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `logits` (N, K)."""
        return {"logits": self.out(features.pooled)}
