from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats as reference

from bench.report.stats import bootstrap, difference, interval_text, summarise, t_interval


def test_one_seed_gives_the_percentiles_of_its_replicates() -> None:
    drawn = np.random.default_rng(0).normal(size=(1, 500))
    low, high, kind = bootstrap(drawn)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert kind == "test units"


def test_seeds_alone_match_the_full_enumeration_of_draws() -> None:
    """Without test-unit noise the draws are means of seeds drawn with replacement, widened about the mean."""
    seeds = np.array([1.0, 2.0, 4.0, 9.0])
    means = np.array([np.mean(drawn) for drawn in product(seeds, repeat=4)])
    unbiased = np.sqrt(4 / 3) * (means - seeds.mean())
    assert unbiased.var() == pytest.approx(seeds.var(ddof=1) / 4)
    widened = seeds.mean() + reference.t.ppf(0.975, 3) / reference.norm.ppf(0.975) * unbiased
    low, high, kind = bootstrap(np.tile(seeds[:, None], (1, 1000)))
    assert kind == "seeds and test units"
    assert (low, high) == pytest.approx(tuple(np.quantile(widened, [0.025, 0.975])), abs=0.5)


def test_results_are_deterministic_and_shift_with_the_data() -> None:
    drawn = np.random.default_rng(1).normal(size=(3, 200))
    first, again, moved = bootstrap(drawn), bootstrap(drawn.copy()), bootstrap(drawn + 5)
    assert first == again
    assert first[0] is not None and moved[0] == pytest.approx(first[0] + 5)


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "unit_sd"),
    [(1, 0.0, 1.0), (2, 1.0, 0.0), (3, 0.3, 1.0), (3, 1.0, 0.0), (5, 1.0, 0.5)],
)
def test_coverage_on_simulated_data_is_about_right(seeds: int, seed_sd: float, unit_sd: float) -> None:
    rng = np.random.default_rng(2)
    trials, hits = 300, 0
    for _ in range(trials):  # the truth is 0; the test set moves all seeds together
        values = rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, unit_sd)
        low, high, _ = bootstrap(values + rng.normal(0, unit_sd, 300))
        assert low is not None and high is not None
        hits += low <= 0 <= high
    assert 0.90 <= hits / trials <= 0.99


def test_paired_differences_cancel_what_both_share() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 10, (3, 400))  # seeds and test units
    a, b = shared + 2 + rng.normal(0, 0.1, (3, 400)), shared
    found = difference(a.mean(axis=1), b.mean(axis=1), a, b)
    alone = bootstrap(a)
    assert found.mean == pytest.approx(2, abs=0.05)
    assert found.low is not None and found.high is not None
    assert alone[0] is not None and alone[1] is not None
    assert found.high - found.low < 0.05 * (alone[1] - alone[0])
    assert found.beyond
    turned = difference(b.mean(axis=1), a.mean(axis=1), b, a)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=0.02)


def test_a_difference_of_nothing_is_not_beyond_its_interval() -> None:
    drawn = np.random.default_rng(4).normal(size=(3, 100))
    found = difference(drawn.mean(axis=1), drawn.mean(axis=1), drawn, drawn)
    assert (found.mean, found.low, found.high, found.beyond) == (0, 0, 0, False)
    assert not difference(np.ones(2), np.zeros(2), None, None).beyond  # no interval, no claim


def test_t_interval_agrees_with_scipy_and_needs_five_seeds() -> None:
    values = np.array([3.1, 2.7, 3.6, 2.9, 3.3, 3.0])
    expected = reference.t.interval(0.95, 5, loc=values.mean(), scale=reference.sem(values))
    assert t_interval(values) == pytest.approx(expected)
    assert t_interval(values[:4]) == (None, None)


def test_summary_of_three_seeds_by_hand() -> None:
    found = summarise(np.array([1.0, 2.0, 6.0]), None)
    assert (found.n, found.mean, found.minimum, found.maximum) == (3, 3.0, 1.0, 6.0)
    assert found.sd == pytest.approx(np.sqrt(7))
    assert (found.low, found.kind, found.t_low) == (None, "none", None)
    assert summarise(np.array([1.0]), None).sd is None


@pytest.mark.parametrize(
    ("seeds", "said", "unsaid"),
    [({1}, "not seeds", "two levels"), ({3}, "two levels", "n = 1"), ({1, 3}, "n = 1", "No interval")],
)
def test_the_text_says_what_an_interval_covers(seeds: set[int], said: str, unsaid: str) -> None:
    text = interval_text(seeds, unit="person", n_units=80, replicates=200, varies="seeds", fixed="other data")
    assert said in text
    assert unsaid not in text
    assert "200 resamples of the 80 test units (unit: person)" in text
    assert text.endswith("Not covered: other data.")
