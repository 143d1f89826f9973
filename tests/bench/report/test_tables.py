from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import ConfigError
from bench.report.budget import parse
from bench.report.costs import cost_rows
from bench.report.frame import load
from bench.report.tables import Group, Table, build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)
TENTH = parse("1/10")


def tables_of(root: Path, *references: str) -> tuple[Table, ...]:
    return build_tables(load(root), references)[0]


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


def test_the_known_best_wins_and_what_cannot_be_told_apart_is_a_tie(make_world: Make, store: Store) -> None:
    effects = {"weak": 30.0, "scratch": 25.0, "strong": 40.0, "equal": 39.9}
    (table,) = tables_of(store(make_world(effects, seeds=5, seed_sd=0.5)))
    (group,) = table.groups
    assert names(group.rows) == ["scratch", "equal", "strong", "weak"]
    best = group.best[TENTH]
    assert best.name in ("strong", "equal")
    other = "equal" if best.name == "strong" else "strong"
    assert {identity.method for identity in group.ties[TENTH]} == {other}
    found = {c.row.name: c.difference for c in table.comparisons if c.budget == TENTH}
    assert set(found) == {"weak", "strong", "equal"}
    assert found["strong"].mean == pytest.approx(15, abs=1)
    assert all(difference.beyond and difference.n == 5 for difference in found.values())


def test_lower_is_better_turns_the_order(make_record: Make, store: Store) -> None:
    metrics = [{"name": "pa_mpjpe", "value": 0.0, "unit": "mm", "higher_is_better": False}]
    records = []
    for method, value in (("scratch", 90.0), ("good", 60.0)):
        scores = np.full(80, value) + SCORES / 100
        changed = [{**metrics[0], "value": float(scores.mean())}]
        records.append(make_record(scores, method=method, metrics=changed))
    (table,) = tables_of(store(records))
    assert table.groups[0].best[TENTH].name == "good"
    assert table.comparisons[0].difference.mean == pytest.approx(-30)


@pytest.mark.parametrize(
    "labels",
    [{"preset": "small"}, {"track": "published"}, {"mode": "parity"}, {"protocol": 2}, {"task": "pose"}],
)
def test_a_table_never_mixes_settings(labels: dict[str, Any], make_world: Make, store: Store) -> None:
    effects = {"scratch": 25.0, "cmc": 30.0}
    root = store([*make_world(effects), *make_world(effects, labels=labels, stream=1)])
    tables = tables_of(root)
    assert len(tables) == 2
    for table in tables:
        assert len({tuple(record[name] for name in labels) for record in table.records}) == 1
        assert names(table.rows) == ["scratch", "cmc"]
    costs = cost_rows(tables)
    assert len(costs) == (2 if "task" in labels else 4)


def test_other_test_data_and_other_encoders_are_kept_apart(make_record: Make, store: Store) -> None:
    other = {"test": {"n": 240, "sha256": "ffff" * 16}}
    records = [
        make_record(SCORES),
        make_record(SCORES + 1, method="cmc"),
        make_record(SCORES + 2, method="cmc", manifests=other),
        make_record(SCORES + 3, method="mae", labels={"encoder": "vit_tiny"}),
    ]
    tables = tables_of(store(records))
    assert [len(table.records) for table in tables] == [3, 1]
    assert all(table.several_test_sets for table in tables)
    assert [group.encoder for group in tables[0].groups] == ["resnet10", "vit_tiny"]
    assert not tables[0].groups[1].best  # alone on its encoder: nothing to be best of
    assert [c.encoder for c in tables[0].comparisons] == ["resnet10"]


def test_a_row_that_lacks_runs_is_listed_and_not_ranked(make_world: Make, store: Store) -> None:
    records = make_world({"scratch": 25.0, "lucky": 50.0, "cmc": 30.0})
    gone = [r for r in records if r["labels"]["method"] == "lucky" and r["labels"]["fraction"] == "1"][-1]
    records.remove(gone)
    (table,) = tables_of(store(records))
    group: Group = table.groups[0]
    assert names(group.rows) == ["scratch", "cmc"]
    assert names(group.incomplete) == ["lucky"]
    assert group.incomplete[0].missing == {parse("1"): ((2, 0),)}
    assert {row.name for row in group.best.values()} == {"cmc"}


def test_differences_use_common_seeds_alone(make_world: Make, store: Store) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0}, fractions={"1/10": 0.0}, seeds=4)
    kept = [r for r in records if not (r["labels"]["method"] == "cmc" and r["labels"]["seed"] in (1, 3))]
    (table,) = tables_of(store(kept))
    values = {(r["labels"]["method"], r["labels"]["seed"]): r["metrics"][0]["value"] for r in kept}
    (found,) = table.comparisons
    expected = np.mean([values["cmc", seed] - values["scratch", seed] for seed in (0, 2)])
    assert found.difference.n == 2
    assert found.difference.mean == pytest.approx(expected)


def test_references_add_pairs_once_and_must_exist(make_world: Make, store: Store) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 30.0, "mae": 31.0}, fractions={"1": 0.0}))
    (table,) = tables_of(root, "cmc")
    pairs = {(c.row.name, c.reference.name) for c in table.comparisons}
    assert pairs == {("cmc", "scratch"), ("mae", "scratch"), ("mae", "cmc")}
    with pytest.raises(ConfigError, match=r'"cmmc".* Did you mean "cmc"'):
        tables_of(root, "cmmc")


def test_the_newer_of_two_records_of_one_run_counts_and_both_are_named(
    make_record: Make, store: Store
) -> None:
    old = make_record(SCORES)
    made = {**old["provenance"], "created": "2024-07-01T00:00:00Z"}
    new = make_record(SCORES + 5, provenance=made)
    tables, problems = build_tables(load(store([new, old])))
    assert [record["key"] for record in tables[0].records] == [new["key"]]
    assert len(problems) == 1
    assert old["key"] in problems[0] and new["key"] in problems[0]


def test_configurations_of_one_method_are_rows_of_their_own(make_record: Make, store: Store) -> None:
    records = [
        make_record(SCORES),
        make_record(SCORES + 1, method="cmc", labels={"config": "3fa2"}),
        make_record(SCORES + 2, method="cmc", labels={"config": "77d0", "init": "imagenet"}),
    ]
    (table,) = tables_of(store(records))
    assert names(table.rows) == [
        "scratch",
        "cmc (init imagenet, config 77d0)",
        "cmc (init random, config 3fa2)",
    ]


def test_one_seed_of_one_method_makes_a_table(make_record: Make, store: Store) -> None:
    (table,) = tables_of(store([make_record(SCORES, method="cmc")]))
    (cell,) = table.cells
    assert (cell.summary.n, cell.summary.sd, cell.summary.kind) == (1, None, "test units")
    assert "not seeds" in table.interval
    assert table.comparisons == ()


def test_marks_for_modality_and_exposure(make_record: Make, store: Store) -> None:
    depth = {"modality": "depth"}
    records = [
        make_record(SCORES, labels={**depth, "encoder_modality": "depth"}),
        make_record(SCORES + 1, method="mae", labels=depth, exposure="pretraining saw people/test"),
    ]
    (table,) = tables_of(store(records))
    scratch, mae = table.rows
    assert (scratch.other_modality, mae.other_modality) == (False, True)
    assert (scratch.exposure, mae.exposure) == ("none", "pretraining saw people/test")


def test_the_interval_text_follows_the_runs(make_record: Make, store: Store) -> None:
    def run(seed: int, fraction: str, subset: int, pretrain_seed: int) -> dict[str, Any]:
        labels = {"subset": subset, "pretrain_seed": pretrain_seed}
        return make_record(SCORES + seed, method="cmc", seed=seed, fraction=fraction, labels=labels)  # type: ignore[no-any-return]

    records = [run(seed, "1/10", seed, 0) for seed in range(3)] + [
        run(seed, "1/2", 0, 0) for seed in range(3)
    ]
    (table,) = tables_of(store(records))
    assert "the label subset (10 %)" in table.interval
    assert "one checkpoint per method" in table.interval
    assert "other label subsets (50 %)" in table.interval
    stride = {cell.budget.title: cell.stride_mean for cell in table.cells}
    assert stride == {"10 %": pytest.approx(35.0), "50 %": None}


def test_secondary_metrics_have_no_bootstrap_interval(make_world: Make, store: Store) -> None:
    (table,) = tables_of(store(make_world({"scratch": 25.0}, seeds=5, fractions={"1": 0.0})))
    (cell,) = table.cells
    (other,) = cell.secondary
    assert (other.metric, other.summary.low, other.summary.n) == ("error", None, 5)
    assert other.summary.mean == pytest.approx(100 - cell.summary.mean)
    assert other.summary.t_low is not None


def test_records_without_replicates_show_no_interval(make_world: Make, store: Store) -> None:
    (table,) = tables_of(store(make_world({"scratch": 25.0, "cmc": 35.0}, replicates=0)))
    assert all(cell.summary.low is None for cell in table.cells)
    assert table.interval.startswith("No interval")
    assert all(not c.difference.beyond for c in table.comparisons)
