from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

from bench.report import summary_grids
from bench.report.frame import load
from bench.report.overall import Overall, over_tasks
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

EFFECTS = {"scratch": 25.0, "imagenet": 35.0, "cmc": 30.0, "hcmoco": 38.0}
TASKS = ("parts", "pose", "mesh", "hands", "grasp", "depth", "gesture")


def records_of(
    make_world: Make,
    tasks: tuple[str, ...] = TASKS,
    effects: dict[str, float] = EFFECTS,
    labels: dict[str, Any] | None = None,
    **options: Any,
) -> list[Any]:
    found = []
    for stream, task in enumerate(tasks):
        named = {"task": task, **(labels or {})}
        found += make_world(effects, stream=stream, labels=named, curve=[], **options)
    return found


def overall(root: Path, *references: str) -> Overall:
    (found,) = over_tasks(build_tables(load(root), references)[0], ("scratch", *references))
    return found


def test_a_full_grid_is_ranked_normalised_and_tested(make_world: Make, store: Store) -> None:
    found = overall(store(records_of(make_world)), "cmc")
    assert found.methods == ("scratch", "cmc", "hcmoco", "imagenet")
    assert (len(found.tasks), found.cells, found.seeds, found.left_out) == (7, 14, (3, 3), ())
    assert found.ranks is not None
    assert found.ranks.average == (4.0, 3.0, 1.0, 2.0)
    assert found.ranks.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / 42), rel=1e-3)
    assert found.normalised is not None
    values = dict(zip(found.methods, found.normalised, strict=True))
    assert values["scratch"].value == pytest.approx(0, abs=0.02)
    assert values["imagenet"].value == pytest.approx(1, abs=0.02)
    assert values["cmc"].value == pytest.approx(0.5, abs=0.06)
    assert values["hcmoco"].value == pytest.approx(1.3, abs=0.06)
    shares = {(i.method, i.reference): i.share.value for i in found.improvements}
    assert shares["hcmoco", "cmc"] == 1 and shares["scratch", "cmc"] == 0
    assert len(found.paired) == 6 and {test.p for test in found.paired} == {2 / 2**7}


def test_normalised_scores_do_not_care_for_units_or_direction(make_record: Make, store: Store) -> None:
    """The same runs told as errors in millimetres give the same scores."""
    rng = np.random.default_rng(0)
    ups, downs = [], []
    for task in TASKS[:3]:
        for seed in range(3):
            for method, effect in EFFECTS.items():
                scores = effect + rng.normal(0, 0.5) + np.linspace(-9, 9, 80)
                place = {"method": method, "seed": seed, "curve": [], "labels": {"task": task}}
                ups.append(make_record(scores, **place))
                error = {"name": "e", "unit": "mm", "higher_is_better": False}
                downs.append(
                    make_record(
                        500 - 7 * scores,
                        metrics=[{**error, "value": float((500 - 7 * scores).mean())}],
                        **place,
                    )
                )
    found = overall(store(ups))
    for path in store([]).glob("score/*/record.json"):
        path.unlink()
    turned = overall(store(downs))
    assert found.normalised is not None and turned.normalised is not None
    for a, b in zip(found.normalised, turned.normalised, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))
    assert found.ranks is not None and turned.ranks is not None
    assert found.ranks.average == turned.ranks.average


def test_incomplete_methods_are_listed_and_never_ranked(make_world: Make, store: Store) -> None:
    records = records_of(make_world)
    gone = next(r for r in records if r["labels"]["method"] == "cmc" and r["labels"]["task"] == "pose")
    records.remove(gone)
    found = overall(store(records))
    assert found.methods == ("scratch", "hcmoco", "imagenet")
    assert found.left_out == (("cmc", "incomplete in pose on people"),)
    assert len(found.tasks) == 7
    assert "cmc (incomplete in pose on people)" in summary_grids.left_out(found)
    grid = summary_grids.over_tasks(found)
    assert grid is not None and "cmc" not in {row[0].text for row in grid.rows}


def test_missing_tasks_leave_the_common_subset_and_its_size_is_said(make_world: Make, store: Store) -> None:
    def has(record: Any) -> bool:
        method, task = record["labels"]["method"], record["labels"]["task"]
        return not (method == "hcmoco" and task in TASKS[:2]) and not (method == "cmc" and task in TASKS[1:])

    found = overall(store([r for r in records_of(make_world) if has(r)]))
    assert found.methods == ("scratch", "hcmoco", "imagenet")
    assert found.left_out == (("cmc", "only 1 of 7 tasks"),)
    assert len(found.tasks) == 5 and "parts on people" not in found.tasks
    grid = summary_grids.over_tasks(found)
    assert grid is not None and "5 of 7 tasks, 10 cells" in grid.notes[0]


@pytest.mark.parametrize(
    ("tasks", "effects", "said"),
    [
        (TASKS[:1], EFFECTS, "fewer than two tasks"),
        (TASKS[:3], {"cmc": 30.0}, "fewer than two methods"),
    ],
)
def test_too_little_is_said_in_words(
    tasks: tuple[str, ...], effects: dict[str, float], said: str, make_world: Make, store: Store
) -> None:
    found = overall(store(records_of(make_world, tasks, effects)))
    assert found.ranks is None and said in found.ranks_reason
    assert said in summary_grids.absent(found)
    assert summary_grids.over_tasks(found) is None and summary_grids.pairs_over_tasks(found) is None


def test_without_imagenet_there_are_no_normalised_scores(make_world: Make, store: Store) -> None:
    effects = {name: effect for name, effect in EFFECTS.items() if name != "imagenet"}
    found = overall(store(records_of(make_world, TASKS[:3], effects)))
    assert found.normalised is None
    assert "imagenet has no complete row" in found.normalised_reason
    grid = summary_grids.over_tasks(found)
    assert grid is not None and any("No normalised scores: it needs" in note for note in grid.notes)


def test_cells_where_the_ends_are_close_are_guarded(
    make_world: Make, make_record: Make, store: Store
) -> None:
    """In the third task scratch and imagenet differ by 1, with a deviation of 1 over seeds."""
    records = records_of(make_world, TASKS[:2])
    for method, effect in (("scratch", 30.0), ("imagenet", 31.0), ("cmc", 30.5), ("hcmoco", 31.5)):
        for seed in range(3):
            scores = np.full(80, effect + seed - 1) + np.linspace(-9, 9, 80)
            labels = {"task": "texture"}
            records.append(
                make_record(scores, method=method, seed=seed, fraction="1", labels=labels, curve=[])
            )
    found = overall(store(records))
    assert found.guarded == ("texture on people, 100 % labels",)
    assert found.normalised is not None and len(found.tasks) == 3
    assert found.normalised[0].value == pytest.approx(0, abs=0.05)
    grid = summary_grids.over_tasks(found)
    assert grid is not None and any("texture on people, 100 % labels" in note for note in grid.notes)


def test_one_seed_has_no_deviation_to_guard_with(make_world: Make, store: Store) -> None:
    found = overall(store(records_of(make_world, TASKS[:2], seeds=1)))
    assert found.normalised is None and "twice the seed deviation" in found.normalised_reason
    assert all(share.share.low is None for share in found.improvements)


def test_pairs_are_tested_by_the_log_ratio_of_errors(make_world: Make, store: Store) -> None:
    effects = {"scratch": 25.0, "cmc": 25.3}
    found = overall(store(records_of(make_world, TASKS, effects, seed_sd=1.0)))
    tables = build_tables(load(store([])))[0]
    logs = []
    for table in tables:
        rows = {row.name: row for row in table.rows}
        means = [[rows[m].cells[b].summary.mean for b in table.budgets] for m in effects]
        logs.append([np.log(100 - np.array(mean)).mean() for mean in means])
    expected = reference.wilcoxon(*np.array(logs).T).pvalue
    (test,) = found.paired
    assert test.p == pytest.approx(expected)


def test_pairs_need_six_tasks_and_scores_that_can_be_errors(make_world: Make, store: Store) -> None:
    assert "at least 6 tasks (here 5)" in overall(store(records_of(make_world, TASKS[:5]))).paired_reason
    for path in store([]).glob("score/*/record.json"):
        path.unlink()
    above = {"scratch": 105.0, "cmc": 110.0}
    assert "cannot be read as an error" in overall(store(records_of(make_world, TASKS, above))).paired_reason


def test_settings_and_encoders_are_never_mixed(make_world: Make, store: Store) -> None:
    records = records_of(make_world, TASKS[:2])
    for labels in ({"preset": "small"}, {"encoder": "vit_tiny"}):
        records += make_world(EFFECTS, labels={"task": "parts", **labels}, curve=[])
    found = over_tasks(build_tables(load(store(records)))[0], ("scratch",))
    assert [(o.setting[0], o.encoder, len(o.tasks)) for o in found] == [
        ("small", "resnet10", 1), ("tiny", "resnet10", 2), ("tiny", "vit_tiny", 1),
    ]  # fmt: skip


def test_of_two_tables_of_a_task_the_newer_counts(make_world: Make, store: Store) -> None:
    old = records_of(make_world, TASKS[:2])
    made = {**old[0]["provenance"], "created": "2025-01-01T00:00:00Z"}
    new = records_of(make_world, TASKS[:2], {"scratch": 25.0, "cmc": 30.0}, labels={"minimum_effect": 0.5})
    new += make_world(
        {"scratch": 25.0, "cmc": 20.0},
        labels={"task": "parts", "minimum_effect": 1.0},
        provenance=made,
        curve=[],
    )
    found = overall(store([*old, *new]))
    assert found.all_tasks == ("parts on people", "pose on people")
    assert found.ranks is not None
    assert dict(zip(found.methods, found.ranks.average, strict=True)) == {"scratch": 1.5, "cmc": 1.5}
