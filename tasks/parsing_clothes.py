"""Parsing of clothes: garments, hair and bare limbs at every pixel, 20 classes (LIP, arXiv:1703.05446).

Which classes they are is a matter of the data: embedded people have others than LIP, of equal number
(`bench.bodymodels.surface`).

LiftedCL (Chen et al., 2023) names LIP as a task and no head; here it is that of 2D pose with one map per
class, or that of the other parsing tasks, which reads all maps of the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, FeatureInfo, Metric, Outputs, Pretrained, Stats
from bench.bodymodels.surface import GARMENT_NAMES
from bench.data.mirror import table
from bench.heads import pixel_head, upsample
from bench.heads.grid import pixel_grid
from bench.heads.heatmap import FlipTested, heatmap_cells, heatmap_head
from bench.metrics.segmentation import aacc, fwiou, macc, miou
from bench.metrics.weighted import weighted_sums
from tasks.parsing import Parsing, ParsingConfig, likeliest

Floats = NDArray[np.float64]

CLASSES = len(GARMENT_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingClothesConfig(ParsingConfig):
    head: Literal["deconv", "concat"] = "deconv"  # that of 2D pose, or that of the other parsing tasks
    flip_test: bool = True  # average with the mirrored image

    classes: ClassVar[int] = CLASSES


class ParsingClothes(Parsing):
    """Cross-entropy per pixel over 20 classes, mean intersection over union."""

    Config = ParsingClothesConfig
    targets = readings = ("garments",)
    metrics: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(name=name, unit="%") for name in ("miou", "macc", "aacc", "fwiou")
    )

    def head(self, info: FeatureInfo) -> nn.Module:
        if self.cfg.head == "concat":
            return pixel_head(info, CLASSES, self.cfg.width)
        return heatmap_head(info, CLASSES, width=self.cfg.width)

    def network(self, given: Pretrained) -> nn.Module:
        if not self.cfg.flip_test:
            return super().network(given)
        ((modality, encoder),) = given.encoders.items()
        maps = "maps" if self.cfg.head == "concat" else "heatmaps"
        flip = self.data.flips["garments"]  # classes of two data sets have different sides
        swapped = table(flip, torch.device("cpu"))[:CLASSES].tolist() if flip else range(CLASSES)
        return FlipTested(encoder, self.head(encoder.feature_info), modality, tuple(swapped), maps)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce": self.cross_entropy(self._logits(out), batch["garments"])}

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"garments": likeliest(self._logits(out))}

    def _logits(self, out: Outputs) -> Tensor:
        """Return (N, 20, H, W); those of the pose head are upsampled before a class is chosen."""
        return out["maps"] if "maps" in out else upsample(out["heatmaps"], self.data.size)

    def cells(self, info: FeatureInfo) -> tuple[int, int]:
        grid = pixel_grid if self.cfg.head == "concat" else heatmap_cells
        return grid(info, self.data.size)

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        counts = weighted_sums(rows, weights)["confusion"]  # (B, K, K)
        values = {"miou": miou(counts), "macc": macc(counts), "aacc": aacc(counts), "fwiou": fwiou(counts)}
        return {name: 100 * value for name, value in values.items()}
