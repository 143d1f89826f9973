"""What tasks share that name the class of a whole image: head, loss, prediction, accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Metric, Outputs, Stats, Task
from bench.heads import LinearProbe
from bench.heads.frozen import AttentiveProbe
from bench.heads.grid import commonest
from bench.heads.pooled import PooledHead
from bench.metrics.weighted import weighted_sums
from bench.palette import framed, shown

Floats = NDArray[np.float64]


class Classification(Task):
    """Cross-entropy over classes; accuracy over samples (`top1`) and over classes (`mean_class`), in %.

    A task names its classes, and in `targets` the field that holds their numbers.
    """

    names: ClassVar[tuple[str, ...]]  # of the classes, in the order of their numbers
    norm: ClassVar[bool] = False  # whether the fine-tuned head begins with a layer norm
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="top1", unit="%"),
        Metric(name="mean_class", unit="%"),
    )

    def head(self, info: FeatureInfo) -> nn.Module:
        return PooledHead(info.pooled, len(self.names), norm=self.norm)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        head = {"linear": LinearProbe, "attentive": AttentiveProbe}[protocol]
        return head(info, len(self.names))

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(out["logits"].float(), batch[self.targets[0]])}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {self.targets[0]: out["logits"].argmax(1).to(torch.uint8).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {self.targets[0]: truth[self.targets[0]]}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Name the commonest class of the training samples."""
        (name,) = self.targets
        return {name: np.repeat(commonest(seen[name], len(self.names)), n)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """One vector per image names any class: nothing is lost."""
        return self.oracle_prediction(truth)

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        """Frame images in green where the class is right, in red where it is wrong."""
        (name,) = self.targets
        return {"right or wrong": framed(shown(images), predicted[name] == truth[name])}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return the class of each sample and whether it was named, (n, K) bool each."""
        (name,) = self.targets
        there = np.eye(len(self.names), dtype=bool)[truth[name]]
        return {"there": there, "right": there & (predicted[name] == truth[name])[:, None]}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums({name: rows[name] for name in ("there", "right")}, weights)
        there, right = totals["there"], totals["right"]  # (B, K)
        shares = right / np.maximum(1, there)
        classes = np.maximum(1, (there > 0).sum(-1))
        return {
            "top1": 100 * right.sum(-1) / np.maximum(1, there.sum(-1)),
            "mean_class": 100 * shares.sum(-1) / classes,
        }
