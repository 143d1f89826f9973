"""The table of critical values, checked by integration instead of simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from bench.report import calibration
from bench.report.calibration import LEAST, coverage, solve
from bench.report.critical import KNOTS, NOISE, SEEDS, critical

SHARES = np.linspace(0, 1, KNOTS)


def values(seeds: int, noise: float) -> list[float]:
    return [critical(seeds, noise, share) for share in SHARES]


@pytest.mark.parametrize("seeds", [*SEEDS, 7, 12, 25, 40, 200])
def test_intervals_cover_93_to_97_percent_whatever_seeds_add(seeds: int) -> None:
    low, high = (0.93, 0.97) if seeds == 2 else (0.94, 0.96)
    for noise in np.linspace(0, 1, 17):  # mostly between those of the table
        found = coverage(np.array(values(seeds, noise)), seeds, noise)
        assert low < found.min() and found.max() < high, (noise, found.min(), found.max())


def test_the_integral_is_what_a_simulation_finds() -> None:
    rng, noise, extra = np.random.default_rng(0), 0.4, 1.5
    known, seeds, trials = 1.0, 3, 40_000
    shared = rng.normal(0, np.sqrt(known - noise), (trials, 1))
    single = rng.normal(0, np.sqrt(seeds * (noise + extra)), (trials, seeds))
    scores = shared + single
    spread = scores.var(axis=1, ddof=1) / seeds
    c = [critical(seeds, noise, share) for share in spread / (known + spread)]
    held = (abs(scores.mean(axis=1)) <= c * np.sqrt(known + spread)).mean()
    expected = coverage(np.array(values(seeds, noise)), seeds, noise, np.array([extra]))
    assert held == pytest.approx(expected[0], abs=0.005)


@pytest.mark.parametrize("seeds", [*SEEDS, 7, 100])
@pytest.mark.parametrize("noise", [0.0, 0.33, 1.0])
def test_where_seeds_are_all_there_is_it_is_students_t(seeds: int, noise: float) -> None:
    assert critical(seeds, noise, 1.0) == pytest.approx(reference.t.ppf(0.975, seeds - 1), abs=0.02)
    assert critical(seeds, 0.0, 0.0) == pytest.approx(reference.norm.ppf(0.975), abs=0.06)


@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_grow_with_the_spread_and_never_vanish(seeds: int) -> None:
    shares = np.linspace(0, 0.98, 400)
    for noise in NOISE:
        widths = np.array([critical(seeds, noise, share) for share in shares]) / np.sqrt(1 - shares)
        assert (np.diff(widths) > -0.02 * widths[1:]).all()
        assert widths.min() > LEAST * 1.95 * 0.999


def test_the_table_is_what_the_calibration_finds() -> None:
    for seeds, noise in ((3, 0.0), (8, 0.0)):
        assert values(seeds, noise) == pytest.approx(solve(seeds, noise), abs=0.02)
    assert calibration.EXTRA[0] == 0 and calibration.EXTRA[-1] == 10_000
