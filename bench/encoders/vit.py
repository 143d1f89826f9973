"""Plain vision transformers: tokens of patches, and maps from hooked blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bench.api import FeatureInfo, Features
from bench.encoders.image import ImageEncoder
from bench.encoders.positions import sincos_positions
from bench.errors import ConfigError
from bench.settings import Count, Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTConfig:
    model: str = "vit_base_patch16_224"  # timm name of a plain ViT; the values below replace its own
    image_size: Count = 224  # of the position table; other sizes resize it
    patch: Count = 16
    width: Count = 768
    blocks: Count = 12
    heads: Count = 12
    mlp_ratio: Positive = 4.0
    hooks: tuple[int, ...] = (2, 5, 8, 11)  # blocks whose output becomes a map, shallow to deep, 0-based
    pool: Literal["mean", "cls"] = "mean"  # what `pooled` is
    positions: Literal["fixed", "learned"] = "fixed"  # sine-cosine; loaded weights bring a table that trains
    options: Mapping[str, Any] = field(default_factory=dict)  # further ones of timm.create_model
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        """Check that sizes divide each other and that hooks are blocks.

        Raises:
            ConfigError: they do not, or are not.
        """
        if self.image_size % self.patch or self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"ViT: patch {self.patch} must divide image_size {self.image_size}, "
                f"heads {self.heads} and 4 must divide width {self.width}"
            )
        hooks = list(self.hooks)
        if not hooks or hooks != sorted(set(hooks)) or not 0 <= hooks[0] <= hooks[-1] < self.blocks:
            raise ConfigError(f"ViT: hooks {hooks} must ascend and lie within 0..{self.blocks - 1}")

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


class ViT(ImageEncoder):
    """A timm VisionTransformer with a class token and a table of positions.

    Weights start as in MAE (xavier-uniform, official code), also where another method trains the network. The
    final LayerNorm is applied to every hooked block (design choice: all maps have one scale).
    """

    Config = ViTConfig

    def __init__(self, cfg: ViTConfig, modality: str, joint_set: str | None = None) -> None:
        """Create the network.

        Args:
            cfg: see `ViTConfig`.
            modality: `rgb` or `depth`.
            joint_set: unused, images have no joints.

        Raises:
            ConfigError: no such model.
        """
        options = {
            **cfg.options,
            "img_size": cfg.image_size,
            "patch_size": cfg.patch,
            "embed_dim": cfg.width,
            "depth": cfg.blocks,
            "num_heads": cfg.heads,
            "mlp_ratio": cfg.mlp_ratio,
            "num_classes": 0,
            "dynamic_img_size": True,
        }
        super().__init__(cfg.model, options, modality, cfg.mean, cfg.std)
        self.cfg = cfg
        self.feature_info = FeatureInfo(
            kind="tokens",
            channels=(cfg.width,) * len(cfg.hooks),
            strides=(cfg.patch,) * len(cfg.hooks),
            pooled=cfg.width,
        )
        side = cfg.image_size // cfg.patch
        table = sincos_positions(side, side, cfg.width)
        if not _is_plain(self.vit, table.shape):
            raise ConfigError(
                f"ViT: timm model {cfg.model} with {dict(cfg.options)} is no plain ViT with one class token"
            )
        initialise_like_mae(self.model)
        self.vit.pos_embed = nn.Parameter(table, requires_grad=cfg.positions == "learned")

    @property
    def vit(self) -> VisionTransformer:
        """The timm model."""
        return cast(VisionTransformer, self.model)

    @property
    def table(self) -> nn.Parameter:
        """Positions of the class token and the patches, (1, 1 + L, D)."""
        return cast(nn.Parameter, self.vit.pos_embed)

    def learn_positions(self) -> None:
        """Let training change the table of positions, here and in encoders that are built from the spec."""
        self.table.requires_grad_(True)
        self.respell({"positions": "learned"})

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1] or (N, 1, H, W) depth in metres; the patch divides H and W."""
        patches, positions, (h, w) = self._embed(self.preprocess(x))
        hooked = []
        tokens = self._with_cls(patches + positions)
        for index, block in enumerate(self._blocks()):
            tokens = block(tokens)
            if index in self.cfg.hooks:
                hooked.append(self.vit.norm(tokens)[:, 1:])
        last = self.vit.norm(tokens)
        maps = tuple(t.mT.unflatten(2, (h, w)) for t in hooked)
        pooled = last[:, 0] if self.cfg.pool == "cls" else last[:, 1:].mean(1)
        return Features(maps=maps, pooled=pooled, tokens=last[:, 1:])

    def encode_visible(self, x: Tensor, keep: Tensor) -> Tensor:
        """Encode some patches only; the others are dropped before the first block.

        Args:
            x: as for `forward`.
            keep: (N, L') int64, indices of patches in row order.

        Returns:
            (N, 1 + L', D), class token first, after the final LayerNorm.
        """
        patches, positions, _ = self._embed(self.preprocess(x))
        chosen = keep[:, :, None].expand(-1, -1, patches.shape[2])
        tokens = self._with_cls((patches + positions).gather(1, chosen))
        for block in self._blocks():
            tokens = block(tokens)
        out: Tensor = self.vit.norm(tokens)
        return out

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return patches (N, L, D), their positions (1, L, D) and the grid (h, w)."""
        patches = self.vit.patch_embed(x)  # (N, h, w, D)
        h, w = patches.shape[1:3]
        table = resample_abs_pos_embed(self.vit.pos_embed, new_size=[h, w], num_prefix_tokens=1)
        return patches.flatten(1, 2), table[:, 1:], (h, w)

    def _with_cls(self, tokens: Tensor) -> Tensor:
        cls = cast(Tensor, self.vit.cls_token) + cast(Tensor, self.vit.pos_embed)[:, :1]
        return torch.cat([cls.expand(len(tokens), -1, -1), tokens], 1)

    def _blocks(self) -> Iterable[nn.Module]:
        return cast(Iterable[nn.Module], self.vit.blocks)


def _is_plain(model: nn.Module, table: torch.Size) -> bool:
    """Say whether `ViT.forward` does what the timm model would."""
    return (
        isinstance(model, VisionTransformer)
        and model.cls_token is not None
        and model.reg_token is None
        and isinstance(model.norm_pre, nn.Identity)
        and isinstance(model.pos_embed, Tensor)
        and model.pos_embed.shape == table
    )


def initialise_like_mae(module: nn.Module) -> None:
    """Draw weights as MAE does: xavier-uniform for linear layers and patches, N(0, 0.02) for tokens."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight.data.flatten(1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] in ("cls_token", "mask_token"):
            nn.init.normal_(parameter, std=0.02)
