"""Which pixels of a depth crop show the person, from the depth alone."""

from __future__ import annotations

import torch
from torch import Tensor

FRONT = 0.1  # share of the middle's pixels that lie in front of the person's front
ROWS, COLUMNS = (0.25, 0.75), (1 / 3, 2 / 3)  # of the crop: its middle, which the person fills most of


@torch.no_grad()
def foreground(depth: Tensor, reach_m: float = 0.6) -> Tensor:
    """Find the person as what lies about as deep as the nearest things in the middle of the crop.

    The person's front is the tenth percentile of the measured depths in the middle half of the rows and third
    of the columns, of the whole crop where nothing is measured there; a floor or a wall that is as near
    counts, too. No label is read (design choice; A2J's released code cuts by the deepest true joint).

    Args:
        depth: (N, 1, H, W) metres, 0 = no measurement.
        reach_m: in front of and behind the person's front.

    Returns:
        (N, 1, H, W) bool; False where nothing was measured.
    """
    height, width = depth.shape[-2:]
    rows = slice(int(ROWS[0] * height), max(1, round(ROWS[1] * height)))
    columns = slice(int(COLUMNS[0] * width), max(1, round(COLUMNS[1] * width)))
    middle, whole = depth[:, 0, rows, columns].flatten(1), depth.flatten(1)
    empty = ~(middle > 0).any(1)
    front = torch.where(empty, _percentile(whole), _percentile(middle))[:, None, None, None]
    return (depth > 0) & ((depth - front).abs() <= reach_m)


def foreground_mean(depth: Tensor) -> Tensor:
    """Mean over the measured pixels of (N, 1, H, W) metres, (N,); 0 where there are none."""
    return depth.sum((1, 2, 3)) / (depth > 0).sum((1, 2, 3)).clamp(min=1)


def _percentile(values: Tensor) -> Tensor:
    """Value below which a share `FRONT` of the positive ones lies, (N, P) -> (N,); 0 without any."""
    count = (values > 0).sum(1)
    sorted_ = torch.where(values > 0, values, torch.inf).sort(1).values
    place = (FRONT * (count - 1)).clamp(min=0).long()
    found = sorted_.gather(1, place[:, None])[:, 0]
    return torch.where(count > 0, found, 0.0)
