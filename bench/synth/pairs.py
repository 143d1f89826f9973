"""Pairs of images for methods that complete one view from another (CroCo, arXiv:2210.10716, Sec. 3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.synth.clips import IDS
from bench.synth.domains import DOMAINS, Domain

Ints = NDArray[np.integer]
Pairs = NDArray[np.int64]

_CLIP, _FRAME, _CAMERA, _DOMAIN = (IDS.index(name) for name in ("clip", "frame", "camera", "domain"))


def cross_view_pairs(ids: Ints) -> Pairs:
    """Same person and moment, two cameras.

    Args:
        ids: rows of sample ids, (N, 8), any order.

    Returns:
        Row numbers, (M, 2), each unordered pair once, first < second; roles are up to the caller.
    """
    return _pairs(ids, (_CLIP, _FRAME))


def cross_pose_pairs(
    ids: Ints, *, gap_s: tuple[float, float] = (0.2, 1.5), domains: Iterable[Domain] = DOMAINS.values()
) -> Pairs:
    """Same clip and camera, two moments.

    Args:
        ids: rows of sample ids, (N, 8), any order.
        gap_s: shortest and longest time between them.
        domains: those that the ids name; tell the time between frames.

    Returns:
        Row numbers, (M, 2), each unordered pair once, first < second.

    Raises:
        DataError: a domain number that this version does not know.
    """
    pairs = _pairs(ids, (_CLIP, _CAMERA))
    steps = {domain.index: domain.frame_step_s for domain in domains}
    unknown = set(np.unique(ids[:, _DOMAIN]).tolist()) - set(steps)
    if unknown:
        raise DataError(f"sample ids name unknown domains {sorted(unknown)}: rebuild the data set")
    step = np.array([steps.get(k, 0.0) for k in range(max(steps) + 1)])[ids[pairs[:, 0], _DOMAIN]]
    gap = step * np.abs(ids[pairs[:, 0], _FRAME] - ids[pairs[:, 1], _FRAME])
    kept: Pairs = pairs[(gap >= gap_s[0] - 1e-9) & (gap <= gap_s[1] + 1e-9)]
    return kept


def _pairs(ids: Ints, columns: tuple[int, ...]) -> Pairs:
    """All pairs of rows that agree in the columns."""
    keys = ids[:, columns]
    order = np.lexsort(keys.T[::-1])  # stable: rows of one group stay ascending
    _, start, size = np.unique(keys[order], axis=0, return_index=True, return_counts=True)
    found = [np.empty((0, 2), np.int64)]
    for count in np.unique(size[size > 1]):
        rows = order[start[size == count][:, None] + np.arange(count)]  # (G, count)
        first, second = np.triu_indices(count, 1)
        found.append(np.stack([rows[:, first].ravel(), rows[:, second].ravel()], 1))
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
