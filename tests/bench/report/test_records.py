from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.records import COLUMNS, common_curves, load

Make = Callable[..., dict[str, Any]]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)


def test_one_row_per_record_and_metric_with_the_documented_columns(make_record: Make, store: Store) -> None:
    records = [make_record(SCORES + seed, seed=seed) for seed in range(3)]
    loaded = load(store(records))
    assert tuple(loaded.runs.columns) == COLUMNS
    assert (len(loaded.runs), len(loaded.curves), loaded.problems) == (6, 3, ())
    primary = loaded.runs[loaded.runs["primary"]].set_index("seed").sort_index()
    assert primary["value"].to_list() == pytest.approx([35, 36, 37])
    assert (primary["pretrain_forward_passes"] == 0).all()  # scratch has no pretraining
    assert set(primary["test_set"]) == {"a1b2c3d4/person/80"}
    for found in records:
        assert loaded.replicates[found["key"]].tolist() == found["interval"]["replicates"]
        assert loaded.details[found["key"]]["spec"] == found["spec"]


@pytest.mark.parametrize("shift, said", [(0, "a copy of"), (1, "differs from")])
def test_a_second_record_of_a_key_is_named_and_left_out(
    shift: float, said: str, make_record: Make, store: Store
) -> None:
    first = make_record(SCORES, seed=0)
    root = store([first])
    metrics = [{**first["metrics"][0], "value": 35.0 + shift}, *first["metrics"][1:]]
    again = root / "score" / "second" / "record.json"
    again.parent.mkdir()
    again.write_text(json.dumps(make_record(SCORES, seed=0, metrics=metrics)))
    loaded = load(root)
    assert loaded.runs["value"].to_list()[0] == 35.0 and len(loaded.runs) == 2
    assert loaded.problems == (
        f"record score/second/record.json: {said} another record of {first['key']}; left out",
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"value": 35.0', '"value": 95.0', "edited or damaged"),
        ('"value": 35.0', '"value": NaN', "holds NaN"),
        ('"schema": 1', '"schema": 99', "schema 99"),
        ('"digest"', "", "truncated or damaged"),
    ],
)
def test_a_record_that_cannot_be_read_is_named_and_left_out(
    old: str, new: str, said: str, make_record: Make, store: Store
) -> None:
    good, bad = make_record(SCORES + 1, seed=1), make_record(SCORES, seed=0)
    root = store([good, bad])
    path = root / "score" / f"cell-{bad['key']}" / "record.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    loaded = load(root)
    assert set(loaded.runs["key"]) == {good["key"]}
    (problem,) = loaded.problems
    assert f"cell-{bad['key']}" in problem and said in problem
    assert str(root) not in problem  # reports are shared; folder names of a machine are not


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ({"task": ""}, {}, 'label "task" is missing'),
        ({"method": " \n"}, {}, 'label "method" is missing'),
        ({"encoder": None}, {}, 'label "encoder" is missing'),
        ({"seed": "one"}, {}, 'label "seed" is not a whole number'),
        ({"fraction": "a lot"}, {}, "neither a fraction"),
        ({"minimum_effect": -0.5}, {}, '"minimum_effect" is negative'),
        ({"minimum_effect": "much"}, {}, "a number is expected"),
        ({}, {"curve": [{"step": 3}]}, "curve"),
        ({}, {"interval": {"replicates": [[1.0], [2.0]]}}, "replicates"),
        ({}, {"cost": {"wall_s": "long"}}, "a number is expected"),
    ],
)
def test_a_sealed_record_that_lacks_what_tables_need_is_named(
    labels: dict[str, Any], changes: dict[str, Any], message: str, make_record: Make, store: Store
) -> None:
    loaded = load(store([make_record(SCORES, labels=labels, **changes), make_record(SCORES + 1, seed=4)]))
    assert set(loaded.runs["seed"]) == {4}
    assert len(loaded.problems) == 1
    assert message in loaded.problems[0]


def test_records_without_a_minimum_effect_or_device_times_count_as_before(
    make_record: Make, store: Store
) -> None:
    cost = {"wall_s": 30.0, "device_s": 240.0}
    labels = {"minimum_effect": 0.5}
    root = store([make_record(SCORES), make_record(SCORES, seed=1, labels=labels, cost=cost)])
    frame = load(root).runs
    primary = frame[frame["primary"]].set_index("seed").sort_index()
    assert primary["minimum_effect"].to_list() == [0.0, 0.5]
    assert np.isnan(primary["device_s"][0]) and primary["device_s"][1] == 240
    assert primary["pretrain_device_s"].isna().all()


def test_curves_are_split_by_record_and_sorted(make_record: Make, store: Store) -> None:
    points = [{"progress": p, "step": 1, "value": 10 * p} for p in (1.0, 0.25, 0.5)]
    records = [make_record(SCORES, seed=0, curve=points), make_record(SCORES, seed=1)]
    curves = load(store([*records, make_record(SCORES, seed=2, curve=[])])).curves
    assert set(curves) == {record["key"] for record in records}
    assert curves[records[0]["key"]].tolist() == [[0.25, 2.5], [0.5, 5.0], [1.0, 10.0]]
    assert len(curves[records[1]["key"]]) == 8


def test_folders_set_aside_are_not_read(make_record: Make, store: Store) -> None:
    records = [make_record(SCORES, seed=seed) for seed in range(2)]
    root = store(records)
    folder = root / "score" / f"cell-{records[0]['key']}"
    folder.rename(folder.with_name(f"{folder.name}.corrupt-0"))
    loaded = load(root)
    assert set(loaded.runs["seed"]) == {1}
    assert "1 folder set aside" in loaded.problems[0]


def test_records_of_another_kind_are_refused(make_record: Make, store: Store) -> None:
    root = store([make_record(SCORES, kind="finetune"), make_record(SCORES, seed=2)])
    assert 'of kind "finetune"' in load(root).problems[0]


def test_seeds_on_other_steps_meet_on_their_common_range() -> None:
    first, second = np.array([[0.2, 0], [0.6, 4], [1, 8]]), np.array([[0.4, 4], [0.8, 8], [1, 8]])
    found = common_curves([first, second])
    assert found is not None
    assert found[0] == pytest.approx([0.4, 0.6, 0.8, 1])
    assert found[1].mean(axis=0) == pytest.approx([3, 5, 7, 8])
    assert common_curves([first[:1], second]) is None and common_curves([]) is None
