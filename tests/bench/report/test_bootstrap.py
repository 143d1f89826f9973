from __future__ import annotations

from math import inf

import numpy as np
import pytest
from arch.bootstrap import IndependentSamplesBootstrap
from scipy import stats as reference

from bench.report.bootstrap import (
    DRAWS,
    Aggregate,
    Runs,
    all_seed_weights,
    joint_draws,
    percentiles,
    t_ratio,
)  # fmt: skip
from bench.report.over_tasks import improvement, interquartile_mean

RNG = np.random.default_rng(0)
SCORES = [RNG.normal(level, 0.3, 10) for level in (0.2, 0.7, 0.8, 1.1, 0.4)]  # tasks x seeds


def ends(found: Aggregate) -> tuple[float, float]:
    assert found.low is not None and found.high is not None
    return found.low, found.high


def test_the_interval_of_the_interquartile_mean_is_archs_stratified_bootstrap_made_wider() -> None:
    """The bootstrap of rliable is arch's with one sample per task; it is too narrow for few runs."""

    def middle(*tasks: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(reference.trim_mean(np.concatenate(tasks), 0.25))

    bootstrap = IndependentSamplesBootstrap(*SCORES, seed=1)
    low, high = bootstrap.conf_int(middle, reps=3000, method="percentile").ravel()
    wider = np.sqrt(10 / 9) * t_ratio(45)
    centre = (low + high) / 2
    expected = centre + wider * (np.array([low, high]) - centre)
    found = interquartile_mean(SCORES)
    assert found.value == pytest.approx(middle(*SCORES))
    assert ends(found) == pytest.approx(expected.tolist(), abs=0.015)
    assert interquartile_mean([np.array([3.0])] * 2) == Aggregate(value=3.0, low=None, high=None)


def test_the_probability_of_improvement_is_mann_whitneys_statistic() -> None:
    a, b = RNG.normal(0.3, 1, 6), RNG.normal(0, 1, 8)
    a[0] = b[0]  # ties count half
    expected = reference.mannwhitneyu(a, b).statistic / 48
    assert improvement([[a]], [[b]]).value == pytest.approx(expected)
    turned = improvement([[b]], [[a]])
    assert turned.value == pytest.approx(1 - expected)


def test_improvement_averages_budgets_before_tasks() -> None:
    up, down = (np.array([2.0, 3.0]), np.array([0.0, 1.0])), (np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    first = [[up[0], up[0], up[0]], [down[0]]]
    second = [[up[1], up[1], up[1]], [down[1]]]
    found = improvement(first, second)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_intervals_cover_in_simulated_studies() -> None:
    """4 tasks, 5 seeds: shares of pairs and interquartile means; 3 standard errors around 92 to 98 %."""
    trials, truth = 150, reference.norm.cdf(0.6 / np.sqrt(2))
    rng, hits = np.random.default_rng(2), np.zeros(2)
    many = np.concatenate([rng.normal(level, 0.3, 100_000) for level in (0.2, 0.5, 0.9, 1.4)])
    middle = reference.trim_mean(many, 0.25)
    for _ in range(trials):
        share = ends(
            improvement(
                [[rng.normal(0.6, 1, 5)] for _ in range(4)], [[rng.normal(0, 1, 5)] for _ in range(4)]
            )
        )
        mean = ends(interquartile_mean([rng.normal(level, 0.3, 5) for level in (0.2, 0.5, 0.9, 1.4)]))
        hits += [share[0] <= truth <= share[1], mean[0] <= middle <= mean[1]]
    assert (hits / trials >= 0.85).all()


def test_intervals_are_within_what_is_possible_and_reproducible() -> None:
    a, b = [[np.array([1.0, 2.0, 9.0])]] * 3, [[np.array([0.0, 1.5, 8.0])]] * 3
    found = improvement(a, b)
    low, high = ends(found)
    assert 0 <= low <= found.value <= high <= 1
    assert found == improvement(a, b)
    assert improvement([[np.ones(1)]], [[np.zeros(1)]]) == Aggregate(value=1.0, low=None, high=None)


def test_all_draws_of_few_seeds_have_the_moments_of_a_bootstrap() -> None:
    for seeds in (2, 3, 5, 9):
        shares, ways = all_seed_weights(seeds)
        ways = ways / ways.sum()
        assert shares.sum(axis=1) == pytest.approx(1)
        assert ways @ shares == pytest.approx(1 / seeds, abs=0.02)
        assert len(shares) <= DRAWS
        variance = ways @ (shares - 1 / seeds) ** 2
        assert variance == pytest.approx((1 - 1 / seeds) / seeds**2, rel=0.15)


def test_joint_draws_keep_what_scores_share() -> None:
    """Two scores that differ by a constant differ by it in every draw."""
    rng = np.random.default_rng(0)
    values, drawn = rng.normal(0, 1, 4), rng.normal(0, 1, (4, 200))
    runs = [Runs(values=values, replicates=drawn), Runs(values=values + 3, replicates=drawn + 3)]
    found = joint_draws(runs, units=50)
    assert found is not None
    assert found[1] - found[0] == pytest.approx(3)
    assert found[0].mean() == pytest.approx(values.mean(), abs=0.1)
    assert joint_draws([Runs(values=values[:1], replicates=None)]) is None


def test_weighted_and_infinite_draws_have_an_interval() -> None:
    drawn = np.array([inf, 1.0, 2.0, -inf])
    assert percentiles(drawn) == (-inf, inf)
    assert percentiles(drawn, np.array([1e-3, 1.0, 1.0, 1e-3])) == (1, 2)
