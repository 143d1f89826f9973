"""How the critical values of intervals over few seeds were found: `python -m bench.report.calibration`.

A mean over S seeds has the variance K + E. The test units give K, the variance under these very seeds, and
in it the noise N of units under single seeds. E, what seeds add, is not known: the variance of the values
over seeds, divided by S, is (N + E) times a chi-square variable over its S - 1 degrees of freedom. That is
the problem of Welch (Biometrika 34, 1947), with a known part: for two seeds no classical solution is even.
Here the half width c * sqrt(K + spread) is found numerically. c is a function of w = spread / (K + spread),
straight between 21 knots, and of N / K. It makes the coverage as even as can be over all E.

Two wishes keep c well-behaved: it is smooth, and an interval is never narrower than `LEAST` times that of the
test units alone, as narrow as it may get when two seeds agree by chance.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import chi2

from bench.files import write_atomic
from bench.report.critical import KNOTS, NOISE, SEEDS, TABLE

Floats = NDArray[np.float64]

LEAST = 0.75
_LEVEL, _TARGET = 0.95, 0.951
_SMOOTH = 20.0  # weight of the curvature
_POINTS = 1500  # of the distribution of the spread
EXTRA = np.concatenate([[0.0], np.logspace(-3, 4, 57)])  # E / K


def coverage(values: Floats, seeds: int, noise: float, extra: Floats = EXTRA) -> Floats:
    """Return how often an interval holds the truth, at each E / K.

    Args:
        values: c at equally distant w from 0 to 1.
        seeds: S.
        noise: N / K.
        extra: E / K.
    """
    spread = (noise + extra)[:, None] * _spreads(seeds)
    share = spread / (1 + spread)
    c = np.interp(share, np.linspace(0, 1, len(values)), values)
    covered: Floats = (2 * ndtr(c * np.sqrt((1 + spread) / (1 + extra[:, None]))) - 1).mean(axis=1)
    return covered


def solve(seeds: int, noise: float, start: Floats | None = None) -> Floats:
    """Return c at the knots.

    Args:
        seeds: S.
        noise: N / K.
        start: where to begin, e.g. the solution for another noise.
    """
    share = np.linspace(0, 1, KNOTS)
    z, t = float(ndtri((1 + _LEVEL) / 2)), float(stdtrit(seeds - 1, (1 + _LEVEL) / 2))
    least = LEAST * z * np.sqrt(1 - share[:-1])
    begin = z + (t - z) * share**1.25 if start is None else start

    def whole(free: Floats) -> Floats:
        return np.append(least + np.exp(free), t)

    def residuals(free: Floats) -> Floats:
        off = (coverage(whole(free), seeds, noise) - _TARGET) / 0.01
        return np.append(off**3, _SMOOTH * np.diff(np.log(whole(free)), 2))

    first = np.log(np.maximum(begin[:-1] - least, 1e-3))
    return whole(least_squares(residuals, first, xtol=1e-9, max_nfev=300).x)


def _spreads(seeds: int) -> Floats:
    places = (np.arange(_POINTS) + 0.5) / _POINTS
    spreads: Floats = chi2.ppf(places, seeds - 1) / (seeds - 1)
    return spreads


def main() -> None:
    """Write the table beside this module."""
    table = []
    for seeds in SEEDS:
        found: list[Floats] = []
        for noise in NOISE:
            found.append(solve(seeds, noise, found[-1] if found else None))
            covered = coverage(found[-1], seeds, noise)
            print(f"{seeds} seeds, noise {noise}: {covered.min():.4f} to {covered.max():.4f}", flush=True)
        # the last one is Student's quantile, which needs no calibration
        table.append([[*(round(float(v), 3) for v in c[:-1]), round(float(c[-1]), 9)] for c in found])
    write_atomic(Path(__file__).with_name(TABLE), json.dumps(table).replace("]], ", "]],\n") + "\n")


if __name__ == "__main__":
    main()
