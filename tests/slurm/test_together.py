"""Stages whose batches two nodes share: losses of one process, interruptions, deaths of one of the two."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm

Bench = Callable[..., subprocess.CompletedProcess[str]]
Sites = Callable[..., str]
Jobs = Callable[[Path], Path]
Metrics = Callable[[Path], dict[str, list[float]]]

METHODS = "cmc,hcmoco,mae_body"
# two nodes with a process each, or two (fake) GPUs of one node
PAIRS = (
    "+method.cmc.resources.nodes=2", "+method.hcmoco.resources.nodes=2", "+method.mae_body.resources.gpus=2",
)  # fmt: skip
FIRST = 1e-4  # relative difference of the first losses in single precision
LATER = 2e-2  # of all others: AdamW magnifies what rounding leaves


def curves(store: Path) -> dict[str, list[dict[str, float]]]:
    """Losses of all trained stages, by key."""
    records = [json.loads(path.read_text()) for path in store.glob("pretrain/*/record.json")]
    return {record["key"]: record["curve"] for record in records if record["curve"]}


@pytest.mark.slow
def test_two_nodes_or_gpus_train_as_one_process(
    cluster: Any, warm: None, bench: Bench, site: Sites, small: tuple[str, ...], tmp_path: Path, jobs: Jobs
) -> None:
    words = ("run", "--methods", METHODS, "--tasks", "densepose", *small)
    store = jobs(tmp_path / "store")
    submit = ("--store", str(store), "--executor", "slurm", "--site", site(partition="side"), *PAIRS)
    assert bench(*words, *submit).returncode == 0
    local = bench(*words, "--store", str(tmp_path / "local"), "--jobs", "1")
    assert local.returncode == 0, local.stderr
    waited = bench(*words, *submit, "--wait")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    ours, theirs = curves(store), curves(tmp_path / "local")
    assert ours.keys() == theirs.keys() and len(ours) == 4
    for key, points in ours.items():
        others = theirs[key]
        differences = [
            max(abs(value / other[name] - 1) for name, value in point.items() if other[name])
            for point, other in zip(points, others, strict=True)
        ]
        print(key, [f"{difference:.1e}" for difference in differences])
        assert differences[0] < FIRST and max(differences) < LATER
    numbers = cluster.jobs(store)
    text = cluster.output(
        "sacct", "-X", "-n", "-P", "-o", "JobID,NNodes,State", "-j", ",".join(numbers.values())
    )
    nodes = {line.split("|")[0]: line.split("|")[1:] for line in text.splitlines()}
    asked = [tuple(nodes[numbers[key]]) for key in sorted(ours, key=lambda key: len(ours[key]))]
    assert asked == [("2", "COMPLETED")] * 3 + [("1", "COMPLETED")]  # that of mae_body is twice as long
    assert {tuple(nodes[number]) for key, number in numbers.items() if key not in ours} == {
        ("1", "COMPLETED")
    }
    record = json.loads(next(store.glob("pretrain/mae_body*/record.json")).read_text())
    assert record["provenance"]["device"].startswith("2 x ")
    assert record["cost"]["device_s"] == pytest.approx(2 * record["cost"]["train_wall_s"])


@pytest.mark.slow
def test_an_interrupted_pair_goes_on_with_the_same_numbers(
    cluster: Any, metrics: Metrics, warm: None, bench: Bench, adapters: Path, site: Sites,
    small: tuple[str, ...], tmp_path: Path, jobs: Jobs,
) -> None:  # fmt: skip
    """A signal reaches both processes; in another store nothing happens."""
    words = ("run", "--methods", "pair", "--tasks", "densepose", "--config-dir", str(adapters), *small)
    words = (*words, "preset.pretrain.samples_seen=480", "--executor", "slurm")  # thirty steps
    stores = [jobs(tmp_path / name) for name in ("interrupted", "whole")]
    for store, partition in zip(stores, ("main", "side"), strict=True):
        place = ("--store", str(store), "--site", site(partition=partition))
        assert bench(*words, *place, STEP_S="0.3").returncode == 0
    cluster.until("a training", lambda: list(stores[0].glob("pretrain/*/progress.json")), 90)
    (folder,) = stores[0].glob("pretrain/*")
    job = cluster.jobs(stores[0])[folder.name.rpartition("-")[2]]
    cluster.output("scancel", "--signal=USR2", job)
    for store in stores:
        waited = bench(*words, "--store", str(store), "--site", site(partition="main"), "--wait")
        assert waited.returncode == 0, waited.stdout + waited.stderr
    assert "goes on from step" in cluster.logs(stores[0], job)
    assert len(metrics(stores[0])) == 1 and metrics(stores[0]) == metrics(stores[1])


def test_the_death_of_one_process_is_told_by_itself_or_by_slurm(
    cluster: Any, warm: None, bench: Bench, adapters: Path, site: Sites, small: tuple[str, ...],
    tmp_path: Path, jobs: Jobs,
) -> None:  # fmt: skip
    store = jobs(tmp_path / "store")
    words = ("--methods", "second_fails,second_dies", "--tasks", "densepose", "--config-dir", str(adapters))
    done = bench(
        "run", *words, "--store", str(store), "--executor", "slurm",
        "--site", site(partition="side", max_attempts=1), *small,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = cluster.until_over(store, 120)
    reasons = {name: row["reason"] for name, row in shown.items()}
    print("\n".join(reasons.values()))
    assert {row["state"] for row in shown.values()} == {"blocked"}
    assert "(attempt 1): ValueError: this method fails in its second process" in reasons["second_fails"]
    assert "(attempt 1): FAILED" in reasons["second_dies"] and "Killed" in reasons["second_dies"]


def test_processes_that_cannot_share_a_batch_are_refused_before_anything_is_submitted(
    cluster: Any, bench: Bench, site: Sites, small: tuple[str, ...], tmp_path: Path
) -> None:
    words = (
        "run",
        "--methods",
        "mae_body",
        "--tasks",
        "densepose",
        "--store",
        str(tmp_path),
        "--executor",
        "slurm",
    )
    done = bench(*words, "--site", site(partition="side"), *small, "preset.resources.nodes=3")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "3 processes (resources.nodes x resources.gpus) cannot share a batch of 16" in done.stderr
    assert not list(tmp_path.glob("launches/*/arrays.jsonl"))
