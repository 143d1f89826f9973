"""Human parsing: name the body part at every pixel, from colour or from depth (arXiv:2203.13815)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Metric, Outputs, Stats, Task
from bench.bodymodels.surface import P25_NAMES
from bench.errors import ConfigError
from bench.heads import LinearPixelProbe, pixel_head
from bench.metrics.segmentation import aacc, confusion, iou, macc, merge, miou
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, Positive

Floats = NDArray[np.float64]

CLASSES = len(P25_NAMES)
IGNORE = 255
# background, torso, hands, feet, upper legs, lower legs, upper arms, lower arms, head; a joint region goes to
# the limb below it (design choice)
COARSE = (0, 4, 5, 3, 4, 5, 3, 6, 7, 2, 6, 7, 2, 1, 4, 5, 4, 5, 1, 1, 8, 6, 7, 6, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingConfig:
    width: Count | None = None  # channels inside the head; null follows the encoder
    class_weights: tuple[Positive, ...] = ()  # of the cross-entropy, one per class; empty weighs all alike

    def __post_init__(self) -> None:
        """Check the class weights.

        Raises:
            ConfigError: they are not one positive number per class.
        """
        weights = self.class_weights
        if weights and (len(weights) != CLASSES or min(weights) <= 0):
            raise ConfigError(
                f"class_weights: got {len(weights)} numbers, wanted {CLASSES} positive ones or none"
            )


class Parsing(Task):
    """25 classes, cross-entropy per pixel, mean intersection over union."""

    Config = ParsingConfig
    targets = ("parts",)
    metrics = tuple(
        Metric(name=name, unit="%") for name in ("miou", "macc", "aacc", "miou_foreground", "miou_coarse")
    )

    def head(self, info: FeatureInfo) -> nn.Module:
        return pixel_head(info, CLASSES, self.cfg.width)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        return LinearPixelProbe(info, CLASSES)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        weights = self.cfg.class_weights
        scale = torch.tensor(weights, device=out["maps"].device) if weights else None
        return {"ce": pixel_cross_entropy(out["maps"], batch["parts"], scale)}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        best = out["maps"].max(1).indices  # (N, H, W); `argmax` takes five times longer on a CPU
        return {"parts": best.to(torch.uint8).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {"parts": truth["parts"]}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        return {"confusion": confusion(predicted["parts"], truth["parts"], CLASSES, IGNORE)}

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
