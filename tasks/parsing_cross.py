"""Cross-modality supervision: parts labelled in one modality, named in the other (arXiv:2203.13815).

The other modality is known from pairs without labels alone: further samples of the training split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import SINGLE_PROCESS, Batch, FeatureInfo, Features, Metric, Outputs, Pretrained, Stats
from bench.encoders.partial import encode_present
from bench.heads.grid import map_grid
from bench.heads.shared_space import SharedSpace
from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig
from bench.metrics.segmentation import miou
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, NotNegative
from tasks.parsing import CLASSES, Parsing, ParsingConfig, Stack, likeliest

Floats = NDArray[np.float64]

OTHER = {"rgb": "depth", "depth": "rgb"}
READINGS = ("target", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingCrossConfig(ParsingConfig):
    source: Literal["rgb", "depth"] = "rgb"  # the modality with labels; the test is in the other
    dim: Count = 128  # D, of the shared space, where the method brings none
    # method: its own loss where it brings one, otherwise none; infonce: pixels against pixels, for all
    alignment: Literal["method", "infonce", "none"] = "method"
    ce_weight: NotNegative = 10.0  # of the labels
    alignment_weight: NotNegative = 1.0


class ParsingCross(Parsing):
    """Two encoders, one space, one head: labels of one modality, unlabelled pairs that align both.

    Images of the target modality that belong to labelled samples are never shown. Without alignment the
    target's encoder and mapper stay as the pretraining left them. Each direction is a task of its own: one
    network cannot learn both, as the other modality's labels would be those that it must do without.
    """

    Config = ParsingCrossConfig
    readings = READINGS
    unlabelled = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="miou", unit="%"),
        Metric(name="miou_source", unit="%"),  # in the modality that has labels: how much is lost on the way
    )

    def network(self, given: Pretrained) -> nn.Module:
        return CrossNetwork(given, self.cfg)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms = {"ce": self.cfg.ce_weight * self.cross_entropy(out["source"], batch["parts"])}
        if "alignment" in out:
            terms["alignment"] = self.cfg.alignment_weight * out["alignment"]
        return terms

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {name: likeliest(out[name]) for name in READINGS}

    def cells(self, info: FeatureInfo) -> tuple[int, int]:
        """Return the grid of the mappers, the encoder's finest one."""
        return map_grid(info, self.data.size)

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, Stack]:
        target = {name: images[name] for name in (OTHER[self.cfg.source],)}
        return super().draw(predicted, truth, target)

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        return self.confusions(predicted, truth)

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)  # (B, K, K) each
        return {"miou": 100 * miou(totals["target"]), "miou_source": 100 * miou(totals["source"])}


class CrossNetwork(SharedSpace):
    """Learns to read the source; the target follows through the alignment of unlabelled pairs."""

    def __init__(self, given: Pretrained, cfg: ParsingCrossConfig) -> None:
        super().__init__(given, CLASSES, dim=cfg.dim, width=cfg.width)
        self.source, self.target = cfg.source, OTHER[cfg.source]
        if cfg.alignment == "infonce":
            self.alignment = DenseAlignment(DenseAlignmentConfig(dense="hard"))
        if cfg.alignment == "none":
            self.alignment = None
        if self.alignment is None:
            self.encoders[self.target].requires_grad_(False)
            self.mappers[self.target].requires_grad_(False)

    def forward(self, batch: Batch) -> Outputs:
        """Return logits `source` (N, K, H, W); in training also `alignment`, otherwise `target`."""
        size = (batch[self.source].shape[-2], batch[self.source].shape[-1])
        source = self.embed(batch, self.source)
        out = {"source": self.logits(source, size)}
        if not self.training:
            return {**out, "target": self.logits(self.embed(batch, self.target), size)}
        if self.alignment is not None:
            there = batch.get("valid.parts")  # absent where all samples are labelled
            pairs = torch.zeros_like(source[:, 0, 0, 0], dtype=torch.bool) if there is None else ~there
            target = self.mappers[self.target](self._encode_pairs(batch, pairs))
            embedded = {self.source: source, self.target: target}
            measured = (batch["depth"][:, 0] > 0) & pairs[:, None, None]
            out["alignment"] = self.alignment(embedded["rgb"], embedded["depth"], measured)
        return out

    def _encode_pairs(self, batch: Batch, pairs: Tensor) -> Features:
        """Encode the target of the pairs; that of labelled samples is wiped out before anything sees it."""
        wiped = torch.where(pairs.view(-1, 1, 1, 1), batch[self.target], 0.0)
        encoder = self.encoder(self.target)
        return encode_present(encoder, wiped, pairs, SINGLE_PROCESS, *encoder.besides(batch))
