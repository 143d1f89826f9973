"""Simulated data with known truth: how often the 95 % intervals hold it, and how often tests err.

The tolerance follows from the number of trials.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from bench.report.stats import difference, estimate
from numpy.typing import NDArray

from bench.metrics.bootstrap import resample_weights
from bench.metrics.segmentation import miou

Floats = NDArray[np.float64]

SEEDS = (1, 2, 3, 5, 10)
BAND = (0.93, 0.97)  # of coverage
RISK = (0.03, 0.07)


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


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(("ratio", "own"), [(0.0, 0), (1.0, 1), (4.0, 3)])
def test_intervals_cover_the_truth(seeds: int, ratio: float, own: int) -> None:
    ratio = ratio if seeds > 1 else 0.0  # one seed says nothing about others
    assert hold(covered(seeds, 30, ratio, own, trials=500), 500, BAND)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_cover_the_truth_on_the_whole_grid(seeds: int) -> None:
    ratios = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 32.0) if seeds > 1 else (0.0,)
    for units, ratio, own in product((16, 80, 200), ratios, (0, 1, 3, 10)):
        hits = covered(seeds, units, ratio, own, trials=3000, replicates=1000 if units == 16 else 300)
        print(f"{seeds} seeds, {units} units, ratio {ratio}, own {own}: {hits / 30:.1f} %")
        assert hold(hits, 3000, BAND), (units, ratio, own, hits / 3000)


@pytest.mark.parametrize(
    ("seeds", "units", "seed_sd"), [(1, 16, 0.0), (1, 200, 0.0), (3, 16, 0.3), (5, 200, 0.1)]
)
def test_intervals_of_ratios_of_sums_cover_the_truth(seeds: int, units: int, seed_sd: float) -> None:
    """Mean intersection over union, recomputed from resampled confusion counts of people."""
    trials = 400 if units == 16 else 100
    assert hold(_miou_covered(seeds, units, seed_sd, trials), trials, BAND)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "units"), [*product(SEEDS, (16, 200))])
def test_intervals_of_ratios_of_sums_cover_the_truth_in_many_trials(seeds: int, units: int) -> None:
    for seed_sd in (0.0, 0.1, 0.4) if seeds > 1 else (0.0,):
        hits = _miou_covered(seeds, units, seed_sd, 600)
        print(f"{seeds} seeds, {units} units, deviation of seeds {seed_sd}: {hits / 6:.1f} %")
        assert hold(hits, 600, BAND)


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
    p = _of_equal_methods(seeds, own, ratio=1.0 if seeds > 1 else 0.0, trials=500)
    assert hold(int((p < 0.05).sum()), 500, RISK)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "own"), [*product(SEEDS, (1, 3))])
def test_paired_tests_err_as_often_as_they_say_in_many_trials(seeds: int, own: int) -> None:
    """In 5 %; and far out, where Holm's correction looks, hardly more often than p says."""
    for ratio in (0.0, 0.5, 1.0, 4.0, 32.0) if seeds > 1 else (0.0,):
        p = _of_equal_methods(seeds, own, ratio, trials=3000)
        rates = [int((p < risk).sum()) for risk in (0.05, 0.01, 0.002)]
        print(
            f"{seeds} seeds, own {own}, ratio {ratio}: errors", *(f"{100 * n / len(p):.2f} %" for n in rates)
        )
        assert hold(rates[0], len(p), RISK)
        assert hold(rates[1], len(p), (0.0, 0.013)) and hold(rates[2], len(p), (0.0, 0.0026))


def _of_equal_methods(seeds: int, own: int, ratio: float, trials: int) -> Floats:
    """Return p values of two equally good methods that share seeds and test units."""
    units, rng = 40, np.random.default_rng([3, seeds, own])
    shares = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), 200) / units
    p = []
    for _ in range(trials):
        common = 5 * runs(rng, seeds, units, 1.0, 1.0)  # cancels
        a, b = (common + runs(rng, seeds, units, ratio, own) for _ in range(2))
        found = difference(a.mean(axis=1), b.mean(axis=1), a @ shares.T, b @ shares.T, units)
        assert found.p is not None
        assert (found.p < 0.05) == found.beyond
        p.append(found.p)
    return np.array(p)
