"""Transformers of timm with forward passes of their own: rotary positions, registers, other blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from bench.api import FeatureInfo, Features
from bench.encoders.image import ImageEncoder
from bench.errors import ConfigError
from bench.settings import Count, Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensConfig:
    model: str  # timm name
    patch: Count = 16
    options: Mapping[str, Any] = field(default_factory=dict)  # of timm.create_model
    out_indices: tuple[
        int, ...
    ] = ()  # blocks whose output becomes a map, 0-based; empty takes each quarter's last
    pool: Literal["mean", "cls"] = "mean"  # what `pooled` is
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)

    def check(
        self,
        *,
        size: tuple[int, int],
        encoder: Mapping[str, Any],
        encoders: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Check that images can be cut into patches."""
        if size[0] % self.patch or size[1] % self.patch:
            where = f"encoder {encoder['name']}: preset.size={size[0] if size[0] == size[1] else list(size)}"
            raise ConfigError(f"{where} is no multiple of its patch of {self.patch}")


class TimmTokens(ImageEncoder):
    """Any transformer of timm that has `forward_intermediates`; timm alone decides what happens inside.

    The final LayerNorm is applied to every hooked block, as `bench.encoders.vit.ViT` does.
    """

    Config = TokensConfig

    def __init__(self, cfg: TokensConfig, modality: str, joint_set: str | None = None) -> None:
        """Create the network.

        Args:
            cfg: see `TokensConfig`.
            modality: `rgb` or `depth`.
            joint_set: unused, images have no joints.

        Raises:
            ConfigError: no such model, or one without blocks of patches of that size.
        """
        options = {**cfg.options, "num_classes": 0, "dynamic_img_size": True}
        super().__init__(cfg.model, options, modality, cfg.mean, cfg.std)
        model: Any = self.model
        blocks, patches = getattr(model, "blocks", None), getattr(model, "patch_embed", None)
        if blocks is None or patches is None or not hasattr(model, "forward_intermediates"):
            raise ConfigError(f"timm model {cfg.model} is no transformer of patches")
        if tuple(patches.patch_size) != (cfg.patch, cfg.patch):
            raise ConfigError(f"timm model {cfg.model} has patches of {patches.patch_size}, not {cfg.patch}")
        depth = len(blocks)
        self.out_indices = cfg.out_indices or tuple(
            sorted({max(0, round(depth * q / 4) - 1) for q in (1, 2, 3, 4)})
        )
        if (
            list(self.out_indices) != sorted(set(self.out_indices))
            or not 0 <= self.out_indices[0] <= self.out_indices[-1] < depth
        ):
            raise ConfigError(
                f"out_indices {list(self.out_indices)} must ascend and lie within 0..{depth - 1}"
            )
        self.prefix = int(getattr(model, "num_prefix_tokens", 0))
        if cfg.pool == "cls" and not self.prefix:
            raise ConfigError(f"timm model {cfg.model} has no class token; set pool=mean")
        self.cfg = cfg
        width = int(model.embed_dim)
        count = len(self.out_indices)
        self.feature_info = FeatureInfo(
            kind="tokens", channels=(width,) * count, strides=(cfg.patch,) * count, pooled=width
        )

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1] or (N, 1, H, W) depth in metres; the patch divides H and W."""
        model: Any = self.model
        last, maps = model.forward_intermediates(
            self.preprocess(x), indices=list(self.out_indices), norm=True
        )
        tokens = last[:, self.prefix :]
        pooled = last[:, 0] if self.cfg.pool == "cls" else tokens.mean(1)
        return Features(maps=tuple(maps), pooled=pooled, tokens=tokens)
