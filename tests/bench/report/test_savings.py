from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from bench.report.bootstrap import Runs, joint_draws, percentiles
from bench.report.savings import first_reach, isotonic
from bench.report.tables import factor_text

Make = Callable[..., Any]

SHARES = ("1/100", "1/30", "1/10", "1/3", "1")
X = np.log([float(Fraction(share)) for share in SHARES])


@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(2, 8)), elements=st.floats(-5, 5)))
def test_curves_rise_as_scipys_isotonic_regression_makes_them(y: Any) -> None:
    assert isotonic(y) == pytest.approx(np.stack([isotonic_regression(row).x for row in y]), abs=1e-9)


def test_the_first_reach_lies_on_the_line_between_two_points() -> None:
    x, y = np.array([0.0, 1.0, 4.0]), np.array([[0.0, 3.0, 2.0]])  # rises as 0, 2.5, 2.5
    targets = np.array([-1.0, 0.0, 1.0, 2.5, 3.0])
    found = first_reach(x, np.repeat(y, 5, axis=0), targets)
    assert found.tolist() == [-inf, -inf, 0.4, 1.0, inf]


def world(factor: float, seeds: int, make_record: Make, *, lower: bool = False) -> list[dict[str, Any]]:
    """Return records whose scores rise with the logarithm of the labels; the method needs fewer of them."""
    rng = np.random.default_rng([7, 0])
    units, taste = rng.normal(0, 10, 80), rng.normal(0, 2, 80)
    found = []
    for share, amount in zip(SHARES, X, strict=True):
        for seed in range(seeds):
            for method, gain in (("scratch", 0.0), ("cmc", np.log(factor))):
                own = 50 + 2 * (amount + gain) + rng.normal(0, 0.3) + units + rng.normal(0, 2, 80)
                own = (100 - own if lower else own) + taste * (method == "cmc")
                metric = {"name": "m", "value": float(own.mean()), "unit": "%", "higher_is_better": not lower}
                found.append(make_record(own, method=method, seed=seed, fraction=share, metrics=[metric]))
    return found


def saved(summaries: Make, records: list[Any], what: str = "labels") -> list[Any]:
    frame: pd.DataFrame = summaries(records).savings
    return list(frame[frame["what"] == what].itertuples())


@pytest.mark.parametrize("lower", [False, True])
def test_the_planted_factor_is_recovered(lower: bool, make_record: Make, summaries: Make) -> None:
    (found,) = saved(summaries, world(4.0, 5, make_record, lower=lower))
    assert (found.method, found.reference, found.n) == ("cmc", "scratch", 5)
    assert found.low < 4 < found.high
    assert found.factor == pytest.approx(4, rel=0.6)
    assert found.share == pytest.approx(1 / found.factor)
    assert found.kind == "seeds and test units"


def test_intervals_of_labels_saved_cover_the_planted_factor() -> None:
    """200 simulated studies of 3 seeds; the bounds allow for 3 standard errors around 93 to 98 %."""
    hits, places = 0, []
    for stream in range(200):
        found, point = _study(np.random.default_rng([8, stream]))
        low, high = percentiles(found)
        hits += low <= -np.log(4) <= high
        places.append(point)
    assert 175 <= hits <= 200
    assert np.median(places) == pytest.approx(-np.log(4), abs=0.12)


def _study(rng: np.random.Generator, seeds: int = 3, units: int = 60) -> tuple[Any, float]:
    """Return where a method that needs a quarter of the labels gets there: in draws, and for the means."""
    shares = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), 200) / units
    hard, taste = rng.normal(0, 10, units), rng.normal(0, 3, units)
    runs = []
    for level in (*(50 + 2 * (X + np.log(4))), 50.0):
        scores = level + rng.normal(0, 0.5, (seeds, 1)) + hard + rng.normal(0, 3, (seeds, units))
        scores += taste * (len(runs) < len(X))
        runs.append(Runs(values=scores.mean(axis=1), replicates=scores @ shares.T))
    drawn = joint_draws(runs, units)
    assert drawn is not None
    means = np.array([[run.values.mean() for run in runs]])
    point = float(first_reach(X, means[:, :-1], means[:, -1])[0])
    return first_reach(X, np.stack(drawn[:-1], axis=1), drawn[-1]), point


@pytest.mark.parametrize(
    ("factor", "state", "said"),
    [(1e4, "beyond", "more than 100"), (1e-4, "not reached", "not reached")],
)
def test_factors_outside_of_what_was_measured_are_said_in_words(
    factor: float, state: str, said: str, make_record: Make, summaries: Make
) -> None:
    (found,) = saved(summaries, world(factor, 3, make_record))
    assert (found.factor_state, found.low_state, found.high_state) == (state,) * 3
    assert np.isnan([found.factor, found.share, found.low, found.high]).all()
    assert factor_text(found) == f"{said} [{said}, {said}] (n=3)"


def test_one_share_or_no_full_share_gives_no_factor(make_record: Make, summaries: Make) -> None:
    records = world(4.0, 2, make_record)
    assert saved(summaries, [r for r in records if r["labels"]["fraction"] != "1"]) == []
    assert saved(summaries, [r for r in records if r["labels"]["fraction"] == "1"]) == []


def _curves(make_record: Make, seeds: int, speed: float) -> list[dict[str, Any]]:
    """Return records whose validation curve rises in proportion to progress, the method's faster."""
    found = []
    for method, gain in (("scratch", 1.0), ("cmc", speed)):
        for seed in range(seeds):
            rise = [min(1.0, gain * p / 10) * 40 + 0.2 * seed for p in range(1, 11)]
            curve = [{"progress": p / 10, "step": p, "value": v} for p, v in enumerate(rise, start=1)]
            scores = np.linspace(20, 60, 80) + seed
            found.append(make_record(scores, method=method, seed=seed, curve=curve))
    return found


def test_epochs_saved_follow_the_validation_curves(make_record: Make, summaries: Make) -> None:
    (found,) = saved(summaries, _curves(make_record, 3, 2.0), "fine-tuning")
    assert found.factor == pytest.approx(2)
    assert 1.9 < found.low <= 2 <= found.high < 2.1  # seeds of both are drawn alike
    assert (found.kind, found.n, found.smallest_share, found.fraction) == ("seeds", 3, 0.1, "1/10")
    (alone,) = saved(summaries, _curves(make_record, 1, 2.0), "fine-tuning")
    assert (alone.factor, alone.low_state, alone.kind) == (pytest.approx(2), "", "none")
    assert factor_text(alone) == "2.0 (n=1)"


def test_a_curve_that_starts_before_training_counts_from_its_first_step(
    make_record: Make, summaries: Make
) -> None:
    curve = [{"progress": p / 4, "step": p, "value": 10.0 * p} for p in range(5)]
    faster = [{**point, "value": 2 * point["value"]} for point in curve]
    scores = np.linspace(20, 60, 80)
    records = [make_record(scores, curve=curve), make_record(scores, method="cmc", curve=faster)]
    (found,) = saved(summaries, records, "fine-tuning")
    assert (found.factor, found.smallest_share) == (pytest.approx(2), 0.25)
