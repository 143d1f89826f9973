"""Decoder of two images: tokens of one look at those of the other (CroCo, arXiv:2210.10716, Sec. 3)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Module
from bench.encoders.positions import sincos_positions
from bench.encoders.rotary import rotary_angles, rotate
from bench.encoders.vit import initialise_like_mae
from bench.errors import ConfigError
from bench.settings import Count

LayerNorm = functools.partial(nn.LayerNorm, eps=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDecoderConfig:
    inputs: Count  # D, width of the encoder's tokens
    grid: tuple[Count, Count]  # rows and columns of patches, of both images
    width: Count = 512  # W
    blocks: Count = 8
    heads: Count = 16
    positions: Literal["sincos", "rope100"] = "sincos"  # added to the tokens, or turning queries and keys

    def __post_init__(self) -> None:
        """Check that the heads share the width.

        Raises:
            ConfigError: they do not, or positions need another width.
        """
        if self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"decoder width {self.width} must be a multiple of 4 and of its {self.heads} heads"
            )
        if self.positions == "rope100" and self.width // self.heads % 4:
            raise ConfigError(
                f"positions=rope100 needs heads whose width is a multiple of 4, not "
                f"{self.width} / {self.heads}"
            )


class PairDecoder(Module):
    """Blocks of self-attention over the target, cross-attention to the reference, and an MLP.

    The tokens of the reference are the same for all blocks. Tokens are those of patches; class tokens stay
    outside, so that encoders with and without one are treated alike.
    """

    Config = PairDecoderConfig

    def __init__(self, cfg: PairDecoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        height, width = cfg.grid
        self.patches = height * width
        self.embed = nn.Linear(cfg.inputs, cfg.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, cfg.width))
        rotary = cfg.positions == "rope100"
        table = (
            rotary_angles(height, width, cfg.width // cfg.heads)
            if rotary
            else sincos_positions(height, width, cfg.width, prefix=0)
        )
        self.register_buffer("positions", table, persistent=False)
        self.blocks = nn.ModuleList(PairBlock(cfg.width, cfg.heads) for _ in range(cfg.blocks))
        self.norm = LayerNorm(cfg.width)
        initialise_like_mae(self)

    def forward(self, target: Tensor, reference: Tensor, keep: Tensor | None = None) -> Tensor:
        """Decode the target with the help of the reference.

        Args:
            target: tokens of the encoder after its final LayerNorm, (N, L', D), or (N, L, D) of all patches.
            reference: tokens of all patches of the other image, (N, L, D).
            keep: which patches `target` holds, (N, L') int64; the others become one learned token. None: all.

        Returns:
            (N, L, W) after the final LayerNorm.
        """
        return self.hooked(target, reference, (self.cfg.blocks - 1,), keep)[0]

    def hooked(
        self, target: Tensor, reference: Tensor, out_indices: Sequence[int], keep: Tensor | None = None
    ) -> list[Tensor]:
        """Return the outputs (N, L, W) of some blocks, 0-based, ascending, after the final LayerNorm."""
        x, memory = self.embed(target), self.embed(reference)
        if keep is not None:
            empty = self.mask_token.to(x.dtype).expand(len(x), self.patches, -1)
            x = empty.scatter(1, keep[:, :, None].expand(-1, -1, x.shape[2]), x)
        positions, angles = self.get_buffer("positions"), None
        if self.cfg.positions == "rope100":
            angles = positions
            x = x.to(self.norm.weight.dtype)  # what blocks add up is as exact as where a table is added
        else:
            x, memory = x + positions, memory + positions
        found = []
        for index, block in enumerate(self.blocks):
            x = block(x, memory, angles)
            if index in out_indices:
                found.append(self.norm(x))
        return found


class PairBlock(nn.Module):
    """One block; the names of its parts are those of the released weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm_y = (LayerNorm(width) for _ in range(4))
        self.attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, memory: Tensor, angles: Tensor | None) -> Tensor:
        """Update the target's tokens `x` (N, L, W); `memory` (N, L, W) stays as it is."""
        x = x + self.attn(self.norm1(x), angles)
        x = x + self.cross_attn(self.norm2(x), self.norm_y(memory), angles)
        out: Tensor = x + self.mlp(self.norm3(x))
        return out


class SelfAttention(nn.Module):
    """Attention of tokens to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, angles: Tensor | None) -> Tensor:
        """Map (N, L, W) to (N, L, W)."""
        q, k, v = self.qkv(x).chunk(3, -1)
        out: Tensor = self.proj(_attend(q, k, v, self.heads, angles))
        return out


class CrossAttention(nn.Module):
    """Attention of tokens to those of another image."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq, self.projk, self.projv, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, angles: Tensor | None) -> Tensor:
        """Map (N, L, W), with (N, L, W) of the other image, to (N, L, W)."""
        q, k, v = self.projq(x), self.projk(memory), self.projv(memory)
        out: Tensor = self.proj(_attend(q, k, v, self.heads, angles))
        return out


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int, angles: Tensor | None) -> Tensor:
    n, _, width = q.shape
    q, k, v = (part.view(n, -1, heads, width // heads).transpose(1, 2) for part in (q, k, v))
    if angles is not None:
        q, k = rotate(q, angles).to(v.dtype), rotate(k, angles).to(v.dtype)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
