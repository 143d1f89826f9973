"""What a flawless network could say at every pixel, given how coarse the output of a pixel head is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench.api import FeatureInfo
from bench.heads.dpt import FINEST_STRIDE
from bench.heads.pixel import upsample

Classes = NDArray[np.uint8]
CHUNK = 32  # samples that are laid out as one map per class at once


def pixel_grid(info: FeatureInfo, size: tuple[int, int]) -> tuple[int, int]:
    """Cells (h, w) of what `pixel_head` computes for images of `size` (H, W) before it is upsampled."""
    h, w = map_grid(info, size)
    times = 2.0 ** round(math.log2(info.strides[0] / FINEST_STRIDE)) if info.kind == "tokens" else 1.0
    return math.ceil(h * times), math.ceil(w * times)


def map_grid(info: FeatureInfo, size: tuple[int, int], level: int = 0) -> tuple[int, int]:
    """Cells (h, w) of a map of an encoder, by default the finest, for images of `size` (H, W)."""
    height, width = size
    return -(-height // info.strides[level]), -(-width // info.strides[level])


def through_grid(maps: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return the nearest maps, in least squares, that `upsample` makes of maps on a grid.

    Args:
        maps: (N, C, H, W).
        cells: (h, w) of the grid.

    Returns:
        (N, C, H, W) float32; equal to `maps` where these are such maps.
    """
    down, aside = (_projection(n, pixels) for n, pixels in zip(cells, maps.shape[2:], strict=True))
    return down.to(maps.device) @ maps.float() @ aside.to(maps.device).T


def classes_through_grid(classes: Classes, count: int, cells: tuple[int, int]) -> Classes:
    """Return the label maps that are left when one map per class goes through a grid.

    Args:
        classes: 0..count - 1, larger = unlabelled, (N, H, W).
        count: K.
        cells: (h, w) of the grid.

    Returns:
        The likeliest class of each pixel, (N, H, W).
    """

    def coarsened(part: Classes) -> Classes:
        known = torch.from_numpy(np.minimum(part, count).astype(np.int64))
        whole = F.one_hot(known, count + 1)[..., :count].permute(0, 3, 1, 2)
        found: Classes = through_grid(whole, cells).max(1).indices.to(torch.uint8).numpy()
        return found

    return in_chunks(coarsened, classes)


def in_chunks(function: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[Any]:
    """Apply a function of rows to a few rows at a time, which bounds what it holds in memory."""
    starts = range(0, max(1, len(arrays[0])), CHUNK)
    return np.concatenate([function(*(array[k : k + CHUNK] for array in arrays)) for k in starts])


def commonest(classes: Classes, count: int) -> Classes:
    """Return the most frequent class 0..count - 1 at each place over samples: (N, ...) -> (...)."""
    counts = np.stack([(classes == k).sum(0) for k in range(count)])
    found: Classes = counts.argmax(0).astype(np.uint8)
    return found


@cache
def _projection(cells: int, pixels: int) -> Tensor:
    """The orthogonal projection of an axis onto what linear interpolation makes, (pixels, pixels)."""
    basis = upsample(torch.eye(cells, dtype=torch.float64)[None, None], (pixels, cells))[0, 0]
    found: Tensor = (basis @ torch.linalg.pinv(basis)).float()
    return found
