"""Simulated data with known truth: how often the 95 % intervals hold it, and how often tests err.

The bands are those of the docstring of `estimate`; the tolerance follows from the number of trials.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.metrics.bootstrap import resample_weights
from bench.metrics.segmentation import miou
from bench.report.stats import difference, estimate

Floats = NDArray[np.float64]

# seeds -> coverage that is promised, where seeds do not change which units are hard (own noise 0),
# where they do as much as units differ (1), and where little is shared (3, 10)
BANDS = {
    1: {0: (0.935, 0.965), 1: (0.935, 0.965), 3: (0.935, 0.965), 10: (0.935, 0.965)},
    2: {0: (0.925, 0.975), 1: (0.915, 0.99), 3: (0.915, 0.995), 10: (0.915, 0.995)},
    3: {0: (0.935, 0.972), 1: (0.93, 0.977), 3: (0.915, 0.99), 10: (0.915, 0.992)},
    5: {0: (0.94, 0.97), 1: (0.94, 0.97), 3: (0.93, 0.98), 10: (0.925, 0.985)},
    10: {0: (0.94, 0.965), 1: (0.94, 0.965), 3: (0.94, 0.97), 10: (0.935, 0.975)},
}


def hold(hits: int, trials: int, band: tuple[float, float]) -> bool:
    """Say whether a rate is within a band, or outside it by no more than 3.3 standard errors."""
    spare = [3.3 * np.sqrt(p * (1 - p) / trials) for p in band]
    return band[0] - spare[0] <= hits / trials <= band[1] + spare[1]


def runs(rng: np.random.Generator, seeds: int, units: int, ratio: float, own: float) -> Floats:
    """Return scores of runs on test units around 0, (S, G).

    Args:
        rng: of the draw.
        seeds: S.
        units: G.
        ratio: of the spread over seeds to that of the mean over units.
        own: deviation of a unit under one seed; what all seeds share has deviation 1.
    """
    spread = ratio * np.sqrt((1 + own**2 / 2) / units)
    return rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 1, units) + rng.normal(0, own, (seeds, units))


def covered(seeds: int, units: int, ratio: float, own: float, trials: int, replicates: int = 200) -> int:
    rng = np.random.default_rng([seeds, units, round(100 * ratio), round(100 * own)])
    shares = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), replicates) / units
    hits = 0
    for _ in range(trials):
        scores = runs(rng, seeds, units, ratio, own)
        found = estimate(scores.mean(axis=1).tolist(), scores @ shares.T, units)
        assert found.low is not None and found.high is not None
        hits += found.low <= 0 <= found.high
    return hits


@pytest.mark.parametrize("seeds", BANDS)
@pytest.mark.parametrize(("ratio", "own"), [(0.0, 0), (1.0, 1), (4.0, 3)])
def test_intervals_cover_the_truth(seeds: int, ratio: float, own: int) -> None:
    ratio = ratio if seeds > 1 else 0.0  # one seed says nothing about others
    assert hold(covered(seeds, 30, ratio, own, trials=500), 500, BANDS[seeds][own])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", BANDS)
def test_intervals_cover_the_truth_on_the_whole_grid(seeds: int) -> None:
    ratios = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 32.0) if seeds > 1 else (0.0,)
    for units, ratio, own in product((16, 80, 200), ratios, (0, 1, 3, 10)):
        hits = covered(seeds, units, ratio, own, trials=3000, replicates=1000 if units == 16 else 300)
        print(f"{seeds} seeds, {units} units, ratio {ratio}, own {own}: {hits / 30:.1f} %")
        assert hold(hits, 3000, BANDS[seeds][own]), (units, ratio, own, hits / 3000)


@pytest.mark.parametrize(
    ("seeds", "units", "seed_sd"), [(1, 16, 0.0), (1, 200, 0.0), (3, 16, 0.3), (5, 200, 0.1)]
)
def test_intervals_of_ratios_of_sums_cover_the_truth(seeds: int, units: int, seed_sd: float) -> None:
    """Mean intersection over union, recomputed from resampled confusion counts of people."""
    trials = 400 if units == 16 else 100
    assert hold(_miou_covered(seeds, units, seed_sd, trials), trials, (0.93, 0.97))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "units"), [*product(BANDS, (16, 200))])
def test_intervals_of_ratios_of_sums_cover_the_truth_in_many_trials(seeds: int, units: int) -> None:
    for seed_sd in (0.0, 0.1, 0.4) if seeds > 1 else (0.0,):
        hits = _miou_covered(seeds, units, seed_sd, 600)
        print(f"{seeds} seeds, {units} units, deviation of seeds {seed_sd}: {hits / 6:.1f} %")
        assert hold(hits, 600, (0.93, 0.97))


def _confusions(rng: np.random.Generator, skill: Floats, units: int) -> Floats:
    """Return confusion counts of people, (S, G, K, K); every model sees the same people.

    Args:
        rng: of the draw.
        skill: of each model, (S,), added to the log odds of a right pixel.
        units: G.
    """
    frequency = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    pixels = 1000 * frequency * np.exp(rng.normal(0, 0.5, (units, 5)))  # (G, K) of the target
    hard = rng.normal(0, 0.6, (units, 1)) + rng.normal(0, 0.4, (units, 5))
    odds = np.array([2.0, 1.0, 0.5, 0.2, -0.3]) + hard + skill[:, None, None]
    right = 1 / (1 + np.exp(-odds - rng.normal(0, 0.3, (len(skill), units, 5))))
    wrong = (1 - right) * pixels
    spread = frequency * (1 - np.eye(5))
    spread /= spread.sum(axis=1, keepdims=True)
    counts = wrong[..., None] * spread
    counts[..., range(5), range(5)] = right * pixels
    return counts


def _miou_covered(seeds: int, units: int, seed_sd: float, trials: int) -> int:
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    many = _confusions(np.random.default_rng(1), seed_sd * nodes, 15_000).sum(axis=1)
    truth = float(miou(many) @ weights / weights.sum())  # the mean over seeds, on endlessly many people
    shares = resample_weights(range(units), 300, seed=0)
    rng = np.random.default_rng([2, seeds, units])
    hits = 0
    for _ in range(trials):
        counts = _confusions(rng, rng.normal(0, seed_sd, seeds), units)
        drawn = miou((shares @ counts.reshape(seeds, units, -1)).reshape(seeds, -1, 5, 5))
        found = estimate(miou(counts.sum(axis=1)).tolist(), drawn, units)
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    return hits


@pytest.mark.parametrize(("seeds", "own"), [(1, 1), (3, 1), (5, 3), (10, 3)])
def test_paired_tests_of_equal_methods_err_in_5_percent(seeds: int, own: int) -> None:
    assert hold(*_errors(seeds, own, ratio=1.0 if seeds > 1 else 0.0, trials=500), _risk(seeds, own))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "own"), [*product(BANDS, (1, 3))])
def test_paired_tests_of_equal_methods_err_in_5_percent_of_many_trials(seeds: int, own: int) -> None:
    for ratio in (0.0, 0.5, 1.0, 4.0, 32.0) if seeds > 1 else (0.0,):
        errors, trials = _errors(seeds, own, ratio, trials=3000)
        print(f"{seeds} seeds, own {own}, ratio {ratio}: {100 * errors / trials:.1f} %")
        assert hold(errors, trials, _risk(seeds, own))


def _risk(seeds: int, own: int) -> tuple[float, float]:
    low, high = BANDS[seeds][own]
    return 1 - high, 1 - low


def _errors(seeds: int, own: int, ratio: float, trials: int) -> tuple[int, int]:
    """Return how often two equally good methods differ at p < 0.05; they share seeds and test units."""
    units, rng = 40, np.random.default_rng([3, seeds, own])
    shares = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), 200) / units
    errors = 0
    for _ in range(trials):
        common = 5 * runs(rng, seeds, units, 1.0, 1.0)  # cancels
        a, b = (common + runs(rng, seeds, units, ratio, own) for _ in range(2))
        found = difference(a.mean(axis=1), b.mean(axis=1), a @ shares.T, b @ shares.T, units)
        assert found.p is not None
        assert (found.p < 0.05) == found.beyond
        errors += found.beyond
    return errors, trials
