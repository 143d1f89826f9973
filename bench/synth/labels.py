"""Label maps of a sample: all are look-ups by triangle number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.bodymodels.surface import surrogate_labels

Faces = NDArray[np.integer]
Bytes = NDArray[np.uint8]
Single = NDArray[np.float32]


@cache
def _table(name: str) -> Bytes:
    """Label of every face, and 0 at the end for face -1."""
    table: Bytes = np.append(getattr(surrogate_labels(), name), 0).astype(np.uint8)
    return table


def part25(fid: Faces) -> Bytes:
    """Classes 0..24 of `P25_NAMES` (0 = background) of triangle numbers, -1 = background; any shape."""
    return _table("p25")[fid]


def chart24(fid: Faces) -> Bytes:
    """Charts 1..24 of DensePose (0 = background) of triangle numbers; any shape."""
    return _table("dp24")[fid]


def mask(fid: Faces) -> NDArray[np.bool_]:
    """True on the person."""
    return np.asarray(fid >= 0)


def surface_uv(fid: NDArray[np.int16], bary: NDArray[np.float32]) -> Bytes:
    """Chart coordinates in 1/255, (H, W, 2), of triangle numbers (H, W) and weights (H, W, 2)."""
    from bench.synth.raster_numba import chart_uv  # loads numba, which reading labels does not need

    out = np.zeros((*fid.shape, 2), np.uint8)
    chart_uv(fid, bary, *_corners(), out)
    return out


@cache
def _corners() -> tuple[Single, Single, Single]:
    """UV in 1/255 of the third corner of every face, plus one half, and the steps to the others; (F, 2)."""
    uv = np.float32(255) * np.clip(surrogate_labels().uv, 0.0, 1.0)
    return uv[:, 2] + np.float32(0.5), uv[:, 0] - uv[:, 2], uv[:, 1] - uv[:, 2]


def vertices(sample: Mapping[str, Any]) -> NDArray[np.float32]:
    """Posed vertices of the body under the clothes in the camera frame, metres, (V, 3).

    Args:
        sample: arrays of one image; `pose`, `betas`, `transl` and `cam` are used.
    """
    model = surrogate_body()
    rest, joints = model.shape(sample["betas"])
    posed, _, _ = model.pose(rest, joints, axis_angle_to_matrix(sample["pose"]), sample["transl"])
    camera = np.asarray(sample["cam"], np.float64)
    seen: NDArray[np.float32] = ((posed - camera[12:15]) @ camera[3:12].reshape(3, 3).T).astype(np.float32)
    return seen
