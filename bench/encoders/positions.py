"""Tables of the positions of patches: fixed ones, and those of published weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from bench.errors import AssetError, ConfigError


def sincos_positions(height: int, width: int, dim: int, prefix: int = 1) -> Tensor:
    """Return sine-cosine positions of a grid, in the layout of MAE's released weights (arXiv:2111.06377).

    The first half of the channels encodes the column, the second half the row; each half holds sines, then
    cosines, of frequencies 10000**(-k / (dim / 4)).

    Args:
        height: rows.
        width: columns.
        dim: D, a multiple of 4.
        prefix: leading zero rows, e.g. for the class token.

    Returns:
        (1, prefix + height * width, D) float32.

    Raises:
        ConfigError: `dim` is no multiple of 4.
    """
    if dim % 4:
        raise ConfigError(f"sine-cosine positions need a width that is a multiple of 4, not {dim}")
    frequencies = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (columns, rows)]
    table = torch.cat([part for a in angles for part in (a.sin(), a.cos())], 1)
    return torch.cat([table.new_zeros(prefix, dim), table])[None].float()


def resize_positions(table: Tensor, side: int, grid: Sequence[int], path: Path) -> Tensor:
    """Bring a loaded table to a square grid of patches behind one class token.

    Args:
        table: (1, N, D), with a row for the class token or without, whose position then counts as zero.
        side: of the wanted grid.
        grid: height and width of the table's grid; empty takes a square.
        path: names the file in errors.

    Returns:
        (1, 1 + side * side, D).

    Raises:
        AssetError: the number of rows is not that of a grid with at most one further token.
    """
    rows = table.shape[1] if table.ndim == 3 and len(table) == 1 else 0
    prefixes = [p for p in (1, 0) if rows > p and _fits(rows - p, grid)]
    if not prefixes:
        declared = f"the declared grid {list(grid)}" if grid else "a square"
        raise AssetError(
            f"{path}: pos_embed of shape {tuple(table.shape)} is not {declared} of patches with at most a "
            "class token; give its height and width with the config key `grid` of the method imagenet, and "
            "take out further tokens"
        )
    prefix = prefixes[0]
    old = list(grid) or [math.isqrt(rows - prefix)] * 2
    if prefix == 0:
        table = torch.cat([table.new_zeros(1, 1, table.shape[2]), table], 1)
    resized: Tensor = resample_abs_pos_embed(table, new_size=[side, side], old_size=old, num_prefix_tokens=1)
    return resized


def _fits(patches: int, grid: Sequence[int]) -> bool:
    return patches == (math.prod(grid) if grid else math.isqrt(patches) ** 2)
