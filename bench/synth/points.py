"""Annotated surface points: what a human annotator of DensePose would have clicked on."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 100  # per person
MAX_PER_PART = 14  # per coarse part (DensePose-COCO, arXiv:1802.00434, Sec. 2.1)
COARSE14: NDArray[np.uint8] = np.array(
    [0, 1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14], np.uint8
)  # chart 0..24 -> the 14 coarse parts that annotators saw, sides apart
_STREAM = 61  # of the random numbers; the renderer's streams have other numbers


def annotate(
    chart: NDArray[np.uint8], uv: NDArray[np.uint8], ids: list[str], seed: int
) -> dict[str, NDArray[Any]]:
    """Draw points on the visible body, at most 14 per coarse part and 100 per person.

    The draw of a sample is keyed by (seed, id) alone.

    Args:
        chart: chart 0..24 of every pixel, 0 = no body, (N, H, W).
        uv: chart coordinates in steps of 1/255, (N, H, W, 2).
        ids: N sample ids.
        seed: of the data set.

    Returns:
        `points` int16 (N, 100, 2), pixel (row, col), -1 = none; `point_chart` uint8 (N, 100), 0 = none;
        `point_uv` uint8 (N, 100, 2), steps of 1/255. Absent points come last.
    """
    count = len(ids)
    points = np.full((count, MAX_POINTS, 2), -1, np.int16)
    point_chart = np.zeros((count, MAX_POINTS), np.uint8)
    point_uv = np.zeros((count, MAX_POINTS, 2), np.uint8)
    for n, name in enumerate(ids):
        pixels = np.flatnonzero(chart[n])
        order = _generator(seed, name).permutation(pixels)
        part = COARSE14[chart[n].reshape(-1)[order]]
        kept = order[_turn(part) < MAX_PER_PART][:MAX_POINTS]
        k = len(kept)
        points[n, :k, 0], points[n, :k, 1] = np.divmod(kept, chart.shape[2])
        point_chart[n, :k] = chart[n].reshape(-1)[kept]
        point_uv[n, :k] = uv[n].reshape(-1, 2)[kept]
    return {"points": points, "point_chart": point_chart, "point_uv": point_uv}


def _generator(seed: int, name: str) -> np.random.Generator:
    word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, _STREAM, word])))


def _turn(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many equal keys precede each one, (n,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(keys)])
    turn = np.empty(len(keys), np.int64)
    turn[order] = np.arange(len(keys)) - np.repeat(starts, lengths)
    return turn
