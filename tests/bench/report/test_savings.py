from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from bench.report.draws import DRAWS, Runs, all_draws, draw_means, interval, intervals
from bench.report.frame import load, split_curves
from bench.report.saving_grids import factor_text
from bench.report.savings import Saving, first_reach, savings
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

SHARES = ("1/100", "1/30", "1/10", "1/3", "1")


@given(arrays(np.float64, st.integers(2, 8), elements=st.floats(-5, 5)), st.floats(-6, 6))
def test_the_first_reach_is_that_of_scipys_isotonic_regression(y: Any, target: float) -> None:
    x = np.arange(len(y), dtype=np.float64) ** 1.5
    found = float(first_reach(x, y[None], np.array([target]))[0])
    rising = isotonic_regression(y).x
    if np.abs(rising - target).min() < 1e-9:
        return  # rounding decides
    above = rising >= target
    if above[0] or not above[-1]:
        assert found == (-inf if above[0] else inf)
        return
    after = int(np.argmax(above))
    step = (target - rising[after - 1]) / (rising[after] - rising[after - 1])
    assert found == pytest.approx(x[after - 1] + step * (x[after] - x[after - 1]))


def world(
    factor: float, seeds: int, stream: int, make_record: Make, *, lower: bool = False, **options: Any
) -> list[dict[str, Any]]:
    """Return records whose scores rise with the logarithm of the labels; the method needs fewer of them."""
    rng = np.random.default_rng([7, stream])
    units, taste = rng.normal(0, 10, 80), rng.normal(0, 2, 80)
    found = []
    for share in SHARES:
        amount = np.log(eval(share))
        for seed in range(seeds):
            for method, gain in (("scratch", 0.0), ("cmc", np.log(factor))):
                own = 50 + 2 * (amount + gain) + rng.normal(0, 0.3) + units + rng.normal(0, 2, 80)
                own = (100 - own if lower else own) + taste * (method == "cmc")
                metric = {"name": "m", "value": float(own.mean()), "unit": "%", "higher_is_better": not lower}
                found.append(
                    make_record(own, method=method, seed=seed, fraction=share, metrics=[metric], **options)
                )
    return found


def saved(root: Path, what: str = "labels", reference: str = "scratch") -> list[Saving]:
    loaded = load(root)
    (table,) = build_tables(loaded)[0]
    found = savings(table, (reference,), split_curves(loaded))
    return [s for s in found if s.what == what]


@pytest.mark.parametrize("lower", [False, True])
def test_the_planted_factor_is_recovered(lower: bool, make_record: Make, store: Store) -> None:
    (found,) = saved(store(world(4.0, 5, 0, make_record, lower=lower)))
    assert (found.row.name, found.reference.name, found.n) == ("cmc", "scratch", 5)
    assert found.low is not None and found.high is not None
    assert found.low < 4 < found.high
    assert found.factor == pytest.approx(4, rel=0.6)
    assert found.share == pytest.approx(1 / found.factor)
    assert found.kind == "seeds and test units"


def test_intervals_of_labels_saved_cover_the_planted_factor() -> None:
    """200 simulated studies of 3 seeds; the bounds allow for 3 standard errors around 93 to 98 %."""
    hits, places = 0, []
    for stream in range(200):
        found, point = _study(np.random.default_rng([8, stream]))
        low, high = interval(found)
        hits += low <= -np.log(4) <= high
        places.append(point)
    assert 175 <= hits <= 200
    assert np.median(places) == pytest.approx(-np.log(4), abs=0.12)


def _study(rng: np.random.Generator, seeds: int = 3, units: int = 60) -> tuple[Any, float]:
    """Return where a method that needs a quarter of the labels gets there: in draws, and for the means."""
    shares = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), 200) / units
    x = np.log([eval(share) for share in SHARES])
    hard, taste = rng.normal(0, 10, units), rng.normal(0, 3, units)
    runs = []
    for level in (*(50 + 2 * (x + np.log(4))), 50.0):
        scores = level + rng.normal(0, 0.5, (seeds, 1)) + hard + rng.normal(0, 3, (seeds, units))
        scores += taste * (len(runs) < len(x))
        runs.append(Runs(values=scores.mean(axis=1), replicates=scores @ shares.T))
    drawn = draw_means(runs, units)
    assert drawn is not None
    means = np.array([[run.values.mean() for run in runs]])
    point = float(first_reach(x, means[:, :-1], means[:, -1])[0])
    return first_reach(x, np.stack(drawn[:-1], axis=1), drawn[-1]), point


def test_factors_beyond_what_was_measured_are_said_in_words(make_record: Make, store: Store) -> None:
    (found,) = saved(store(world(1e4, 3, 0, make_record)))
    assert (found.factor, found.share, found.low) == (inf, None, inf)
    assert factor_text(found) == "more than 100 [more than 100, more than 100]"


def test_a_worse_method_never_gets_there(make_record: Make, store: Store) -> None:
    (found,) = saved(store(world(1e-4, 3, 0, make_record)))
    assert (found.factor, found.share, found.high) == (0, None, 0)
    assert factor_text(found) == "not reached [not reached, not reached]"


def test_one_share_or_no_full_share_gives_no_factor(make_record: Make, store: Store) -> None:
    records = world(4.0, 2, 0, make_record)
    root = store([r for r in records if r["labels"]["fraction"] != "1"])
    assert saved(root) == []


def test_incomplete_rows_are_left_out(make_record: Make, store: Store) -> None:
    records = world(4.0, 2, 0, make_record)
    records.remove(next(r for r in records if r["labels"]["method"] == "cmc"))
    assert saved(store(records)) == []


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


def test_epochs_saved_follow_the_validation_curves(make_record: Make, store: Store) -> None:
    (found,) = saved(store(_curves(make_record, 3, 2.0)), "fine-tuning")
    assert found.factor == pytest.approx(2)
    assert found.low is not None and found.high is not None
    assert 1.9 < found.low <= 2 <= found.high < 2.1  # seeds of both are drawn alike
    assert (found.kind, found.n, found.smallest) == ("seeds", 3, 0.1)
    assert found.budget is not None and found.budget.label == "1/10"


def test_a_curve_that_starts_before_training_counts_from_its_first_step(
    make_record: Make, store: Store
) -> None:
    curve = [{"progress": p / 4, "step": p, "value": 10.0 * p} for p in range(5)]
    faster = [{**point, "value": 2 * point["value"]} for point in curve]
    scores = np.linspace(20, 60, 80)
    records = [make_record(scores, curve=curve), make_record(scores, method="cmc", curve=faster)]
    (found,) = saved(store(records), "fine-tuning")
    assert (found.factor, found.smallest) == (pytest.approx(2), 0.25)


def test_one_seed_gives_a_factor_without_interval(make_record: Make, store: Store) -> None:
    (found,) = saved(store(_curves(make_record, 1, 2.0)), "fine-tuning")
    assert (found.factor, found.low, found.kind) == (pytest.approx(2), None, "none")
    assert factor_text(found) == "2.0"


def test_all_draws_of_few_seeds_have_the_moments_of_a_bootstrap() -> None:
    for seeds in (2, 3, 5, 9):
        shares, ways = all_draws(seeds)
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
    found = draw_means(runs, units=50)
    assert found is not None
    assert found[1] - found[0] == pytest.approx(3)
    assert found[0].mean() == pytest.approx(values.mean(), abs=0.1)
    assert draw_means([Runs(values=values[:1], replicates=None)]) is None


def test_weighted_and_infinite_draws_have_an_interval() -> None:
    drawn = np.array([inf, 1.0, 2.0, -inf])
    assert interval(drawn) == (-inf, inf)
    both = np.stack([drawn, -drawn[::-1] + 1], axis=1)
    assert intervals(both, np.array([1e-3, 1.0, 1.0, 1e-3])) == ([1, -1], [2, 0])
