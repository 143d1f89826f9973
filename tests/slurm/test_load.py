"""How hard grids are on the scheduler: calls of SLURM's programs are counted on their way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.execute import plans
from bench.grid.plan import Step
from bench.records.store import Store

pytestmark = pytest.mark.slurm

Bench = Callable[..., subprocess.CompletedProcess[str]]

PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")
WRAPPER = """#!/bin/sh
echo "$(date +%s.%N) {name}" >> {log}
exec {program} "$@"
"""
EVERY_S = 10.0


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with programs that note when they are called, and their log."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in PROGRAMS:
        program = folder / name
        program.write_text(WRAPPER.format(name=name, log=folder / "log", program=shutil.which(name)))
        program.chmod(0o755)
    return folder


def times(calls: Path, *names: str) -> list[float]:
    lines = [line.split() for line in (calls / "log").read_text().splitlines()]
    return [float(stamp) for stamp, name in lines if name in names]


def record(step: Step) -> dict[str, Any]:
    """What a score step leaves, so that its job finds nothing to do."""
    metric = {"name": "auc30", "value": 0.5, "unit": "", "higher_is_better": True}
    labels = {
        "preset": "tiny", "track": "controlled", "mode": "strict", "protocol": 1, "task": "densepose",
        "dataset": "d_dense", "method": "scratch", "encoder": "resnet10_w24", "fraction": "1/10",
        "seed": step.inputs[0].inputs[0].spec["seed"], "subset": 0,
    }  # fmt: skip
    return {
        "labels": labels, "metrics": [metric], "interval": {}, "curve": [], "selection": {}, "manifests": {},
        "exposure": "none", "inputs": [], "files": {}, "cost": {}, "provenance": {}, "spec": dict(step.spec),
    }  # fmt: skip


@pytest.mark.slow
def test_a_thousand_cells_run_without_a_storm_of_questions(
    cluster: Any, bench: Bench, site: Callable[..., str], small: tuple[str, ...], tmp_path: Path, calls: Path,
    jobs: Callable[[Path], Path],
) -> None:  # fmt: skip
    store = jobs(tmp_path / "store")
    held = site(array_limit=400, sbatch={"hold": True})
    words = ("run", "--methods", "scratch", "--tasks", "densepose", "--fractions", "0.1", "--seeds", "1000x")
    words = (*words, "--store", str(store), "--executor", "slurm", "--site", held, *small)
    path = f"{calls}{os.pathsep}{os.environ['PATH']}"
    begun = time.monotonic()
    submitted = bench(*words, "--json", PATH=path)
    spent = time.monotonic() - begun
    assert json.loads(submitted.stdout) == {"submitted": 1000, "arrays": 3, "already_queued": 0}
    assert len(times(calls, "sbatch")) == 3
    for step in plans.kept(Store(store)).steps:
        if step.kind == "score":
            Store(store).finish(step, record(step))
    numbers = cluster.jobs(store)
    for array in {number.partition("_")[0] for number in numbers.values()}:
        cluster.output("scontrol", "release", array)
    begun = time.monotonic()
    while waiting := len(cluster.output("squeue", "--me", "-h", "-r", "-t", "PD,R,CG").splitlines()):
        done = bench("status", "--store", str(store), "--json", PATH=path)  # others look, too
        assert json.loads(done.stdout)["counts"] == {"done": 1000}
        assert time.monotonic() - begun < 3000, f"{waiting} jobs are left"
        time.sleep(EVERY_S)
    ran = time.monotonic() - begun
    text = cluster.output("sacct", "-X", "-n", "-P", "-o", "State", "-j", ",".join(numbers.values()))
    assert text.split() == ["COMPLETED"] * 1000
    diag = cluster.output("sdiag")
    cycles = [line.strip() for line in diag.splitlines() if "cycle" in line.lower()][:6]
    asked = times(calls, "squeue", "sacct")
    print(f"submitted in {spent:.1f} s, ran in {ran:.0f} s, {len(asked)} questions; {cycles}")


def test_following_jobs_asks_once_in_ten_seconds(
    cluster: Any, warm: None, bench: Bench, site: Callable[..., str], small: tuple[str, ...], tmp_path: Path,
    calls: Path, jobs: Callable[[Path], Path],
) -> None:  # fmt: skip
    store = jobs(tmp_path / "store")
    # enough cells for more than ten seconds of work, on idle machines, too
    words = ("run", "--methods", "scratch", "--tasks", "densepose", "--seeds", "6x", "--store", str(store))
    path = f"{calls}{os.pathsep}{os.environ['PATH']}"
    done = bench(*words, *small, "--executor", "slurm", "--wait", "--site", site(), PATH=path)
    assert done.returncode == 0, done.stderr
    looks = times(calls, "squeue")
    assert len(looks) >= 2 and len(times(calls, "sbatch")) == 1
    assert all(later - earlier >= EVERY_S - 0.5 for earlier, later in pairwise(looks))
