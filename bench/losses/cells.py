"""Positions on the feature grid, and reading a pyramid there without building its full-size map.

A *cell* is (row, col) on the grid of the finest map. Reading a pyramid at a cell gives what upsampling all
maps to that grid (bilinear, align_corners=False) and concatenating their channels would give at that cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import Draws


def draw_cells(mask: Tensor, count: int, draws: Draws, *, replace: bool = False) -> Tensor:
    """Draw cells uniformly from a mask.

    Args:
        mask: (N, h, w) bool. For an empty one the result is cell (0, 0): leave such samples out of the loss.
        count: S, cells per sample.
        draws: of the step.
        replace: draw with replacement. Otherwise the cells of a sample differ wherever its mask has at least
            S of them; smaller masks are drawn from with replacement.

    Returns:
        (N, S, 2) int64.
    """
    n, h, w = mask.shape
    flat = mask.flatten(1)
    filled = flat.sum(1, keepdim=True)  # (N, 1)
    ranks = draws.rand(n, count).to(mask.device)
    order = flat.int().argsort(dim=1, descending=True, stable=True)  # cells of the mask first
    rank = torch.minimum((ranks * filled).long(), (filled - 1).clamp(min=0))
    chosen = order.gather(1, rank)
    if not replace and count <= h * w:
        keys = draws.rand(n, h * w).to(mask.device)
        distinct = keys.masked_fill(~flat, -1.0).topk(count, 1).indices
        chosen = torch.where(filled >= count, distinct, chosen)
    return torch.stack([chosen // w, chosen % w], 2)


def mask_on_grid(mask: Tensor, shape: Sequence[int]) -> Tensor:
    """Shrink a mask (N, H, W) bool to the grid (h, w) by nearest neighbour."""
    return F.interpolate(mask[:, None].float(), tuple(shape), mode="nearest")[:, 0] > 0.5


def joint_cells(pixels: Tensor, stride: int, shape: Sequence[int]) -> Tensor:
    """Return the cell of each joint: floor(pixel / stride), clamped to the grid.

    Args:
        pixels: (N, J, 2) row, col in input pixels.
        stride: input pixels per cell.
        shape: (h, w) of the grid.

    Returns:
        (N, J, 2) int64.
    """
    limit = torch.tensor(shape, device=pixels.device) - 1
    cells = torch.floor(pixels / stride).long()
    return torch.minimum(cells.clamp(min=0), limit)


def read_cells(maps: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Read the columns of a pyramid at cells of its finest map.

    Args:
        maps: (N, C_i, h_i, w_i), fine to coarse.
        cells: (N, S, 2) int64, inside the finest map.

    Returns:
        (N, S, sum of C_i). The finest map is read exactly, the others between their cells.
    """
    n, c, h, w = maps[0].shape
    flat = (cells[..., 0] * w + cells[..., 1])[:, None].expand(n, c, -1)  # (N, C, S)
    finest = maps[0].flatten(2).gather(2, flat).mT
    points = (cells + 0.5) / torch.tensor([h, w], device=cells.device)
    return torch.cat([finest, *(read_between(m, points) for m in maps[1:])], 2)


def read_points(maps: Sequence[Tensor], pixels: Tensor, stride: int) -> Tensor:
    """Read the columns of a pyramid between cells, at pixels (N, S, 2) row, col: (N, S, sum of C_i)."""
    h, w = maps[0].shape[2:]
    points = pixels / torch.tensor([h * stride, w * stride], device=pixels.device)
    return torch.cat([read_between(m, points) for m in maps], 2)


def read_between(feature_map: Tensor, points: Tensor) -> Tensor:
    """Interpolate (N, C, h, w) at (N, S, 2) row, col in 0..1: (N, S, C)."""
    n, c, h, w = feature_map.shape
    cells, weights = _corners(points, h, w)
    first = torch.arange(n, device=points.device)[:, None, None] * (h * w)
    table = feature_map.permute(0, 2, 3, 1).reshape(n * h * w, c)
    # three times as fast as grid_sample on a CPU, and its gradient is deterministic on a GPU
    read = F.embedding_bag(
        (cells + first).flatten(0, 1),
        table,
        per_sample_weights=weights.flatten(0, 1).to(table.dtype),
        mode="sum",
    )
    return read.view(n, -1, c)


def _corners(points: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Return the four cells around points (N, S, 2), numbered row by row, and their weights: (N, S, 4)."""
    limit = torch.tensor([h - 1, w - 1], device=points.device)
    place = points * (limit + 1) - 0.5
    place = torch.minimum(place.clamp(min=0), limit.to(place.dtype))
    low = place.floor().long()
    high = torch.minimum(low + 1, limit)
    share = place - low
    rows = torch.stack([low[..., 0], low[..., 0], high[..., 0], high[..., 0]], 2)
    columns = torch.stack([low[..., 1], high[..., 1], low[..., 1], high[..., 1]], 2)
    down, right = share[..., 0], share[..., 1]
    weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    return rows * w + columns, torch.stack(weights, 2)
