from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.frame import load
from bench.report.fronts import Point, _front, fronts
from bench.report.saving_grids import beside_cost
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)
COSTS = {
    "wall_s": 30.0, "train_wall_s": 25.0, "samples_seen": 6400, "samples_per_s": 256.0,
    "pretrain_wall_s": 90.0, "pretrain_samples_seen": 20000,
}  # fmt: skip


def points(root: Path) -> dict[str, Point]:
    (table,) = build_tables(load(root))[0]
    return {point.row.name: point for point in fronts(table)}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_front_is_what_no_other_point_dominates(found: list[tuple[int, int]]) -> None:
    quality, cost = ([float(value) for value in part] for part in zip(*found, strict=True))
    on_front = _front(quality, cost)
    assert any(on_front)
    for i, (q, c) in enumerate(found):
        beaten = any((a >= q and b < c) or (a > q and b <= c) for a, b in found)
        assert on_front[i] == (not beaten)


def test_device_time_counts_where_recorded_and_else_wall_time(make_record: Make, store: Store) -> None:
    records = [
        make_record(SCORES, cost={**COSTS, "pretrain_wall_s": 0.0, "pretrain_samples_seen": 0}),
        make_record(SCORES + 1, method="wall", cost=COSTS),
        make_record(
            SCORES + 2, method="devices", cost={**COSTS, "device_s": 240.0, "pretrain_device_s": 720.0}
        ),
    ]
    found = points(store(records))
    hours = {name: point.device_hours for name, point in found.items()}
    assert hours == pytest.approx({"scratch": 30 / 3600, "wall": 120 / 3600, "devices": 960 / 3600})
    assert found["wall"].samples_seen == 26_400
    assert all(point.front_hours for point in found.values())  # each costs more and is better
    assert [found[n].front_samples for n in ("scratch", "wall", "devices")] == [True, False, True]


def test_costs_that_are_not_recorded_are_said_and_on_no_front(make_record: Make, store: Store) -> None:
    root = store([make_record(SCORES), make_record(SCORES + 5, method="cmc", cost={"wall_s": 9.0})])
    found = points(root)
    assert (found["cmc"].device_hours, found["cmc"].samples_seen) == (None, None)
    assert not found["cmc"].front_hours and found["scratch"].front_hours
    (table,) = build_tables(load(root))[0]
    grid = beside_cost(table, fronts(table))
    assert grid is not None and grid.rows[1][3].text == "not recorded"
    (alone,) = build_tables(load(store([])))[0]
    nothing = [p for p in fronts(alone) if p.row.name == "cmc"]
    assert beside_cost(alone, nothing) is None


def test_lower_is_better_and_incomplete_rows(make_record: Make, store: Store) -> None:
    def metric(value: float) -> list[dict[str, Any]]:
        return [{"name": "mpjpe", "value": value, "unit": "mm", "higher_is_better": False}]

    records = [
        make_record(SCORES, method=method, seed=seed, metrics=metric(value), cost=COSTS)
        for method, value in (("good", 50.0), ("bad", 70.0), ("partial", 10.0))
        for seed in range(2)
    ]
    found = points(store(records[:-1]))
    assert set(found) == {"good", "bad"}
    assert found["good"].front_hours and not found["bad"].front_hours
