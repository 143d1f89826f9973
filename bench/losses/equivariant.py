"""Pixels of two views that show the same place (LiftedCL): what the contrast of pixels compares.

`crop` tells a view, see `bench.losses.views`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import Draws
from bench.errors import StepError
from bench.losses.numerics import HALF, l2_normalize
from bench.losses.views import read_view, shared_points

SKEW = 1e-3  # of a crop's map beside its diagonal, relative; what is above is a rotation


def aligned_pixels(
    maps: tuple[Tensor, Tensor],
    crops: tuple[Tensor, Tensor],
    size: tuple[int, int],
    side: int,
    wanted: int,
    draws: Draws,
) -> tuple[Tensor, Tensor, Tensor]:
    """Read both maps at the same places of the stored image, without rounding.

    Args:
        maps: of the views, (N, D, h, w) each.
        crops: of the views, (N, 3, 3) each.
        size: (H, W) of both views, pixels.
        side: points per row and per column of what the views share.
        wanted: P, points drawn of these per image; side * side or more takes all.
        draws: of the step.

    Returns:
        (N, P, D) of each view, unit length; (N, P) bool, which points both views show.
    """
    points, shared = shared_points(*crops, size, side)
    if wanted < side * side:
        chosen = draws.rand(len(points), side * side).argsort(1)[:, :wanted].to(points.device)
        points = points.gather(1, chosen[:, :, None].expand(-1, -1, 2))
    valid = shared[:, None] & _within(points, crops[0], size) & _within(points, crops[1], size)
    first, second = (
        l2_normalize(read_view(m.float() if m.dtype in HALF else m, points, c, size))
        for m, c in zip(maps, crops, strict=True)
    )
    return first, second, valid


def rounded_cuts(
    maps: tuple[Tensor, Tensor], crops: tuple[Tensor, Tensor], size: tuple[int, int], side: int
) -> tuple[Tensor, Tensor]:
    """Do as the released code: cut whole cells, enlarge the cuts, fill with zeros where nothing is shared.

    Arguments as above.

    Returns:
        (N, side * side, D) of each view; unit length, or zero where the cut of either view is empty.

    Raises:
        StepError: a view is rotated, of which that code knows nothing.
    """
    (low, high), (low2, high2) = (_rectangles(c, size) for c in crops)
    start, end = torch.maximum(low, low2), torch.minimum(high, high2)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for row in range(len(maps[0])):
        cuts = []
        for m, crop, first, last in zip(maps, crops, (low, low2), (high, high2), strict=True):
            upright = m[row].flip(-1) if crop[row, 0, 0] < 0 else m[row]
            cells = torch.tensor([m.shape[3], m.shape[2]], device=m.device)
            fractions = (torch.stack([start[row], end[row]]) - first[row]) / (last[row] - first[row])
            (left, top), (right, bottom) = (cells * fractions + 0.5).int().tolist()
            cuts.append(upright[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)])
        empty = any(cut.numel() == 0 for cut in cuts) or bool((end[row] <= start[row]).any())
        for own, cut, m in zip(found, cuts, maps, strict=True):
            if empty:
                own.append(m[row, :, :1, :1].expand(-1, side, side) * 0.0)
            else:
                own.append(F.interpolate(cut[None], (side, side), mode="bilinear", align_corners=True)[0])
    first, second = (l2_normalize(torch.stack(cuts), 1).flatten(2).mT for cuts in found)
    return first, second


def _within(points: Tensor, crop: Tensor, size: tuple[int, int]) -> Tensor:
    """Say which points (N, P, 2) of the stored image a view shows, (N, P) bool: all, unless it is rotated."""
    crop = crop.float()
    inside = points @ crop[:, :2, :2].mT + crop[:, None, :2, 2]
    end = torch.tensor([size[1], size[0]], dtype=torch.float32, device=points.device)
    return ((inside > -SKEW * end) & (inside < (1 + SKEW) * end)).all(2)


def _rectangles(crop: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Corners (N, 2) x, y of views in the stored image."""
    crop = crop.float()
    linear = crop[:, :2, :2]
    if bool((linear[:, [0, 1], [1, 0]].abs().amax(1) > SKEW * linear[:, [0, 1], [0, 1]].abs().amin(1)).any()):
        raise StepError(
            "LiftedCL: variant=official knows no rotated crops; set augment.rotation=0 or variant=paper"
        )
    extent = torch.tensor([size[1], size[0]], dtype=torch.float32, device=crop.device)
    scale, shift = linear[:, [0, 1], [0, 1]], crop[:, :2, 2]
    ends = torch.stack([-shift / scale, (extent - shift) / scale])  # (2, N, 2)
    return ends.amin(0), ends.amax(0)
