from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from bench.report.intervals import holm, interval_text, mean_interval, paired_interval, verdict


def test_one_seed_gives_students_t_of_its_test_units() -> None:
    drawn = np.random.default_rng(0).normal(size=(1, 500))
    found = mean_interval(np.array([0.3]), drawn, units=16)
    df = 1 / (1 / 15 + 1 / 499)
    error = drawn.std(ddof=1) * np.sqrt(16 / 15)  # a bootstrap of G units is too narrow by (G - 1) / G
    assert (found.low, found.high) == pytest.approx(reference.t.interval(0.95, df, 0.3, error))
    assert found.kind == "test units"
    assert found.p == pytest.approx(2 * reference.t.sf(0.3 / error, df))


def test_seeds_alone_give_the_one_sample_t_test() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    found = mean_interval(np.array(values), np.tile(np.array(values)[:, None], (1, 100)), units=50)
    expected = reference.ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.kind == "seeds and test units"


def test_a_paired_difference_over_seeds_is_the_paired_t_test() -> None:
    """Where all runs share the noise of the test units, it cancels, and scipy's test is left."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(5, 1, 6), rng.normal(3, 1, 6)
    shared = rng.normal(0, 10, (1, 400))
    found = paired_interval(a, b, a[:, None] + shared, b[:, None] + shared, units=80)
    assert found.p == pytest.approx(reference.ttest_rel(a, b).pvalue)
    assert found.mean == pytest.approx(np.mean(a - b))
    turned = paired_interval(b, a, b[:, None] + shared, a[:, None] + shared, units=80)
    assert (turned.low, turned.high, turned.p) == pytest.approx((-found.high, -found.low, found.p))  # type: ignore[operator]


def test_one_seed_of_two_methods_is_the_paired_t_test_over_units() -> None:
    rng = np.random.default_rng(2)
    units = rng.normal(0, 5, 40)
    a, b = units + rng.normal(0.6, 1, 40), units + rng.normal(0, 1, 40)
    shares = rng.multinomial(40, np.full(40, 1 / 40), size=20_000) / 40
    found = paired_interval(
        np.array([a.mean()]), np.array([b.mean()]), (shares @ a)[None], (shares @ b)[None], units=40
    )
    assert found.p == pytest.approx(reference.ttest_rel(a, b).pvalue, rel=0.1)


def test_both_parts_add_up_and_noise_under_seeds_counts_once() -> None:
    """Balanced by construction: seeds 1, unit noise under seeds 4, shared units 9 (variances of one run)."""
    rng = np.random.default_rng(3)
    seeds, draws = 8, 200_000
    own = rng.normal(0, 2, (seeds, draws))
    shared = rng.normal(0, 3, draws)
    values = np.array([-1.0, 1.0] * 4) * np.sqrt(7 / 8 * 5)  # sample variance 5 = 1 + 4
    found = mean_interval(values, own + shared, units=0)
    assert found.error == pytest.approx(np.sqrt(9 + (1 + 4) / 8), rel=0.01)


def test_seeds_that_agree_by_chance_do_not_hide_the_noise_under_them() -> None:
    drawn = np.random.default_rng(5).normal(0, 1, (3, 20_000))  # nothing shared: each seed its own noise
    found = mean_interval(np.full(3, 3.4), drawn, units=0)
    assert found.high is not None
    assert found.high - 3.4 == pytest.approx(1.96 * np.sqrt(1 / 3), rel=0.02)


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=6),
    st.integers(0, 60),
    st.floats(0, 3),
    st.integers(0, 10_000),
)
def test_the_interval_leaves_out_0_exactly_where_p_is_below_5_percent(
    values: list[float], units: int, noise: float, stream: int
) -> None:
    drawn = np.random.default_rng(stream).normal(0, noise, (len(values), 50))
    found = mean_interval(np.array(values), drawn, 0 if units == 1 else units)
    assert found.low is not None and found.high is not None and found.p is not None
    edge = min(abs(found.low), abs(found.high))
    if edge > 1e-6 * (abs(found.mean) + noise):
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert found.low <= found.mean <= found.high


def test_nothing_can_be_said_without_replicates_or_from_one_unit() -> None:
    for drawn, units in ((None, 9), (np.zeros((2, 0)), 9), (np.ones((2, 1)), 9), (np.ones((2, 50)), 1)):
        found = mean_interval(np.array([1.0, 2.0]), drawn, units)
        assert (found.mean, found.low, found.p, found.kind) == (1.5, None, None, "none")


def test_a_difference_of_nothing_is_not_beyond_its_interval() -> None:
    drawn = np.random.default_rng(4).normal(size=(3, 100))
    found = paired_interval(drawn.mean(axis=1), drawn.mean(axis=1), drawn, drawn)
    assert (found.mean, found.low, found.high, found.p, found.beyond) == (0, 0, 0, 1, False)
    assert not paired_interval(np.ones(2), np.zeros(2), None, None).beyond  # no interval, no claim
    certain = paired_interval(np.ones(1), np.zeros(1), np.ones((1, 9)), np.zeros((1, 9)))
    assert (certain.p, certain.beyond) == (0, True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_agrees_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_unknown_p_values_stay_unknown_and_do_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("mean", "p", "up", "expected"),
    [
        (2.0, 0.049, True, "better"),
        (2.0, 0.05, True, "tie"),
        (-2.0, 0.001, True, "worse"),
        (-2.0, 0.001, False, "better"),
        (2.0, 0.001, False, "worse"),
        (0.4, 1e-9, True, "tie"),  # certain, but too small to matter
        (0.5, 1e-9, True, "better"),
        (9.0, None, True, "tie"),
    ],
)
def test_a_verdict_needs_a_small_p_and_an_effect_that_matters(
    mean: float, p: float | None, up: bool, expected: str
) -> None:
    assert verdict(mean, p, higher_is_better=up, minimum_effect=0.5) == expected


@pytest.mark.parametrize(
    ("seeds", "said", "unsaid"),
    [
        ({1}, "not seeds", "two levels"),
        ({3}, "two levels", "n = 1"),
        ({1, 3}, "n = 1", "No interval"),
        ({2}, "at least 94 %", "n = 1"),
    ],
)
def test_the_text_says_what_an_interval_covers(seeds: set[int], said: str, unsaid: str) -> None:
    text = interval_text(seeds, unit="person", n_units=80, replicates=200, varies="seeds", fixed="other data")
    assert said in text
    assert unsaid not in text
    assert "200 resamples of the 80 test units (unit: person)" in text
    assert text.endswith("Not covered: other data.")
