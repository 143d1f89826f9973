"""The same rates for every method: trials are shared with fixed rates, and validation chooses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.execute.data_jobs import prepare, specs_of
from bench.execute.finetuning import chosen_trial
from bench.execute.job import ensure
from bench.execute.site import RunContext
from bench.grid.plan import Plan, Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store

RATES = (1e-6, 2e-2)  # the second one is the preset's


def planned(small: tuple[str, ...], rates: str) -> Plan:
    return expand(resolve(Words(methods="scratch", tasks="parsing_rgb", rates=rates, overrides=small)))


def test_validation_chooses_among_trials(
    tmp_path: Path, data_cache: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data_cache))
    fixed, tuned = planned(small, ""), planned(small, "2e-2,1e-6")
    trials = [s for s in tuned.steps if s.kind == "finetune"]
    assert [s.spec["train"]["lr"] for s in trials] == list(RATES)
    assert {s.key for s in fixed.steps if s.kind == "finetune"} == {trials[1].key}  # not trained again
    prepare(specs_of(tuned), data_cache, 1)
    store, site = Store(tmp_path), RunContext(store=str(tmp_path), accelerator="cpu")
    records: list[dict[str, Any]] = []
    for plan in (fixed, tuned):
        (cell,) = plan.cells
        assert cell.step is not None
        assert ensure(cell.step, site) == "done", store.why(cell.step)
        record = store.record(cell.step)
        assert record is not None
        records.append(record)
    one, best = records
    assert one["labels"]["protocol"] == 2 and best["labels"]["protocol"] == "best of 1e-06, 0.02-2"
    values = best["selection"]["values"]
    chosen = best["selection"]["rate"]
    assert best["selection"]["value"] == values[f"{chosen:g}"] == max(values.values())
    assert best["cost"]["trials"] == 2 and best["cost"]["samples_seen"] == 2 * one["cost"]["samples_seen"]
    assert best["cost"]["train_wall_s"] > one["cost"]["train_wall_s"]
    if chosen == RATES[1]:
        assert best["metrics"] == one["metrics"]


def test_a_trial_without_a_number_is_never_chosen(
    monkeypatch: pytest.MonkeyPatch, small: tuple[str, ...]
) -> None:
    from bench.execute import finetuning

    class Metric:
        higher_is_better = True

    class Toy:
        metrics = (Metric(),)

    monkeypatch.setattr(finetuning, "open_dataset", lambda *a: None)
    monkeypatch.setattr(finetuning, "build_task", lambda *a: Toy())
    predicted = next(s for s in planned(small, "1e-3,1e-2,1e-1").steps if s.kind == "predict")

    def chosen(*values: float, higher: bool = True) -> float:
        monkeypatch.setattr(Metric, "higher_is_better", higher)
        monkeypatch.setattr(finetuning, "trial_values", lambda *a: list(values))
        step: Step = chosen_trial(predicted, Store(Path()), RunContext(store=""))
        return float(step.spec["train"]["lr"])

    assert chosen(1.0, math.nan, 2.0) == 0.1 and chosen(1.0, 3.0, 2.0) == 0.01
    assert chosen(1.0, 1.0, 1.0) == 1e-3 and chosen(3.0, 1.0, 2.0, higher=False) == 0.01
