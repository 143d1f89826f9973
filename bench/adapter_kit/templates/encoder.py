"""TODO: one line on what this network is. This skeleton is four convolutions, each of half the resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.api import Encoder, FeatureInfo, Features
from bench.errors import ConfigError
from bench.settings import Count

COLOUR = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation that the layers see
DEPTH = (2.5,), (1.0,)  # metres


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    width: Count = 16  # channels of the finest map


class Template(Encoder):
    """A pyramid of three maps, 4, 8 and 16 pixels per cell; the mean of the last one is the pooled vector."""

    Config = TemplateConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: TemplateConfig, modality: str, joint_set: str | None) -> None:
        super().__init__()
        if modality not in ("rgb", "depth"):
            raise ConfigError(f"encoder TEMPLATE_NAME reads images, not {modality}")
        mean, std = COLOUR if modality == "rgb" else DEPTH
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        widths = (config.width, config.width, 2 * config.width, 4 * config.width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in zip((len(mean), *widths), widths, strict=False)
        )
        self.feature_info = FeatureInfo(
            kind="pyramid", channels=widths[1:], strides=(4, 8, 16), pooled=widths[-1]
        )

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1], or (N, 1, H, W) depth in metres, 0 = not measured."""
        x = (x - self.mean) / self.std
        maps = []
        for block in self.blocks:
            maps.append(x := block(x))
        return Features(maps=tuple(maps[1:]), pooled=x.mean((2, 3)))
