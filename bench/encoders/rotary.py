"""Rotary positions of patches: queries and keys are turned by their row and column (CroCo v2, 2211.10408)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.errors import ConfigError


def rotary_angles(height: int, width: int, dim: int, base: float = 100.0) -> Tensor:
    """Return the angles by which the channels of one head turn.

    The first half of the channels turns by the row, the second by the column, with frequencies
    base**(-k / (dim / 4)); channel k of a half turns together with channel k + dim / 4.

    Args:
        height: rows.
        width: columns.
        dim: channels of a head, a multiple of 4.
        base: of the frequencies.

    Returns:
        (height * width, 2, dim / 4) float32, row by row: angles by row, and by column.

    Raises:
        ConfigError: `dim` is no multiple of 4.
    """
    if dim % 4:
        raise ConfigError(f"rotary positions need heads whose width is a multiple of 4, not {dim}")
    frequencies = base ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).view(-1, 2)
    return (places[:, :, None] * frequencies).float()


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn queries or keys; the product of two then depends on the difference of their positions alone.

    Args:
        x: (..., L, dim).
        angles: of `rotary_angles`, (L, 2, dim / 4).

    Returns:
        As `x`, float32.
    """
    halves = x.float().reshape(*x.shape[:-1], 2, 2, x.shape[-1] // 4)  # row or column, partners in a turn
    a, b = halves.unbind(-2)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -2).flatten(-3)
