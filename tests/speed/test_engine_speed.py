"""How long planning, reading records, starting and training steps take; nothing fails for being slow."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from bench.api import Batch, Context, StepOutput
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.records.record import read_record, write_record
from bench.train.loop import fit
from bench.train.run import Run, TrainModule

ROOT = Path(__file__).resolve().parents[2]


def test_plan_5000_cells(benchmark: BenchmarkFixture) -> None:
    request = resolve(Words(fractions="0.01,0.05,0.1,0.2,1"))
    few = len(expand(request).cells)
    many = dataclasses.replace(request, seeds=tuple(range(-(-5000 // few))))
    plan = benchmark.pedantic(expand, (many,), rounds=3)
    assert len(plan.cells) >= 5000


def test_read_5000_records(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    metric = {"name": "auc30", "value": 0.5, "unit": "", "higher_is_better": True}
    body = {
        "kind": "score", "key": "0" * 16, "labels": {"method": "cmc"}, "inputs": ["1" * 16], "files": {},
        "cost": {"wall_s": 1.0}, "provenance": {"commit": "x"}, "spec": {"version": 1},
        "metrics": [metric] * 5,
        "interval": {"replicates": [round(0.5 + i * 1.234e-5, 8) for i in range(1000)]},
        "curve": [{"progress": i / 10, "step": i, "value": 0.1} for i in range(10)],
        "selection": {}, "manifests": {}, "exposure": "none",
    }  # fmt: skip
    path = tmp_path / "record.json"
    write_record(path, body)

    def read() -> None:
        for _ in range(5000):
            read_record(path)

    benchmark.pedantic(read, rounds=1)


@pytest.mark.parametrize("words", [(), ("preset.size=32",)], ids=["plain", "overrides"])
def test_resolve_again_from_the_cache(
    benchmark: BenchmarkFixture, words: tuple[str, ...], tmp_path: Path
) -> None:
    typed = Words(overrides=words)
    fresh = resolve(typed, cache=tmp_path / "cache")
    assert benchmark.pedantic(resolve, (typed,), {"cache": tmp_path / "cache"}, rounds=10) == fresh


def test_resolve_anew(benchmark: BenchmarkFixture) -> None:
    assert benchmark.pedantic(resolve, (Words(),), rounds=10).methods


@pytest.mark.parametrize(
    "words",
    [("--help",), ("list", "methods"), ("plan",), ("status", "--methods", "cmc"), ("plan", "preset.size=32")],
    ids=["help", "list", "plan", "status", "plan-overrides"],
)
def test_start(benchmark: BenchmarkFixture, words: tuple[str, ...], tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "none")] if words[0] in ("plan", "status") else []
    command = [sys.executable, "-m", "bench.cli", *words, *store]
    benchmark.pedantic(
        subprocess.run, (command,), {"check": True, "cwd": ROOT, "stdout": subprocess.DEVNULL}, rounds=5
    )


class Small(TrainModule):
    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU()) for _ in range(8)]
        self.net = nn.Sequential(*layers)

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        return StepOutput(terms={"fit": self.net(batch["x"]).square().mean()})


STEPS = 200
RECIPE: dict[str, Any] = {
    "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9, "betas": [0.9, 0.999], "weight_decay": 0.05,
    "schedule": "cos_warm_step", "warmup": 0.05, "clip": 1.0, "batch": 32, "steps": STEPS,
}  # fmt: skip


def test_200_steps_of_the_loop(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    x = torch.rand(32, 64)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    folders = (tmp_path / str(i) for i in count())

    def batches(start: int) -> Iterator[Tensor]:
        yield from [x] * (STEPS - start)

    def train() -> None:
        folder = next(folders)
        folder.mkdir()
        run = Run(
            train=RECIPE,
            seed=0,
            folder=folder,
            steps_per_epoch=10,
            batches=batches,
            prepare=lambda raw, draws: {"x": raw},
            evaluate_at=(STEPS,),
        )
        fit(Small(), run, fabric)
        assert json.loads((folder / "progress.json").read_text())["step"] == STEPS

    benchmark.pedantic(train, rounds=5, warmup_rounds=1)


def test_200_steps_of_a_bare_loop(benchmark: BenchmarkFixture) -> None:
    x = torch.rand(32, 64)

    def train() -> None:
        net = Small().net
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            loss = net(x).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            assert loss.item() > 0
            optimizer.step()

    benchmark.pedantic(train, rounds=5, warmup_rounds=1)
