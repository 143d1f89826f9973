"""Missing-modality inference: trained on colour and depth, tested with one of them (arXiv:2203.13815)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, FeatureInfo, Metric, Outputs, Pretrained, Stats
from bench.heads.grid import map_grid
from bench.heads.shared_space import SharedSpace
from bench.metrics.segmentation import miou
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, NotNegative
from tasks.parsing import CLASSES, Parsing, ParsingConfig, likeliest

Floats = NDArray[np.float64]

MODALITIES = ("rgb", "depth")
SETTINGS = (*MODALITIES, "both")  # what is there at test


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingMissingConfig(ParsingConfig):
    dim: Count = 128  # D, of the shared space, where the method brings none
    alignment_weight: NotNegative = 1.0  # of the method's own alignment loss, where it brings one


class ParsingMissing(Parsing):
    """Two encoders, one space, one head; the element-wise maximum of both maps is trained on.

    The primary metric is the mean of the two settings with one modality.
    """

    Config = ParsingMissingConfig
    readings = SETTINGS
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="miou", unit="%"),
        *(Metric(name=f"miou_{setting}", unit="%") for setting in SETTINGS),
    )

    def network(self, given: Pretrained) -> nn.Module:
        return FusedNetwork(given, self.cfg)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms = {"ce": self.cross_entropy(out["both"], batch["parts"])}
        if "alignment" in out:
            terms["alignment"] = self.cfg.alignment_weight * out["alignment"]
        return terms

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {setting: likeliest(out[setting]) for setting in SETTINGS}

    def cells(self, info: FeatureInfo) -> tuple[int, int]:
        """Return the grid of the mappers, the encoder's finest one."""
        return map_grid(info, self.data.size)

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        return self.confusions(predicted, truth)

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)  # (B, K, K) each
        values = {f"miou_{setting}": 100 * miou(totals[setting]) for setting in SETTINGS}
        return {"miou": (values["miou_rgb"] + values["miou_depth"]) / 2, **values}


class FusedNetwork(SharedSpace):
    """Both modalities in one space, and the head on the larger value of both or on one alone."""

    def __init__(self, given: Pretrained, cfg: ParsingMissingConfig) -> None:
        super().__init__(given, CLASSES, dim=cfg.dim, width=cfg.width)

    def forward(self, batch: Batch) -> Outputs:
        """Return logits `both` (N, K, H, W); in training also `alignment`, otherwise `rgb` and `depth`."""
        size = (batch["rgb"].shape[-2], batch["rgb"].shape[-1])
        embedded = {modality: self.embed(batch, modality) for modality in MODALITIES}
        fused = torch.maximum(embedded["rgb"], embedded["depth"])
        out = {"both": self.logits(fused, size)}
        if not self.training:
            return {**out, **{m: self.logits(embedded[m], size) for m in MODALITIES}}
        if self.alignment is not None:
            out["alignment"] = self.alignment(embedded["rgb"], embedded["depth"], batch["depth"][:, 0] > 0)
        return out
