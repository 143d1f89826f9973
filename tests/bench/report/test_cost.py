from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.cost import pareto_front
from bench.report.tables import beside_cost

Make = Callable[..., Any]

SCORES = np.linspace(10, 60, 80)
COSTS = {
    "wall_s": 30.0, "train_wall_s": 25.0, "samples_seen": 6400, "samples_per_s": 256.0,
    "pretrain_wall_s": 90.0, "pretrain_samples_seen": 20000,
}  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_a_front_is_what_no_other_point_dominates(found: list[tuple[int, int]]) -> None:
    quality, cost = np.array(found, dtype=float).T
    on_front = pareto_front(quality, cost)
    assert on_front.any()
    for i, (q, c) in enumerate(found):
        beaten = any((a >= q and b < c) or (a > q and b <= c) for a, b in found)
        assert on_front[i] == (not beaten)


def test_device_time_counts_where_recorded_and_else_wall_time(make_record: Make, summaries: Make) -> None:
    records = [
        make_record(SCORES, cost={**COSTS, "pretrain_wall_s": 0.0, "pretrain_samples_seen": 0}),
        make_record(SCORES + 1, method="wall", cost=COSTS),
        make_record(
            SCORES + 2, method="devices", cost={**COSTS, "device_s": 240.0, "pretrain_device_s": 720.0}
        ),
    ]
    found = summaries(records).cost_quality.set_index("method")
    hours = {"scratch": 30 / 3600, "wall": 120 / 3600, "devices": 960 / 3600}
    assert found["device_hours"].to_dict() == pytest.approx(hours)
    assert found["samples_seen"]["wall"] == 26_400
    assert found["front_device_hours"].all()  # each costs more and is better
    assert found["front_samples_seen"].to_dict() == {"scratch": True, "devices": True, "wall": False}


def test_costs_that_are_not_recorded_are_said_and_on_no_front(make_record: Make, summaries: Make) -> None:
    known, unknown = make_record(SCORES), make_record(SCORES + 5, method="cmc", cost={"wall_s": 9.0})
    half = (
        make_record(SCORES, method="mae", seed=0, cost=COSTS),
        make_record(SCORES, method="mae", seed=1, cost={}),
    )
    summary = summaries([known, unknown])
    found = summary.cost_quality.set_index("method")
    assert found.loc["cmc", ["device_hours", "samples_seen"]].isna().all()
    assert found["front_device_hours"].to_dict() == {"scratch": True, "cmc": False}
    table = beside_cost(summary.tasks[0])
    assert [row.entries[1].text for row in table.rows][1] == "not recorded"
    assert summaries(half).cost_quality["device_hours"].isna().all()  # the mean of a part would mislead
    assert not beside_cost(summaries([unknown]).tasks[0]).rows


def test_lower_is_better_and_incomplete_rows(make_record: Make, summaries: Make) -> None:
    def metric(value: float) -> list[dict[str, Any]]:
        return [{"name": "mpjpe", "value": value, "unit": "mm", "higher_is_better": False}]

    records = [
        make_record(SCORES, method=method, seed=seed, metrics=metric(value), cost=COSTS)
        for method, value in (("good", 50.0), ("bad", 70.0), ("partial", 10.0))
        for seed in range(2)
    ]
    found = summaries(records[:-1]).cost_quality.set_index("method")["front_device_hours"]
    assert found.to_dict() == {"good": True, "bad": False}


def test_costs_are_means_over_runs_that_have_them(make_record: Make, summaries: Make) -> None:
    records = [make_record(SCORES, seed=s, cost={"wall_s": w}) for s, w in enumerate((10.0, 30.0))]
    (row,) = summaries([*records, make_record(SCORES, seed=2, cost={})]).costs.itertuples()
    assert (row.runs, row.wall_s) == (3, 20.0) and np.isnan(row.samples_seen)
