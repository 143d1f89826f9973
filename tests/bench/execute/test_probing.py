"""Frozen protocols: what is kept, what it spares, and that neither cache nor interruption moves a number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.api import Encoder, FeatureInfo, Features
from bench.data.opening import open_dataset
from bench.encoders import load_encoder
from bench.errors import StepError
from bench.execute import features
from bench.execute.data_jobs import prepare, specs_of
from bench.execute.device import make_fabric
from bench.execute.features import FILE, Frozen, Kept, Layout, open_features, state_digest
from bench.execute.job import ensure
from bench.execute.site import RunContext
from bench.files import sha256_file
from bench.grid.plan import Plan, Step, expand
from bench.grid.request import Words, resolve
from bench.records.record import write_record
from bench.records.store import Store
from bench.train import loop

MORE = ("preset.probe.steps=6", "preset.probe.batch=8", "preset.probe.evaluations=2")


@pytest.fixture
def planned(data_cache: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    monkeypatch.setenv("BENCH_DATA", str(data_cache))

    def plan(tasks: str = "parsing_rgb", *more: str, **words: str) -> Plan:
        typed = {"methods": "scratch", "protocol": "linear", **words}
        found = expand(resolve(Words(tasks=tasks, overrides=(*small, *MORE, *more), **typed)))
        prepare(specs_of(found), data_cache, 1)
        return found

    return plan


def run(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Run the cells of a plan in this process; return their score records."""
    found = []
    for cell in plan.cells:
        assert cell.step is not None, cell.reason
        assert ensure(cell.step, RunContext(store=str(store.root), accelerator="cpu")) == "done", store.why(
            cell.step
        )
        record = store.record(cell.step)
        assert record is not None
        found.append(record)
    return found


def numbers(record: dict[str, Any]) -> Any:
    return record["metrics"], record["interval"], record["selection"]


def of(plan: Plan, kind: str) -> list[Step]:
    return [step for step in plan.steps if step.kind == kind]


def test_features_are_computed_once_for_all_shares_heads_and_tasks(
    planned: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    own = features.encode
    monkeypatch.setattr(features, "encode", lambda step, *a: calls.append(step.slug) or own(step, *a))
    store = Store(tmp_path)
    plan = planned("action", fractions="0.5,1.0", protocol="linear,knn,attentive")
    records = run(plan, store)
    assert len(records) == 6 and len({r["key"] for r in records}) == 6
    assert len(calls) == 6  # three splits, pooled for two of the protocols and tokens for one
    assert (
        len(of(planned("densepose,body_mesh"), "features")) == 3
    )  # those of densepose; body_mesh has no probe
    assert {r["labels"]["protocol"] for r in records} == {"linear-2", "knn-2", "attentive-2"}
    for step in of(plan, "features"):
        record = store.record(step)
        assert record is not None
        assert (store.folder(step) / FILE).stat().st_size == record["facts"]["bytes"] + 128
    rates = [r["selection"]["values"] for r in records if "rate" in r["selection"]]
    assert all(len(values) == 3 for values in rates) and len(rates) == 4
    for record in records:
        values, chosen = record["selection"]["values"], record["selection"]["value"]
        assert chosen == max(values.values())


def test_a_size_limit_and_an_interruption_move_no_number(
    planned: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, live, cut = (Store(tmp_path / name) for name in ("kept", "live", "cut"))
    plan, other = planned(), planned("parsing_rgb", "preset.resources.features_gb=0")
    assert plan.keys == other.keys  # room decides nothing but where features come from
    (whole,) = run(plan, kept)
    (without,) = run(other, live)
    assert list(live.root.rglob(FILE)) == [] and len(list(kept.root.rglob(FILE))) == 3
    assert numbers(without) == numbers(whole)
    fit, seen = loop.Trainer.advance, []

    def stopped(trainer: Any, parts: Any, step: int) -> Any:
        seen.append(step)
        if len(seen) == 4:
            loop.stop.set()
        return fit(trainer, parts, step)

    monkeypatch.setattr(loop.Trainer, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(plan, cut)
    loop.stop.clear()
    (resumed,) = run(plan, cut)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert numbers(resumed) == numbers(whole)


def test_damaged_and_foreign_features_are_computed_again(
    planned: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, plan = Store(tmp_path), planned()
    (whole,) = run(plan, store)
    train = of(plan, "features")[0]
    later = ("probe", "predict", "score")

    def again() -> str:
        for kind in later:
            shutil.rmtree(tmp_path / kind)
        (record,) = run(plan, store)
        assert numbers(record) == numbers(whole)
        return capsys.readouterr().err

    path = store.folder(train) / FILE
    path.write_bytes(path.read_bytes()[:-7])
    assert "is missing or damaged" in again()
    card = store.folder(train.inputs[0]) / "encoders" / "rgb" / "encoder.json"
    record = store.record(train)
    assert record is not None
    assert record["facts"]["weights_sha256"] == json.loads(card.read_text())["weights_sha256"]
    foreign = {**record, "facts": {**record["facts"], "weights_sha256": "0" * 64}}
    path.write_bytes(path.read_bytes()[:128] + bytes(record["facts"]["bytes"]))  # what those weights gave
    foreign["files"] = {FILE: sha256_file(path)}
    write_record(store.folder(train) / "record.json", {k: foreign[k] for k in foreign.keys() - {"digest"}})
    assert "its features were made by other weights; moved aside" in again()
    assert again() == ""


def test_an_encoder_that_changes_while_it_is_read_is_noticed(planned: Callable[..., Plan]) -> None:
    class Counting(Encoder):
        """Learns something whenever it runs, as batch norm in training mode does."""

        feature_info = FeatureInfo(kind="pyramid", channels=(3,), strides=(1,), pooled=3)
        spec: ClassVar[dict[str, Any]] = {}

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()), persistent=False)

        def forward(self, x: torch.Tensor) -> Features:
            self.get_buffer("seen").add_(1)
            return Features(maps=(x,), pooled=x.mean((2, 3)))

    (step, *_) = of(planned(), "features")
    data = open_dataset(step.spec["data"], Store(Path()).data)
    frozen = Frozen(Counting(), data, "rgb", "maps", make_fabric(step.spec, "cpu"))
    frozen.read([0])
    with pytest.raises(StepError, match="the encoder changed while its features were read"):
        frozen.check_unchanged()


def test_probing_leaves_parameters_and_buffers_alone(planned: Callable[..., Plan], tmp_path: Path) -> None:
    store, plan = Store(tmp_path), planned("parsing_rgb", "preset.resources.features_gb=0")
    (step,) = of(plan, "pretrain")
    site = RunContext(store=str(tmp_path), accelerator="cpu")
    assert ensure(step, site) == "done"
    place = store.folder(step) / "encoders" / "rgb"
    before = state_digest(load_encoder(place))
    run(plan, store)
    assert state_digest(load_encoder(place)) == before
    first = of(plan, "features")[0]
    data = open_dataset(first.spec["data"], store.data)
    source = open_features(first, store, data, site, make_fabric(first.spec, "cpu"))
    assert isinstance(source, Frozen)
    rows = np.random.default_rng(0).integers(0, len(data), 70)
    assert np.array_equal(source.read(rows), source.read(np.arange(len(data)))[rows])  # whoever is beside it
    source.check_unchanged()


def test_rows_come_back_as_they_were_and_too_large_ones_as_the_largest(tmp_path: Path) -> None:
    layout = Layout(layers="maps", shapes=((2, 3, 3), (4, 1, 2)))
    maps = (torch.randn(5, 2, 3, 3), torch.randn(5, 4, 1, 2))
    maps[1][0, 0] = 1e9
    rows = layout.pack(Features(maps=maps, pooled=torch.zeros(5, 6)))
    np.save(tmp_path / FILE, rows.numpy())
    found = layout.unpack(torch.from_numpy(Kept(tmp_path / FILE, layout, 5).read([4, 0])))
    assert torch.equal(found.maps[0], maps[0][[4, 0]].half().float())
    assert float(found.maps[1][1, 0, 0, 0]) == 65504.0 and found.pooled.shape == (2, 0)


def test_a_rate_at_which_a_head_diverges_does_not_end_the_others(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    (record,) = run(planned("parsing_rgb", "preset.probe.rates=[1.0e-2,1.0e30]"), Store(tmp_path))
    assert record["selection"]["rate"] == 1e-2


def test_validation_shrinks_with_the_share_but_keeps_fifty(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    sizes = "preset.finetune.samples={train: 80, val: 60, test: 48}"
    plan = planned("action", sizes, fractions="0.1,0.9,1.0", protocol="knn")
    records = run(plan, Store(tmp_path))
    assert [r["manifests"]["val"]["n"] for r in records] == [50, 54, 60]
    assert [r["manifests"]["train"]["n"] for r in records] == [8, 72, 80]
