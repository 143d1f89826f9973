from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import ConfigError, DataError, StepError
from bench.execute import plans
from bench.plan import expand
from bench.request import Words, resolve
from bench.store import Store

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
