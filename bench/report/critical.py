"""Critical values of intervals over few seeds, from a table that `calibration` has computed."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from importlib import resources
from math import sqrt

TABLE = "critical.json"
SEEDS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
NOISE = tuple(i / 10 for i in range(11))  # N / K, see `calibration`
KNOTS = 21  # equally distant shares of the spread over seeds, from 0 to 1

Grid = list[list[float]]  # [noise][share]


def critical(seeds: int, noise: float, share: float) -> float:
    """Return how many times sqrt(K + spread) half a 95 % interval is wide; names as in `calibration`.

    Args:
        seeds: S, at least 2.
        noise: N / K, in [0, 1].
        share: of the spread in K + spread, in [0, 1].
    """
    grid = _grid(seeds)
    i, upper = _between(noise * (len(NOISE) - 1), len(NOISE))
    k, right = _between(share * (KNOTS - 1), KNOTS)
    low = grid[i][k] + right * (grid[i][k + 1] - grid[i][k])
    high = grid[i + 1][k] + right * (grid[i + 1][k + 1] - grid[i + 1][k])
    return low + upper * (high - low)


def _between(place: float, count: int) -> tuple[int, float]:
    """Return the position on the left of a place, and how far to the next it is."""
    left = min(int(place), count - 2)
    return left, place - left


@lru_cache(maxsize=256)
def _grid(seeds: int) -> Grid:
    """Return the values for a number of seeds; between those of the table straight in 1 / (S - 1)."""
    if seeds in SEEDS:
        return _table()[SEEDS.index(seeds)]
    fewer = max(s for s in SEEDS if s < seeds)
    more = min((s for s in SEEDS if s > seeds), default=0)
    low, high = _grid(fewer), _grid(more) if more else _endless()
    least = 1 / (more - 1) if more else 0.0
    weight = (1 / (seeds - 1) - least) / (1 / (fewer - 1) - least)
    pairs = zip(low, high, strict=True)
    return [[b + weight * (a - b) for a, b in zip(*rows, strict=True)] for rows in pairs]


def _endless() -> Grid:
    """Return the values for endlessly many seeds, whose spread is N + E exactly."""
    z = 1.959964
    shares = [k / (KNOTS - 1) for k in range(KNOTS)]
    return [[z * sqrt(max(0.0, 1 - noise * (1 - share))) for share in shares] for noise in NOISE]


@cache
def _table() -> list[Grid]:
    text = resources.files("bench.report").joinpath(TABLE).read_text(encoding="utf-8")
    table: list[Grid] = json.loads(text)
    return table
