"""Cluster bootstrap: which replicate draws which sample how often, and what the metric then becomes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.dataset import Arrays as Stats

Floats = NDArray[np.float64]
CHUNK = 512  # replicates weighted at once, bounds the memory


def resample_weights(
    clusters: Sequence[Hashable] | NDArray[Any], replicates: int, seed: int
) -> NDArray[np.float32]:
    """Draw whole clusters with replacement.

    Equal clusters, replicates and seed give equal weights, so that all methods meet the same resampled test
    sets and their differences are paired.

    Args:
        clusters: cluster of each sample, (N,): person, image, sequence; what is drawn as one.
        replicates: B.
        seed: of the draw.

    Returns:
        How often each replicate holds each sample, (B, N), whole numbers. Every row draws as many clusters as
        there are.

    >>> weights = resample_weights(["a", "a", "b"], replicates=100, seed=0)
    >>> sorted({tuple(row) for row in weights.astype(int).tolist()})
    [(0, 0, 2), (1, 1, 1), (2, 2, 0)]
    """
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    if not member.size:
        return np.zeros((replicates, 0), np.float32)
    count = int(member.max()) + 1
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), replicates)  # (B, G)
    return draws.astype(np.float32)[:, member.reshape(-1)]


def replicates(
    aggregate: Callable[[Stats, Floats], Mapping[str, Floats]],
    rows: Stats,
    weights: NDArray[np.float32],
    metric: str,
) -> Floats:
    """Compute a metric on every resampled test set.

    Args:
        aggregate: a task's, rows and weights -> metrics.
        rows: per-sample statistics, (N, ...) each.
        weights: (B, N) of `resample_weights`.
        metric: its name.

    Returns:
        (B,) in the unit of the metric.
    """
    parts = [weights[start : start + CHUNK].astype(np.float64) for start in range(0, len(weights), CHUNK)]
    return np.concatenate([np.asarray(aggregate(rows, part)[metric], np.float64) for part in parts])
