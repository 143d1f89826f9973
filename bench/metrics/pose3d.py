"""Metrics of 3D joints: MPJPE after subtracting the root, and after alignment (PA-MPJPE)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.api import Stats
from bench.metrics.procrustes import similarity_align

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FEWEST = 3  # joints that fix an alignment


def position_errors(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """Distances of joints, (n, J, 3) each -> (n, J), in their unit."""
    off: Floats = np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(truth, np.float64), axis=-1)
    return off


def root_relative_rows(
    predicted: ArrayLike, truth: ArrayLike, counted: ArrayLike, root: tuple[int, ...]
) -> Stats:
    """Distances after subtracting the root of each (protocol 1 of Human3.6M); the rows add up.

    Args:
        predicted: (n, J, 3).
        truth: (n, J, 3), in the unit wanted.
        counted: which joints count, (n, J) bool. Nobody counts whose root does not.
        root: the joints whose mean is the root.

    Returns:
        `error` (n, J) float64, 0 where a joint does not count; `joints` (n, J) bool: counted.
    """
    chosen = list(root)
    found, wanted = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    known: Flags = np.asarray(counted, bool)
    seen = known & np.all(known[:, chosen], axis=1, keepdims=True)
    found, wanted = (v - v[:, chosen].mean(1, keepdims=True) for v in (found, wanted))
    return {"error": np.where(seen, position_errors(found, wanted), 0.0), "joints": seen}


def aligned_rows(predicted: ArrayLike, truth: ArrayLike, counted: ArrayLike) -> Stats:
    """Distances after the best similarity of each person's joints (protocol 2); see `root_relative_rows`.

    People with fewer than three joints that count do not count.
    """
    known: Flags = np.asarray(counted, bool)
    seen = known & (known.sum(1, keepdims=True) >= FEWEST)
    aligned = similarity_align(predicted, truth, seen)
    return {"error": np.where(seen, position_errors(aligned, truth), 0.0), "joints": seen}


def mean_error(error: ArrayLike, joints: ArrayLike) -> Floats:
    """Mean over all joints that count, of sums of rows, (..., J) each -> (...); NaN where none counts.

    >>> mean_error([30.0, 50.0], [1, 3]).item()
    20.0
    """
    total, count = np.asarray(error, np.float64).sum(-1), np.asarray(joints, np.float64).sum(-1)
    out: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return out
