"""Human parsing: name the body part at every pixel, from colour or from depth (arXiv:2203.13815)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Metric, Outputs, Stats, Task
from bench.bodymodels.surface import P25_NAMES
from bench.errors import ConfigError
from bench.heads import LinearPixelProbe, pixel_head
from bench.heads.grid import classes_through_grid, commonest, pixel_grid
from bench.metrics.segmentation import aacc, confusion, iou, macc, merge, miou
from bench.metrics.weighted import weighted_sums
from bench.palette import paint_classes, shown
from bench.settings import Count, Positive

Floats = NDArray[np.float64]
Stack = NDArray[np.uint8]

CLASSES = len(P25_NAMES)
IGNORE = 255
# background, torso, hands, feet, upper legs, lower legs, upper arms, lower arms, head; a joint region goes to
# the limb below it (design choice)
COARSE = (0, 4, 5, 3, 4, 5, 3, 6, 7, 2, 6, 7, 2, 1, 4, 5, 4, 5, 1, 1, 8, 6, 7, 6, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingConfig:
    width: Count | None = None  # channels inside the head; null follows the encoder
    class_weights: tuple[Positive, ...] = ()  # of the cross-entropy, one per class; empty weighs all alike

    classes: ClassVar[int] = CLASSES

    def __post_init__(self) -> None:
        """Check the class weights.

        Raises:
            ConfigError: they are not one positive number per class.
        """
        weights = self.class_weights
        if weights and (len(weights) != self.classes or min(weights) <= 0):
            raise ConfigError(
                f"class_weights: got {len(weights)} numbers, wanted {self.classes} positive ones or none"
            )


class Parsing(Task):
    """25 classes, cross-entropy per pixel, mean intersection over union.

    Tasks derived from it may have another label map, which then is the only one of their `targets`, with
    `Config.classes` classes, and several `readings` of an image: label maps that are predicted.
    """

    Config: ClassVar[type[ParsingConfig]] = ParsingConfig
    readings: ClassVar[tuple[str, ...]] = ("parts",)
    targets = ("parts",)
    metrics = tuple(
        Metric(name=name, unit="%") for name in ("miou", "macc", "aacc", "miou_foreground", "miou_coarse")
    )

    def head(self, info: FeatureInfo) -> nn.Module:
        return pixel_head(info, self.Config.classes, self.cfg.width)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        return LinearPixelProbe(info, self.Config.classes)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce": self.cross_entropy(out["maps"], batch["parts"])}

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """`pixel_cross_entropy` with the weights of the config."""
        weights = self.cfg.class_weights
        return pixel_cross_entropy(
            logits, target, torch.tensor(weights, device=logits.device) if weights else None
        )

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"parts": likeliest(out["maps"])}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return dict.fromkeys(self.readings, truth[self.targets[0]])

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Name the commonest class of each pixel: background but where the body mostly is."""
        usual = commonest(seen[self.targets[0]], self.Config.classes)
        return dict.fromkeys(self.readings, np.repeat(usual[None], n, 0))

    def cells(self, info: FeatureInfo) -> tuple[int, int]:
        """Return the grid (h, w) that logits are made on: that of the head."""
        return pixel_grid(info, self.data.size)

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """Pass the true maps of the classes through the grid."""
        coarse = classes_through_grid(truth[self.targets[0]], self.Config.classes, self.cells(info))
        return dict.fromkeys(self.readings, coarse)

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, Stack]:
        found = {f"predicted {name}": paint_classes(classes) for name, classes in predicted.items()}
        return {"input": shown(images), "truth": paint_classes(truth[self.targets[0]]), **found}

    def confusions(self, predicted: Stats, truth: Stats) -> Stats:
        """Return the confusion matrices of each sample, (n, K, K), by reading."""
        wanted, classes = truth[self.targets[0]], self.Config.classes
        return {name: confusion(predicted[name], wanted, classes, IGNORE) for name in self.readings}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        (counts,) = self.confusions(predicted, truth).values()
        return {"confusion": counts}

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        counts = weighted_sums(rows, weights)["confusion"]  # (B, K, K)
        values = {
            "miou": miou(counts),
            "macc": macc(counts),
            "aacc": aacc(counts),
            "miou_foreground": iou(counts)[..., 1:].mean(-1),
            "miou_coarse": iou(merge(counts, COARSE))[..., 1:].mean(-1),
        }
        return {name: 100 * value for name, value in values.items()}


def likeliest(logits: Tensor) -> Stack:
    """The class with the largest logit, (N, K, H, W) -> (N, H, W)."""
    best = logits.max(1).indices  # `argmax` takes five times longer on a CPU
    found: Stack = best.to(torch.uint8).cpu().numpy()
    return found


def pixel_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled pixels; 0 where there are none.

    Args:
        logits: (N, K, H, W).
        target: class ids or 255 = unlabelled, (N, H, W) int64.
        weights: of the classes, (K,); the mean is weighted too.

    Returns:
        Scalar, nats.
    """
    total = F.cross_entropy(logits.float(), target, weights, ignore_index=IGNORE, reduction="sum")
    labelled = target != IGNORE
    if weights is None:
        return total / labelled.sum().clamp(min=1)
    mass = (weights[target.masked_fill(~labelled, 0)] * labelled).sum()
    return total / mass.clamp(min=torch.finfo(torch.float32).tiny)
