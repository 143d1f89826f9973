from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ConfigError, DataError, StepError
from bench.execute import plans
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.records.store import Store

WORDS = Words(methods="cmc,scratch", tasks="densepose,parsing_rgb", encoders="cnn")


def test_a_kept_plan_is_the_plan(configs: Path, tmp_path: Path) -> None:
    store, request = Store(tmp_path / "store"), resolve(WORDS)
    with pytest.raises(ConfigError, match="no grid has been run on"):
        plans.stored_plan(store)
    found, plan = plans.read(plans.keep(request, store))
    assert found == request and plan.keys == expand(request).keys == plans.stored_plan(store).keys
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(DataError, match=r"damaged\.json cannot be read as a plan"):
        plans.read(tmp_path / "damaged.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: {**body, "format": 2, "grid": 1},
        lambda body: {**body, "colour": "red"},  # of an entry that is not known here
        lambda body: {k: v for k, v in body.items() if k != "tasks"},
        lambda body: {**body, "preset": {"name": "tiny"}},
        lambda body: {**body, "budgets": 3},
        lambda body: {**body, "methods": {"cmc": []}},
        lambda body: [body],
    ],
)
def test_plans_of_other_versions_are_skipped_with_a_line_and_stay(
    change: Callable[[Any], Any], configs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, request = Store(tmp_path / "store"), resolve(WORDS)
    ours = plans.keep(request, store)
    text = json.dumps(change(json.loads(ours.read_text())))
    (ours.parent / "other.json").write_text(text)
    assert plans.stored_plan(store).keys == expand(request).keys
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "other.json" in said and "skipped and left as it is" in said
    assert plans.keep(request, store) == ours and (ours.parent / "other.json").read_text() == text


def test_cells_of_another_version_are_left_alone_and_named(configs: Path, tmp_path: Path) -> None:
    store, plan = Store(tmp_path), expand(resolve(WORDS))
    steps = [cell.step for cell in plan.cells if cell.step]
    stage = next(step for step in plan.steps if step.spec.get("name") == "cmc.contrast")
    for step in (stage, steps[-1]):  # an input of all cells of CMC, and a cell
        store.folder(step).mkdir(parents=True)
        (store.folder(step) / "record.json").write_text('{"schema": 2}')
    barred = plans.barred(plan, store)
    assert [key in barred for key in (s.key for s in steps)] == [True, True, False, True]
    assert all("schema 2" in reason for reason in barred.values())
    stages, missing = plans.left(plan, store)
    assert list(missing) == [steps[2].key] and [s.slug for s in stages.values()] == ["scratch.weights-cnn-s0"]


def test_only_what_failed_is_retried_with_all_it_needs(configs: Path, tmp_path: Path) -> None:
    store, plan = Store(tmp_path), expand(resolve(WORDS))
    assert not plans.only_failed(plan, store).cells
    by_name = {(cell.method, cell.task): cell.step for cell in plan.cells}
    one = by_name["scratch", "densepose"]
    assert one is not None
    store.fail(one, StepError("bad"))
    found = plans.only_failed(plan, store)
    assert [(cell.method, cell.task) for cell in found.cells] == [("scratch", "densepose")]
    assert [step.kind for step in found.steps] == ["pretrain", "finetune", "predict", "score"]
    stage = next(step for step in plan.steps if step.spec.get("name") == "cmc.contrast")
    store.fail(stage, StepError("bad"))  # both tasks of CMC wait for it
    assert [cell.method for cell in plans.only_failed(plan, store).cells] == ["cmc", "cmc", "scratch"]
