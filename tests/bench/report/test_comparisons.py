from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.report.budget import parse
from bench.report.comparisons import Scale, holm, verdict
from bench.report.frame import load
from bench.report.tables import Table, build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

UP, DOWN = (Scale(higher_is_better=up, minimum_effect=0.5) for up in (True, False))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_agrees_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_unknown_p_values_stay_unknown_and_do_not_count() -> None:
    assert holm([None, 0.02, None, 0.03]) == [None, 0.04, None, 0.04]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("mean", "p", "scale", "expected"),
    [
        (2.0, 0.049, UP, "better"),
        (2.0, 0.05, UP, "tie"),
        (-2.0, 0.001, UP, "worse"),
        (-2.0, 0.001, DOWN, "better"),
        (2.0, 0.001, DOWN, "worse"),
        (0.4, 1e-9, UP, "tie"),  # certain, but too small to matter
        (0.5, 1e-9, UP, "better"),
        (9.0, None, UP, "tie"),
    ],
)
def test_a_verdict_needs_a_small_p_and_an_effect_that_matters(
    mean: float, p: float | None, scale: Scale, expected: str
) -> None:
    assert verdict(mean, p, scale) == expected


def table(root: Path, *references: str) -> Table:
    (found,) = build_tables(load(root), references)[0]
    return found


def test_a_family_is_one_reference_with_all_methods_and_budgets(make_world: Make, store: Store) -> None:
    effects = {"scratch": 25.0, "cmc": 27.0, "mae": 26.0}
    found = table(store(make_world(effects, seeds=4, seed_sd=1.0)), "cmc")
    by_family: dict[str, list[Any]] = {}
    for c in found.comparisons:
        by_family.setdefault(c.reference.name, []).append(c)
    assert {name: len(family) for name, family in by_family.items()} == {"scratch": 4, "cmc": 2}
    for family in by_family.values():
        corrected = multipletests([c.difference.p for c in family], method="holm")[1]
        assert [c.p_holm for c in family] == pytest.approx(corrected.tolist())
        assert {c.family for c in family} == {len(family)}


def test_a_certain_but_small_difference_is_a_tie_everywhere(make_world: Make, store: Store) -> None:
    """Half a point, measured with next to no noise: only the minimum effect decides."""
    options = {"seeds": 5, "seed_sd": 0.02, "own_sd": 0.1, "fractions": {"1": 0.0}}
    for least, tied in ((0.0, False), (0.4, False), (0.6, True)):
        records = make_world({"scratch": 25.0, "cmc": 25.5}, labels={"minimum_effect": least}, **options)
        found = table(store(records))
        (comparison,) = found.comparisons
        assert comparison.difference.beyond and comparison.p_holm is not None and comparison.p_holm < 0.001
        assert comparison.verdict == ("tie" if tied else "better")
        assert bool(found.groups[0].ties[parse("1")]) == tied
        for path in (store([]) / "score").glob("*/record.json"):
            path.unlink()


def test_ties_with_the_best_are_corrected_over_all_budgets(make_world: Make, store: Store) -> None:
    effects = {"scratch": 25.0, "cmc": 25.6, "mae": 26.0, "hcmoco": 26.4}
    found = table(store(make_world(effects, seeds=3, seed_sd=0.3)))
    (group,) = found.groups
    assert len(group.behind) == 6  # three rows behind the best one, at two budgets
    corrected = multipletests([c.difference.p for c in group.behind], method="holm")[1]
    assert [c.p_holm for c in group.behind] == pytest.approx(corrected.tolist())
    for budget, tied in group.ties.items():
        expected = {c.row.identity for c in group.behind if c.budget == budget and c.p_holm >= 0.05}
        assert tied == expected


def test_lower_is_better_turns_the_verdict(make_record: Make, store: Store) -> None:
    scores = np.linspace(60, 90, 80)
    records = []
    for method, shift in (("scratch", 0.0), ("cmc", -5.0)):
        for seed in range(3):
            own = scores + shift + 0.1 * seed
            metric = {"name": "mpjpe", "value": float(own.mean()), "unit": "mm", "higher_is_better": False}
            records.append(make_record(own, method=method, seed=seed, metrics=[metric]))
    found = table(store(records))
    (comparison,) = found.comparisons
    assert comparison.difference.mean == pytest.approx(-5)
    assert comparison.verdict == "better"
    assert found.groups[0].best[parse("1/10")].name == "cmc"
