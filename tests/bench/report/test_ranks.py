from __future__ import annotations

import warnings
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from bench.report.ranks import cliques, critical_difference, paired_tests, rank_methods

SCORES = np.random.default_rng(0).normal([30, 32, 33, 36], 1.5, (10, 4))  # tasks x methods


def test_ranks_and_critical_difference_agree_with_autorank() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from autorank import autorank

        frame = pd.DataFrame(SCORES, columns=list("abcd"))
        other = autorank(frame, alpha=0.05, order="descending", force_mode="nonparametric")
    found = rank_methods([row[None] for row in SCORES])
    assert found.average == pytest.approx(other.rankdf.loc[list("abcd"), "meanrank"].tolist())
    assert found.critical_difference == pytest.approx(other.cd, rel=1e-3)
    assert (found.tasks, found.reason) == (10, "")


def test_the_f_shaped_friedman_test_by_scipy_and_by_hand() -> None:
    found = rank_methods([row[None] for row in SCORES])
    chi2 = reference.friedmanchisquare(*SCORES.T).statistic
    statistic = 9 * chi2 / (10 * 3 - chi2)
    assert found.friedman == pytest.approx(statistic)
    assert found.friedman_p == pytest.approx(reference.f.sf(statistic, 3, 27))


def test_demsars_worked_example() -> None:
    """Table 6 of Demsar (2006): 4 classifiers on 14 data sets, CD = 1.25."""
    table = [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]  # fmt: skip
    found = rank_methods([np.array([row]) for row in table])
    assert found.average == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)


def test_budgets_are_averaged_within_a_task_before_tasks() -> None:
    many = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])  # the second is better at three budgets
    one = np.array([[2.0, 1.0]])
    assert rank_methods([many, one]).average == (1.5, 1.5)


def test_ties_get_mean_ranks() -> None:
    assert rank_methods([np.array([[5.0, 5.0, 7.0, 1.0]])]).average == (2.5, 2.5, 1.0, 4.0)


@pytest.mark.parametrize(
    ("tasks", "methods", "said"),
    [
        (4, 4, "at least 5 tasks (here 4)"),
        (9, 2, "at least 3 methods (here 2)"),
        (3, 2, "3 methods (here 2) and 5"),
    ],
)
def test_too_few_tasks_or_methods_have_no_critical_difference(tasks: int, methods: int, said: str) -> None:
    found = rank_methods([row[None, :methods] for row in SCORES[:tasks]])
    assert found.critical_difference is None and found.friedman_p is None
    assert said in found.reason


def test_methods_that_do_not_differ_have_no_critical_difference() -> None:
    found = rank_methods([row[None] for row in np.random.default_rng(1).normal(size=(8, 4))])
    assert found.friedman_p is not None and found.friedman_p > 0.05
    assert "finds no difference" in found.reason
    tied = rank_methods([np.ones((1, 3))] * 6)
    assert (tied.friedman_p, tied.average) == (1.0, (2.0, 2.0, 2.0))
    sure = rank_methods([np.array([[1.0, 2.0, 3.0]])] * 6)
    assert (sure.friedman_p, sure.friedman) == (0.0, np.inf)
    assert sure.critical_difference is not None


def test_the_critical_difference_of_the_protocol() -> None:
    assert critical_difference(8, 10) == pytest.approx(3.031 * np.sqrt(8 * 9 / 60), rel=1e-3)


def test_cliques_are_the_widest_ranges_within_one_critical_difference() -> None:
    assert cliques([1, 2, 3, 4], 1.5) == [(1, 2), (2, 3), (3, 4)]
    assert cliques([1, 1.2, 1.4, 4], 0.5) == [(1, 1.4)]
    assert cliques([1, 3, 5], 1) == []


def test_pairs_over_tasks_agree_with_scipy_and_statsmodels() -> None:
    found = paired_tests(SCORES)
    pairs = list(combinations(range(4), 2))
    assert [(t.first, t.second) for t in found] == pairs
    p = [reference.wilcoxon(SCORES[:, i], SCORES[:, j]).pvalue for i, j in pairs]
    assert [t.p for t in found] == pytest.approx(p)
    assert [t.p_holm for t in found] == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert paired_tests(np.ones((6, 2)))[0].p == 1


def _all_signs(differences: list[int]) -> float:
    """Return the p of Wilcoxon's test by trying all signs."""
    d = np.array([v for v in differences if v], dtype=float)
    ranks = reference.rankdata(np.abs(d))
    middle = ranks.sum() / 2
    signs = np.array(list(product((0, 1), repeat=len(d))), dtype=float).reshape(2 ** len(d), len(d))
    return float((np.abs(signs @ ranks - middle) >= abs(ranks[d > 0].sum() - middle) - 1e-9).mean())


@given(st.lists(st.integers(-4, 4), min_size=6, max_size=10))
def test_pairs_with_ties_and_zeros_count_all_signs(differences: list[int]) -> None:
    scores = np.array([differences, np.zeros(len(differences))]).T
    assert paired_tests(scores)[0].p == pytest.approx(_all_signs(differences))


@pytest.mark.parametrize("tasks", [6, 20, 50])
def test_pairs_over_many_tasks_agree_with_scipy(tasks: int) -> None:
    scores = np.random.default_rng(tasks).normal([0.0, 0.4], 1, (tasks, 2))
    exact = reference.wilcoxon(scores[:, 0], scores[:, 1], method="exact").pvalue
    assert paired_tests(scores)[0].p == pytest.approx(exact, rel=1e-9)


@given(st.integers(3, 6).flatmap(lambda k: st.lists(st.lists(st.integers(0, 3), min_size=k, max_size=k),
                                                    min_size=5, max_size=9)))  # fmt: skip
def test_friedmans_test_with_ties_agrees_with_scipy(table: list[list[int]]) -> None:
    scores = np.array(table, dtype=float)
    found = rank_methods([row[None] for row in scores])
    if (scores == scores[:, :1]).all():
        assert found.friedman == 0
        return
    (n, k), chi2 = scores.shape, reference.friedmanchisquare(*scores.T).statistic
    rest = n * (k - 1) - chi2
    assert found.friedman == pytest.approx((n - 1) * chi2 / rest if rest > 1e-9 else np.inf, rel=1e-6)


@pytest.mark.parametrize("methods", [2, 3, 5, 10, 40])
def test_the_critical_difference_is_that_of_scipys_studentized_range(methods: int) -> None:
    q = reference.studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
    assert critical_difference(methods, 10) == pytest.approx(
        q * np.sqrt(methods * (methods + 1) / 60), rel=1e-6
    )
