"""Template: tell person from background at every pixel.

Replace this by what your task asks for; the docstrings of `bench.api` say what each part may rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, FeatureInfo, Metric, Outputs, Stats, Task
from bench.heads import pixel_head
from bench.heads.grid import pixel_grid, through_grid
from bench.metrics.weighted import weighted_sums

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    """The keys under `config` in the YAML; a key that is not listed here is an error."""

    width: int | None = None  # channels inside the head; null follows the encoder


class Template(Task):
    """One logit per pixel, binary cross-entropy, intersection over union."""

    Config = TemplateConfig
    targets = ("mask",)  # fields of the data wanted in the batch; see `bench.dataset.Field`
    metrics = (Metric(name="iou", unit="%"),)  # the primary one first

    def head(self, info: FeatureInfo) -> nn.Module:
        return pixel_head(info, 1, self.cfg.width)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        logits = out["maps"][:, 0].float()  # (N, H, W)
        return {"bce": F.binary_cross_entropy_with_logits(logits, batch["mask"].float())}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"mask": (out["maps"][:, 0] > 0).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        return {"mask": truth["mask"]}

    # The next three are optional. Tables name floor and ceiling below the scores, sheets show drawings.

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        usual = seen["mask"].mean(0) > 0.5  # what a pixel shows in most training samples
        return {"mask": np.repeat(usual[None], n, axis=0)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        masks = torch.from_numpy(truth["mask"]).float()[:, None]  # (N, 1, H, W)
        size = (masks.shape[2], masks.shape[3])
        return {"mask": (through_grid(masks, pixel_grid(info, size))[:, 0] > 0.5).numpy()}

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        found = {"truth": truth["mask"], "prediction": predicted["mask"]}
        white = {name: np.repeat(np.uint8(255) * mask[..., None], 3, axis=3) for name, mask in found.items()}
        return {"picture": images["rgb"], **white}

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        both = (predicted["mask"] & truth["mask"]).sum((1, 2))
        either = (predicted["mask"] | truth["mask"]).sum((1, 2))
        return {"both": both, "either": either}  # (N,) each: sums over samples give the metric

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)  # (B,) each, one per weighting of the samples
        return {"iou": 100 * totals["both"] / np.maximum(1, totals["either"])}
