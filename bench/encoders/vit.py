"""Plain vision transformers: tokens of patches, and maps from hooked blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import torch
from msgspec import Meta
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bench.api import FeatureInfo, Features
from bench.encoders.image import ImageEncoder
from bench.encoders.positions import sincos_positions
from bench.errors import ConfigError
from bench.settings import Count, Positive, Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTConfig:
    model: str = "vit_base_patch16_224"  # timm name of a plain ViT; the values below replace its own
    # of the position table, or [height, width]; other sizes resize it
    image_size: Count | Annotated[list[Count], Meta(min_length=2, max_length=2)] = 224
    patch: Count = 16
    width: Count = 768
    blocks: Count = 12
    heads: Count = 12
    mlp_ratio: Positive = 4.0
    out_indices: tuple[int, ...] = (
        2,
        5,
        8,
        11,
    )  # blocks whose output becomes a map, shallow to deep, 0-based
    patch_padding: Whole = 0  # zeros around the image where patches are cut
    pool: Literal["mean", "cls"] = "mean"  # what `pooled` is
    positions: Literal["fixed", "learned"] = "fixed"  # sine-cosine; loaded weights bring a table that trains
    options: Mapping[str, Any] = field(default_factory=dict)  # further ones of timm.create_model
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        """Check that sizes divide each other and that out_indices are blocks.

        Raises:
            ConfigError: they do not, or are not.
        """
        if any(side % self.patch for side in self.sides) or self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"ViT: patch {self.patch} must divide image_size {self.image_size}, "
                f"heads {self.heads} and 4 must divide width {self.width}"
            )
        out_indices = list(self.out_indices)
        if (
            not out_indices
            or out_indices != sorted(set(out_indices))
            or not 0 <= out_indices[0] <= out_indices[-1] < self.blocks
        ):
            raise ConfigError(
                f"ViT: out_indices {out_indices} must ascend and lie within 0..{self.blocks - 1}"
            )
        if self.pool == "cls" and not self.options.get("class_token", True):
            raise ConfigError("ViT: pool=cls needs a class token; set pool=mean")

    @property
    def sides(self) -> list[int]:
        """Height and width of the image that the position table is for."""
        return [self.image_size] * 2 if isinstance(self.image_size, int) else list(self.image_size)

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
    """A timm VisionTransformer with a table of positions, with or without class token and registers.

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
            "img_size": cfg.sides if cfg.sides[0] != cfg.sides[1] else cfg.sides[0],
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
            channels=(cfg.width,) * len(cfg.out_indices),
            strides=(cfg.patch,) * len(cfg.out_indices),
            pooled=cfg.width,
        )
        height, width = self.grid = (cfg.sides[0] // cfg.patch, cfg.sides[1] // cfg.patch)
        self.prefix = int(getattr(self.model, "num_prefix_tokens", 0))  # class token and registers
        self.placed = 0 if getattr(self.model, "no_embed_class", False) else self.prefix  # rows of the table
        table = sincos_positions(height, width, cfg.width, self.placed)
        if not _is_plain(self.vit, table.shape):
            raise ConfigError(f"ViT: timm model {cfg.model} with {dict(cfg.options)} is no plain ViT")
        if cfg.patch_padding:
            self.vit.patch_embed.proj.padding = (cfg.patch_padding,) * 2
            self.timm_recipe["patch_padding"] = cfg.patch_padding
        initialise_like_mae(self.model)
        self.vit.pos_embed = nn.Parameter(table, requires_grad=cfg.positions == "learned")

    @property
    def vit(self) -> VisionTransformer:
        """The timm model."""
        return cast(VisionTransformer, self.model)

    @property
    def table(self) -> nn.Parameter:
        """Positions of the prefix tokens that have any, and of the patches, (1, placed + L, D)."""
        return cast(nn.Parameter, self.vit.pos_embed)

    def learn_positions(self) -> None:
        """Let training change the table of positions, here and in encoders that are built from the spec."""
        self.table.requires_grad_(True)
        self.respell({"positions": "learned"})

    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1] or (N, 1, H, W) depth in metres; the patch divides H and W."""
        patches, positions, (h, w) = self._embed(self.preprocess(x))
        hooked = []
        tokens = self._with_prefix(patches + positions)
        for index, block in enumerate(self._blocks()):
            tokens = block(tokens)
            if index in self.cfg.out_indices:
                hooked.append(self.vit.norm(tokens)[:, self.prefix :])
        last = self.vit.norm(tokens)
        maps = tuple(t.mT.unflatten(2, (h, w)) for t in hooked)
        patches = last[:, self.prefix :]
        pooled = last[:, 0] if self.cfg.pool == "cls" else patches.mean(1)
        return Features(maps=maps, pooled=pooled, tokens=patches)

    def encode_visible(self, x: Tensor, keep: Tensor) -> Tensor:
        """Encode some patches only; the others are dropped before the first block.

        Args:
            x: as for `forward`.
            keep: (N, L') int64, indices of patches in row order.

        Returns:
            (N, prefix + L', D), class token and registers first, after the final LayerNorm.
        """
        patches, positions, _ = self._embed(self.preprocess(x))
        chosen = keep[:, :, None].expand(-1, -1, patches.shape[2])
        tokens = self._with_prefix((patches + positions).gather(1, chosen))
        for block in self._blocks():
            tokens = block(tokens)
        out: Tensor = self.vit.norm(tokens)
        return out

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return patches (N, L, D), their positions (1, L, D) and the grid (h, w)."""
        patches = self.vit.patch_embed(x)  # (N, h, w, D)
        h, w = patches.shape[1:3]
        table = resample_abs_pos_embed(
            self.vit.pos_embed, new_size=[h, w], old_size=list(self.grid), num_prefix_tokens=self.placed
        )
        return patches.flatten(1, 2), table[:, self.placed :], (h, w)

    def _with_prefix(self, tokens: Tensor) -> Tensor:
        prefix: list[Tensor] = [
            token for token in (self.vit.cls_token, self.vit.reg_token) if token is not None
        ]
        if not prefix:
            return tokens
        first = torch.cat(prefix, 1)
        if self.placed:
            first = first + cast(Tensor, self.vit.pos_embed)[:, : self.placed]
        return torch.cat([first.expand(len(tokens), -1, -1), tokens], 1)

    def _blocks(self) -> Iterable[nn.Module]:
        return cast(Iterable[nn.Module], self.vit.blocks)


def _is_plain(model: nn.Module, table: torch.Size) -> bool:
    """Say whether `ViT.forward` does what the timm model would."""
    return (
        isinstance(model, VisionTransformer)
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
        if name.rpartition(".")[2] in ("cls_token", "mask_token", "reg_token"):
            nn.init.normal_(parameter, std=0.02)
