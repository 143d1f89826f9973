"""Cluster bootstrap: which replicate draws which sample how often, and what the metric then becomes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.api import Score, Stats

Floats = NDArray[np.float64]
CHUNK = 512  # replicates weighted at once, bounds the memory


def resample_weights(
    clusters: Sequence[Hashable] | NDArray[Any], replicates: int, seed: int
) -> NDArray[np.float32]:
    """Draw whole clusters with replacement.

    Equal clusters, replicates and seed give equal weights, so that all methods meet the same resampled test
    sets and their differences are paired.

    Args:
        clusters: cluster of each sample, (N,): person, picture, sequence; what is drawn as one.
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
    aggregate: Callable[[Stats], list[Score]], stats: Stats, weights: NDArray[np.float32]
) -> Floats:
    """Primary metric of every resampled test set.

    Args:
        aggregate: sums of statistics -> metrics, the primary first; a task's `aggregate`.
        stats: per-sample statistics that add up, (N, ...) each.
        weights: (B, N) of `resample_weights`.

    Returns:
        (B,) in the unit of the metric.
    """
    values = []
    for start in range(0, len(weights), CHUNK):
        part = weights[start : start + CHUNK].astype(np.float64)
        sums = {name: _weighted(part, np.asarray(rows)) for name, rows in stats.items()}
        for row in range(len(part)):
            values.append(aggregate({name: total[row] for name, total in sums.items()})[0].value)
    return np.array(values, np.float64)


def _weighted(weights: Floats, rows: NDArray[Any]) -> Floats:
    flat: Floats = weights @ rows.reshape(len(rows), -1).astype(np.float64)
    return flat.reshape(len(weights), *rows.shape[1:])
