"""Convolutional networks of timm as pyramids: one map per stride."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.api import FeatureInfo, Features
from bench.encoders.image import ImageEncoder
from bench.errors import ConfigError
from bench.settings import Positive, Share

COARSEST = 32  # stride of the last map


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidConfig:
    model: str  # timm name
    options: Mapping[str, Any] = field(default_factory=dict)  # of timm.create_model, e.g. channels, layers
    out_indices: tuple[int, ...] = (1, 2, 3, 4)  # timm's numbering; 0 is the stem, -1 the coarsest map
    upsample: Literal["", "bilinear", "nearest"] = (
        ""  # how HRNet brings coarse maps to fine ones; "" = timm's
    )
    bn_momentum: Share = 0.1  # share of the new batch in the running statistics
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    channels_last: bool = True  # memory layout; up to twice as fast, also on CPU

    def check(
        self,
        *,
        size: tuple[int, int],
        encoder: Mapping[str, Any],
        encoders: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Check that images pass through: HRNet adds maps of all strides, ConvNeXt cuts without padding."""
        images = f"images of {size[0]} x {size[1]} pixels do not pass through it"
        where = f"encoder {encoder['name']}: {images}"
        if self.model.startswith("hrnet") and any(side % COARSEST for side in size):
            fitting = [-(-side // COARSEST) * COARSEST for side in size]
            named = fitting[0] if fitting[0] == fitting[1] else fitting
            raise ConfigError(
                f"{where}: their sides must be multiples of {COARSEST}, e.g. preset.size={named}"
            )
        if self.model.startswith("convnext") and min(size) < COARSEST:
            raise ConfigError(f"{where}: the smallest that do have preset.size={COARSEST}")


class TimmPyramid(ImageEncoder):
    """Any `features_only` convolutional network of timm.

    HRNet needs the option `feature_location: ""`: timm's default appends the classifier's widening blocks.
    `pooled` is the average of every map, concatenated (HCMoCo, official code).
    """

    Config = PyramidConfig

    def __init__(self, cfg: PyramidConfig, modality: str, joint_set: str | None = None) -> None:
        """Create the network.

        Args:
            cfg: see `PyramidConfig`.
            modality: `rgb` or `depth`.
            joint_set: unused, images have no joints.

        Raises:
            ConfigError: no such model, or one whose maps do not get coarser.
        """
        options = {**cfg.options, "features_only": True, "out_indices": list(cfg.out_indices)}
        super().__init__(cfg.model, options, modality, cfg.mean, cfg.std)
        found: Any = self.model.feature_info
        channels, strides = tuple(found.channels()), tuple(found.reduction())
        if list(strides) != sorted(set(strides)):
            raise ConfigError(f"timm model {cfg.model} is no pyramid, its maps have strides {list(strides)}")
        self.feature_info = FeatureInfo(
            kind="pyramid", channels=channels, strides=strides, pooled=sum(channels)
        )
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = cfg.bn_momentum
        if cfg.upsample:
            self._set_upsampling(cfg.upsample)
        self.last_axis = str(getattr(self.model, "output_fmt", "")).endswith("NHWC")
        self.layout = torch.channels_last if cfg.channels_last else torch.contiguous_format
        self.model.to(memory_format=self.layout)

    def upsample_by(self, mode: str) -> None:
        """Bring the maps of an HRNet together otherwise, also in encoders that are built from the spec."""
        self._set_upsampling(mode)
        self.respell({"upsample": mode})

    def _set_upsampling(self, mode: str) -> None:
        found = [module for module in self.model.modules() if isinstance(module, nn.Upsample)]
        if not found:
            raise ConfigError(f"{self.timm_recipe['name']} upsamples nothing; leave out `upsample`")
        for module in found:
            module.mode = mode
            module.align_corners = False if mode == "bilinear" else None
        self.timm_recipe["upsample"] = mode

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1] or (N, 1, H, W) depth in metres."""
        maps = tuple(self.model(self.preprocess(x).contiguous(memory_format=self.layout)))
        if self.last_axis:  # Swin and its like have channels last
            maps = tuple(m.permute(0, 3, 1, 2).contiguous() for m in maps)
        return Features(maps=maps, pooled=torch.cat([m.mean((2, 3)) for m in maps], 1))
