"""Tables of the positions of patches: fixed ones, and those of published weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

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


def fit_positions(state: dict[str, Tensor], module: nn.Module, grid: Sequence[int], path: Path) -> None:
    """Bring a loaded table of positions to the grid of a network, in place of the loaded one.

    A row for the class token that the network has not is added to the token where registers stand between
    (`no_embed_class` of timm); one that the table has not counts as zero.

    Args:
        state: loaded tensors by the network's names; `pos_embed` and `cls_token` may change.
        module: with `pos_embed` (1, prefix + h * w, D) and timm's `patch_embed.grid_size`; else left alone.
        grid: height and width of the table's grid; empty takes a square.
        path: names the file in errors.

    Raises:
        AssetError: the number of rows is not that of a grid with at most one further token.
    """
    own, patches = getattr(module, "pos_embed", None), getattr(module, "patch_embed", None)
    if "pos_embed" not in state or not isinstance(own, Tensor) or not hasattr(patches, "grid_size"):
        return
    table = state["pos_embed"]
    height, width = (int(side) for side in patches.grid_size)  # type: ignore[union-attr]
    wanted = own.shape[1] - height * width
    rows = table.shape[1] if table.ndim == 3 and len(table) == 1 else 0
    prefixes = [p for p in dict.fromkeys((wanted, 1, 0)) if rows > p and _fits(rows - p, grid)]
    if not prefixes:
        declared = f"the declared grid {list(grid)}" if grid else "a square"
        raise AssetError(
            f"{path}: pos_embed of shape {tuple(table.shape)} is not {declared} of patches with at most a "
            "class token; give its height and width with the key `grid` of the layout or of the "
            "method, and take out further tokens"
        )
    prefix = prefixes[0]
    old = list(grid) or [math.isqrt(rows - prefix)] * 2
    if (
        prefix == 1
        and wanted == 0
        and "cls_token" in state
        and state["cls_token"].shape == (1, 1, own.shape[2])
    ):
        state["cls_token"] = state["cls_token"] + table[:, :1]
        table, prefix = table[:, 1:], 0
    if prefix == 0 and wanted:
        table, prefix = torch.cat([table.new_zeros(1, wanted, table.shape[2]), table], 1), wanted
    if prefix != wanted:
        raise AssetError(
            f"{path}: pos_embed of shape {tuple(table.shape)} has {prefix} rows for further tokens, the "
            f"network {wanted}; choose an encoder with the same tokens"
        )
    state["pos_embed"] = resample_abs_pos_embed(
        table, new_size=[height, width], old_size=old, num_prefix_tokens=wanted
    )


def _fits(patches: int, grid: Sequence[int]) -> bool:
    return patches == (math.prod(grid) if grid else math.isqrt(patches) ** 2)
