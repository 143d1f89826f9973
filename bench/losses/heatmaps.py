"""Heat maps of joints: targets, losses, and the way back to positions.

Positions are (row, col) in the plane of the image: pixel r covers [r, r + 1). A map of h x w cells covers
the whole image of H x W pixels, so cell (i, j) covers [i, i + 1) x H / h by [j, j + 1) x W / w and its
middle lies at (i + 0.5) H / h. The middle of a target is the joint itself, not the nearest cell.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.losses.numerics import in_float32

Decoding = Literal["quarter", "dark"]
SMALLEST = 1e-10  # of a heat map whose logarithm is taken


@torch.no_grad()
def gaussian_targets(
    joints: Tensor, cells: tuple[int, int], size: tuple[int, int], sigma: float = 2.0
) -> Tensor:
    """Draw a Gaussian of height 1 around every joint.

    Args:
        joints: (N, J, 2) row, col in pixels.
        cells: (h, w) of the maps.
        size: (H, W) of the image, pixels.
        sigma: standard deviation in cells.

    Returns:
        (N, J, h, w) float32.
    """
    ratio = torch.tensor(cells, device=joints.device) / torch.tensor(size, device=joints.device)
    place = joints.float() * ratio - 0.5  # (N, J, 2), 0 = middle of the first cell
    row, col = (
        torch.exp((torch.arange(n, device=joints.device) - place[..., axis, None]).square() / (-2 * sigma**2))
        for axis, n in enumerate(cells)
    )
    return row[..., :, None] * col[..., None, :]


def trainable(joints: Tensor, size: tuple[int, int]) -> Tensor:
    """Say which joints a heat map can be taught: labelled ones inside the image.

    Args:
        joints: (N, J, 3 or more) row, col, ..., visibility last, 0 = not labelled.
        size: (H, W) of the image, pixels.

    Returns:
        (N, J) bool.
    """
    end = torch.tensor(size, device=joints.device)
    return (joints[..., -1] > 0) & ((joints[..., :2] >= 0) & (joints[..., :2] < end)).all(-1)


def confidences(joints: Tensor, size: tuple[int, int]) -> Tensor:
    """Say how far joints can be trusted: 0 where `trainable` says no, else what is stored, at most 1.

    Args:
        joints: (N, J, 3 or more) row, col, ..., confidence in 0..1 or visibility (1, 2 = labelled) last.
        size: (H, W) of the image, pixels.

    Returns:
        (N, J) float32.
    """
    return trainable(joints, size) * joints[..., -1].float().clamp(max=1)


@in_float32
def heatmap_mse(
    heatmaps: Tensor, targets: Tensor, weights: Tensor, group: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Half the squared error, mean over the cells and over the labelled joints; 0 where there are none.

    Args:
        heatmaps: (N, J, h, w).
        targets: (N, J, h, w).
        weights: (N, J) bool, which are labelled; or their confidences in 0..1.
        group: processes whose rows count as one batch.
    """
    return _mean(0.5 * (heatmaps - targets).square().mean((2, 3)), weights, group)


@in_float32
def heatmap_bce(
    heatmaps: Tensor, targets: Tensor, weights: Tensor, group: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Binary cross-entropy, mean over the cells and over the labelled joints, nats; 0 where there are none.

    Args:
        heatmaps: logits, (N, J, h, w).
        targets: in [0, 1], (N, J, h, w).
        weights: (N, J) bool, which are labelled; or their confidences in 0..1.
        group: processes whose rows count as one batch.
    """
    each = F.binary_cross_entropy_with_logits(heatmaps, targets, reduction="none").mean((2, 3))
    return _mean(each, weights, group)


def _mean(values: Tensor, weights: Tensor, group: ProcessGroup) -> Tensor:
    """Average by weight; where all weights together are less than 1, as if they were 1 (design choice)."""
    total = torch.where(weights > 0, values * weights, 0.0).sum()
    return total * group.world_size / group.all_reduce(weights.sum()).clamp(min=1)


@torch.no_grad()
@in_float32
def decode(
    heatmaps: Tensor, size: tuple[int, int], method: Decoding = "quarter", sigma: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Read the positions of joints off their maps.

    Args:
        heatmaps: (N, J, h, w).
        size: (H, W) of the image, pixels.
        method: `quarter`: the highest cell, moved a quarter of a cell towards its higher neighbour in each
            direction (arXiv:1603.06937); a cell at the border is not moved. `dark`: the peak of a parabola
            through the logarithm of the smoothed map (arXiv:1910.06278), at most one cell away; exact but for
            joints nearer to the border than the blur reaches.
        sigma: of the targets, cells; for `dark`.

    Returns:
        (N, J, 2) row, col in pixels; (N, J) height of the peak.
    """
    h, w = heatmaps.shape[2:]
    peak, index = heatmaps.flatten(2).max(2)
    row, col = index // w, index % w
    maps = _smooth(heatmaps, sigma).clamp(min=SMALLEST).log() if method == "dark" else heatmaps
    ring = F.pad(maps, (1, 1, 1, 1), mode="replicate").flatten(2)

    def beside(down: int, right: int) -> Tensor:
        place = (row + 1 + down) * (w + 2) + col + 1 + right
        return ring.gather(2, place[..., None])[..., 0]

    slope = torch.stack([beside(1, 0) - beside(-1, 0), beside(0, 1) - beside(0, -1)], -1) / 2  # (N, J, 2)
    within = torch.stack([(row > 0) & (row < h - 1), (col > 0) & (col < w - 1)], -1)
    if method == "quarter":
        move = 0.25 * slope.sign() * within
    else:
        middle = beside(0, 0)
        down = beside(1, 0) + beside(-1, 0) - 2 * middle
        right = beside(0, 1) + beside(0, -1) - 2 * middle
        mixed = (beside(1, 1) + beside(-1, -1) - beside(1, -1) - beside(-1, 1)) / 4
        volume = down * right - mixed.square()
        peaked = (volume > 0) & (down < 0) & within.all(-1)
        volume = torch.where(peaked, volume, 1.0)
        by_row, by_col = slope.unbind(-1)
        step = torch.stack([mixed * by_col - right * by_row, mixed * by_row - down * by_col], -1)
        move = (step / volume[..., None]).clamp(-1, 1) * peaked[..., None]
    pixels = torch.tensor([size[0] / h, size[1] / w], device=heatmaps.device)
    return (torch.stack([row, col], -1) + 0.5 + move) * pixels, peak


def _smooth(heatmaps: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian as wide as that of the targets, 0 beyond the border, as the released code does."""
    n, joints, h, w = heatmaps.shape
    reach = round(2.5 * sigma)
    steps = torch.arange(-reach, reach + 1, device=heatmaps.device)
    kernel = torch.exp(-steps.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    x = heatmaps.reshape(n * joints, 1, h, w)
    x = F.conv2d(x, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, reach)).view(n, joints, h, w)
