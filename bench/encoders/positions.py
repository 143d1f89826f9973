"""Fixed positions of patches."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import ConfigError


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
