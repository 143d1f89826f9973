"""Swin with a semantic controller (SOLIDER, arXiv:2303.17602, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from bench.api import FeatureInfo, Features
from bench.encoders.image import ImageEncoder
from bench.errors import ConfigError
from bench.settings import Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticSwinConfig:
    model: str = "swin_tiny_patch4_window7_224"  # timm name
    # how much meaning (1) rather than looks (0) the features carry; below 0 the controller is off
    semantic_weight: Annotated[float, Meta(le=1)] = 0.8  # official code, parsing and pose
    options: Mapping[str, Any] = field(default_factory=dict)  # of timm.create_model
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)


class SemanticStages(nn.Module):
    """The stages of a timm Swin; what goes from one to the next is scaled and shifted by meaning."""

    def __init__(self, swin: Any, weight: float) -> None:
        super().__init__()
        self.patch_embed, self.layers = swin.patch_embed, swin.layers
        self.channels = [int(info["num_chs"]) for info in swin.feature_info]
        self.weight = weight
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in self.channels)
        self.semantic_embed_w = nn.ModuleList(nn.Linear(2, width) for width in self.channels[1:])
        self.semantic_embed_b = nn.ModuleList(nn.Linear(2, width) for width in self.channels[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return one normalised map per stage, (N, C, H, W), of the stage before its maps are merged."""
        x = self.patch_embed(x)
        maps = []
        for i, stage in enumerate(self.layers):
            x = stage.downsample(x)
            if i and self.weight >= 0:
                s = x.new_tensor([self.weight, 1 - self.weight])
                scale, shift = self.semantic_embed_w[i - 1](s), self.semantic_embed_b[i - 1](s)
                x = x * functional.softplus(scale) + shift
            x = stage.blocks(x)
            maps.append(self.norms[i](x).permute(0, 3, 1, 2).contiguous())
        return maps


class SemanticSwin(ImageEncoder):
    """A pyramid of Swin's four stages, each with a LayerNorm of its own."""

    Config = SemanticSwinConfig

    def __init__(self, cfg: SemanticSwinConfig, modality: str, joint_set: str | None = None) -> None:
        """Create the network.

        Args:
            cfg: see `SemanticSwinConfig`.
            modality: `rgb` or `depth`.
            joint_set: unused, images have no joints.

        Raises:
            ConfigError: no such model, or no Swin.
        """
        options = {
            **cfg.options,
            "num_classes": 0,
            "always_partition": True,  # the table of positions in a window is that of the weights at any size
            "strict_img_size": False,
        }
        if not cfg.model.startswith("swin_"):
            raise ConfigError(f"{cfg.model} is no Swin of timm")
        super().__init__(cfg.model, options, modality, cfg.mean, cfg.std)
        self.model = SemanticStages(self.model, cfg.semantic_weight)
        self.timm_recipe["semantic_weight"] = cfg.semantic_weight
        channels = tuple(self.model.channels)
        self.feature_info = FeatureInfo(
            kind="pyramid", channels=channels, strides=(4, 8, 16, 32), pooled=sum(channels)
        )

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1] or (N, 1, H, W) depth in metres."""
        maps = tuple(self.model(self.preprocess(x)))
        return Features(maps=maps, pooled=torch.cat([m.mean((2, 3)) for m in maps], 1))
