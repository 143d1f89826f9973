"""Maps of an encoder, projected into a space that several encoders share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Features, Module
from bench.heads.pixel import upsample
from bench.losses.numerics import l2_normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseMapperConfig:
    channels: tuple[int, ...]  # of the encoder's maps, fine to coarse
    dim: int = 128  # D


class DenseMapper(Module):
    """One linear layer on all maps at the finest resolution, unit length per pixel (arXiv:2203.13815)."""

    Config = DenseMapperConfig

    def __init__(self, cfg: DenseMapperConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.linear = nn.Linear(sum(cfg.channels), cfg.dim)

    def forward(self, features: Features) -> Tensor:
        """Project maps; each level before it is upsampled, which is the same, for less work.

        Returns:
            (N, D, h, w) float32, unit length along D, on the grid of the finest map.
        """
        finest = features.maps[0]
        kernels = torch.split(self.linear.weight, list(self.cfg.channels), 1)
        size = (finest.shape[2], finest.shape[3])
        mixed = F.conv2d(finest, kernels[0][:, :, None, None], self.linear.bias)
        for level, kernel in zip(features.maps[1:], kernels[1:], strict=True):
            mixed = mixed + upsample(F.conv2d(level, kernel[:, :, None, None]), size)
        return l2_normalize(mixed, 1)
