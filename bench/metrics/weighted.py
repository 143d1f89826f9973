"""Sums of per-sample statistics under many weightings at once, for metrics that follow from sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.dataset import Arrays


def weighted_sums(rows: Arrays, weights: NDArray[np.float64]) -> Arrays:
    """Add up rows, each as often as a weighting says.

    Args:
        rows: statistics with one row per sample, (N, ...) each.
        weights: (B, N).

    Returns:
        Totals of every weighting, (B, ...) float64 each.

    >>> weighted_sums({"hits": np.array([1, 2])}, np.array([[1.0, 1.0], [0.0, 2.0]]))["hits"].tolist()
    [3.0, 4.0]
    """
    return {name: _sums(np.asarray(values), weights) for name, values in rows.items()}


def _sums(values: NDArray[np.generic], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = weights @ values.reshape(len(values), -1).astype(np.float64)
    return flat.reshape(len(weights), *values.shape[1:])
