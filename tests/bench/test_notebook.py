"""What `import bench` offers, on a store in which a grid has run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench.errors import ConfigError, DataError

GRID: dict[str, Any] = {"methods": ["hcmoco", "cmc"], "tasks": "densepose", "fractions": [0.1, 1.0]}


def test_importing_bench_imports_nothing_heavy_and_plan_stays_the_function() -> None:
    script = (
        "import sys, bench; "
        "import bench.grid.plan; assert callable(bench.plan); "
        "assert not {'torch', 'timm', 'matplotlib'} & sys.modules.keys(), 'heavy'; "
        "bench.plan(methods='scratch', tasks='densepose', store='nowhere'); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="module 'bench' has no attribute 'plann'"):
        _ = bench.plann


def test_a_finished_grid_as_data_frames(finished: Path, small: tuple[str, ...]) -> None:
    cells = bench.plan(store=finished, overrides=small, **GRID)
    assert list(cells.state) == ["done"] * 4
    assert list(cells.budget) == ["fraction=1/10", "fraction=1"] * 2 and set(cells.seed) == {0}
    before = {p: p.stat().st_mtime_ns for p in finished.glob("*/*/record.json")}
    scores = bench.run(store=finished, jobs=1, overrides=small, **GRID)
    assert {p: p.stat().st_mtime_ns for p in finished.glob("*/*/record.json")} == before
    assert set(scores.key) == set(cells.key) and set(scores.method) == {"hcmoco", "cmc"}
    half = bench.run(store=finished, jobs=1, overrides=small, **{**GRID, "methods": "cmc"})
    assert set(half.method) == {"cmc"}  # of this grid, not of the store
    table = bench.leaderboard(finished)
    assert set(table.method) == {"hcmoco", "cmc"} and set(table.task) == {"densepose"}


def test_what_does_not_apply_says_why(tmp_path: Path) -> None:
    cells = bench.plan(
        store=tmp_path, methods="mae_body,cmc", tasks="parsing_missing,densepose", seeds=[0, 1]
    )
    lost = cells[cells.state == "n/a"]
    assert set(zip(lost.method, lost.task, strict=True)) == {("mae_body", "parsing_missing")}
    assert set(lost.reason) == {"parsing_missing needs depth, which mae_body does not give"}
    assert (lost.key == "").all() and (cells[cells.state != "n/a"].state == "missing").all()


def test_encoders_come_from_scores_and_from_pretrainings(finished: Path, small: tuple[str, ...]) -> None:
    cells = bench.plan(store=finished, overrides=small, **{**GRID, "fractions": 1.0})
    key = next(cells[cells.method == "hcmoco"].itertuples()).key
    encoder = bench.load_encoder(key, store=finished)
    with torch.no_grad():
        features = encoder(torch.rand(2, 3, 32, 32))
    assert not encoder.training  # in training mode, looking at images would change its batch norm
    assert features.pooled.shape == (2, encoder.feature_info.pooled)
    (folder,) = finished.glob("pretrain/hcmoco.dense*")
    same = bench.load_encoder(folder.name.rpartition("-")[2], store=finished).state_dict()
    assert all(torch.equal(v, same[k]) for k, v in encoder.state_dict().items())
    assert bench.load_encoder(key, store=finished, modality="kp2d").spec["joint_set"] == "smpl24"
    with pytest.raises(ConfigError, match=r'has no encoder "dept"\. Did you mean "depth"'):
        bench.load_encoder(key, store=finished, modality="dept")
    with pytest.raises(ConfigError, match='"0123456789abcdef" is no key of a step in'):
        bench.load_encoder("0123456789abcdef", store=finished)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: bench.plan(store=store, method="cmc"), 'option "method". Did you mean "methods"'),
        (lambda store: bench.plan(store=store, methods="cmcc"), 'unknown method "cmcc". Did you mean "cmc"'),
        (lambda store: bench.run(store=store, methods="cmc", fractions=2), "2 is outside"),
        (lambda store: bench.plan(store=store, config_dirs="/no"), "--config-dir /no: no such folder"),
        (lambda store: bench.run(store, jobs=0, methods="cmc"), "jobs: 0 is no whole number of at least 1"),
        (lambda store: bench.run(store, jobs="2", methods="cmc"), "jobs: '2' is no whole number"),
        (lambda store: bench.plan(3, methods="cmc"), "store: 3 is no path"),
        (lambda store: bench.leaderboard(None), "store: None is no path"),
        (lambda store: bench.plan(store, {"a": 1}), "overrides: {'a': 1} is neither a word"),
        (lambda store: bench.plan(store, 3), "overrides: 3 is neither a word"),
        (lambda store: bench.plan(store, weights=Path("w.pth")), "is neither a word like NAME=VALUE"),
        (lambda store: bench.plan(store, weights=[{"ours": "w"}]), "weights: [{'ours': 'w'}] is neither"),
        (lambda store: bench.load_encoder(3, store), '"3" is no key of a step in'),
        (lambda store: bench.load_encoder("0" * 16, store, config_dirs="/no"), "is no key of a step in"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        call(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_single_override_none_and_the_home_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words: dict[str, Any] = {"methods": "scratch", "tasks": "densepose", "fractions": None, "preset": None}
    one = bench.plan("~/store", "preset.finetune.steps=3", **words)
    assert list(one.key) == list(bench.plan(tmp_path / "store", ["preset.finetune.steps=3"], **words).key)
    with pytest.raises(DataError, match=str(tmp_path)):
        bench.leaderboard("~/store")


def test_an_empty_store_has_no_leaderboard(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no score records"):
        bench.leaderboard(tmp_path)
