"""Grids on a real SLURM: same numbers, interruptions, deaths, retries, submission, cancelling."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slurm

Bench = Callable[..., subprocess.CompletedProcess[str]]
Sites = Callable[..., str]
Jobs = Callable[[Path], Path]
Metrics = Callable[[Path], dict[str, list[float]]]

CLUSTER = Path(__file__).with_name("cluster.py")
TROUBLED = "fails,hungry,endless"
CELL = ("--tasks", "densepose", "--fractions", "0.1")
SLURM = ("--executor", "slurm")


@pytest.fixture(scope="module")
def troubles(
    cluster: Any, warm: None, bench: Bench, adapters: Path, site: Sites, small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:  # fmt: skip
    """A store whose jobs die in four ways while the other tests run; nothing is requeued."""
    store = tmp_path_factory.mktemp("troubles")
    for methods, node in ((f"{TROUBLED},scratch", "n3"), ("doomed", "n4")):
        file = site(partition="side", max_attempts=1, signal_s=20, sbatch={"nodelist": node})
        words = ("--methods", methods, *CELL, "--store", str(store), "--config-dir", str(adapters))
        done = bench("run", *words, *SLURM, "--site", file, *small)
        assert done.returncode == 0, done.stderr
    yield store
    bench("cancel", "--store", str(store))


@pytest.fixture(scope="module")
def grid(
    cluster: Any,
    troubles: Path,
    bench: Bench,
    site: Sites,
    small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A store with jobs on their way, and the grid that they compute; the node of `doomed` dies meanwhile."""
    store = tmp_path_factory.mktemp("grid") / 'it\'s "the" $HOME; of #1 ä'
    words = ("run", "--methods", "cmc", "--tasks", "densepose", "--fractions", "0.1,1.0", *small)
    file = site(partition="side", sbatch={"nodelist": "n3"})
    submit = (*words, "--store", str(store), *SLURM, "--site", file)
    first = bench(*submit)
    assert first.returncode == 0 and "4 jobs submitted in 3 arrays" in first.stdout, first.stderr
    again = json.loads(bench(*submit, "--json").stdout)
    assert again == {"submitted": 0, "arrays": 0, "already_queued": 4}
    assert cluster.cells(store)["cmc"]["state"] in ("queued", "running")
    cluster.until("the doomed training", lambda: list(troubles.glob("pretrain/doomed*/claim.json")), 90)
    subprocess.run([sys.executable, str(CLUSTER), "kill", "n4"], check=True, timeout=60)
    yield store, words
    bench("cancel", "--store", str(store))


def test_interrupted_pretraining_goes_on_with_the_same_numbers(
    cluster: Any,
    metrics: Metrics,
    grid: object,
    bench: Bench,
    adapters: Path,
    site: Sites,
    small: tuple[str, ...],
    tmp_path: Path,
    jobs: Jobs,
) -> None:
    """One is requeued by an operator, one gets SIGUSR2, one is pushed out by a job of a better partition."""
    store, go = jobs(tmp_path / "store"), tmp_path / "go"
    seen = "preset.pretrain.samples_seen=1600"  # a hundred steps
    for methods, node in (("slow_a,slow_b", "n1"), ("slow_c", "n2")):
        file = site(partition="spare", sbatch={"nodelist": node})
        words = ("--methods", methods, *CELL, "--store", str(store), "--config-dir", str(adapters))
        done = bench("run", *words, *SLURM, "--site", file, *small, seen, STEP_S="0.1", GO=str(go))
        assert done.returncode == 0, done.stderr
    cluster.until("three trainings", lambda: len(list(store.glob("pretrain/*/progress.json"))) == 3, 180)
    folders = {p.name[:6]: p for p in store.glob("pretrain/*")}
    job = {name: cluster.jobs(store)[folder.name.rpartition("-")[2]] for name, folder in folders.items()}
    cluster.output("scontrol", "requeue", job["slow_a"])
    cluster.output("scancel", "--signal=USR2", job["slow_b"])
    cluster.output("sbatch", "-p", "main", "-w", "n2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    sent = time.monotonic()
    cluster.until("a checkpoint", lambda: list(folders["slow_b"].glob("checkpoint-*.pt")), 10)
    print(f"checkpoint {time.monotonic() - sent:.1f} s after the signal")
    cluster.until("checkpoints", lambda: all(list(p.glob("checkpoint-*.pt")) for p in folders.values()), 60)
    go.touch()
    words = ("--methods", "slow_*", *CELL, "--config-dir", str(adapters), *small, seen)
    local = bench("run", *words, "--store", str(tmp_path / "local"), "--jobs", "1")
    assert local.returncode == 0, local.stderr
    waited = bench("run", *words, "--store", str(store), *SLURM, "--wait")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    for name, number in job.items():
        log = cluster.logs(store, number)
        assert re.search(rf"{name}\S* goes on from step [1-9]", log), log
        assert (
            int(cluster.output("sacct", "-n", "-D", "-X", "-j", number).count("\n")) >= 2
        )  # it was started again
    assert len(metrics(store)) == 3 and metrics(store) == metrics(tmp_path / "local")


def test_a_grid_ends_with_the_records_of_a_local_run(
    cluster: Any, metrics: Metrics, grid: tuple[Path, tuple[str, ...]], bench: Bench, tmp_path: Path
) -> None:
    store, words = grid
    waited = bench(*words, "--store", str(store), *SLURM, "--wait")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert "2 of 2 cells done" in waited.stdout and (store / "leaderboard/leaderboard.md").is_file()
    local = bench(*words, "--store", str(tmp_path), "--jobs", "1")
    assert local.returncode == 0, local.stderr
    assert len(metrics(tmp_path)) == 2 and metrics(store) == metrics(tmp_path)
    check_order(cluster, store)


def check_order(cluster: Any, store: Path) -> None:
    """Look into the accounting: two stages, then an array of the two cells, each after the one before."""
    places = [*store.glob("pretrain/*"), *store.glob("score/*")]
    steps = {p.name.rpartition("-")[2]: p.name for p in places}
    names = {number: steps[key] for key, number in cluster.jobs(store).items()}
    text = cluster.output("sacct", "-X", "-n", "-P", "-o", "JobID,State,Start,End", "-j", ",".join(names))
    rows = {line.split("|")[0]: line.split("|")[1:] for line in text.splitlines()}
    assert rows.keys() == names.keys() and {row[0] for row in rows.values()} == {"COMPLETED"}
    first, second, *both = sorted(rows, key=lambda number: rows[number][1])
    assert names[first].startswith("cmc.contrast-") and names[second].startswith("cmc.contrast_2-")
    assert {n.partition("_")[2] for n in both} == {"0", "1"} and len({n.partition("_")[0] for n in both}) == 1
    assert rows[second][1] >= rows[first][2] and all(rows[n][1] >= rows[second][2] for n in both)


def test_deaths_are_told_apart_and_only_they_are_retried(
    cluster: Any,
    grid: object,
    troubles: Path,
    bench: Bench,
    adapters: Path,
    site: Sites,
    small: tuple[str, ...],
) -> None:
    shown = cluster.until_over(troubles, 200)
    subprocess.run([sys.executable, str(CLUSTER), "up", "n4"], check=True, timeout=100)
    assert shown["scratch"]["state"] == "done"
    reasons = {name: row["reason"] for name, row in shown.items() if name != "scratch"}
    print("\n".join(reasons.values()))
    assert {shown[name]["state"] for name in reasons} == {"blocked"}
    assert "this method fails at its third step" in reasons["fails"]
    assert "OUT_OF_MEMORY" in reasons["hungry"] and "memory limit" in reasons["hungry"]
    assert "TIMEOUT (TimeLimit)" in reasons["endless"] and "raise resources.hours" in reasons["endless"]
    assert "NODE_FAIL" in reasons["doomed"] and " on n4" in reasons["doomed"]
    failure = json.loads(next(troubles.glob("pretrain/hungry*/failure.json")).read_text())
    assert failure["attempt"] == 1 and "exceeded" in failure["traceback"].lower() and failure["job"]
    words = ("--methods", f"{TROUBLED},doomed,scratch,slow_a", *CELL, "--config-dir", str(adapters))
    held = site(partition="side", sbatch={"hold": True})
    words = (*words, "--store", str(troubles), "--retry-failed", "--json", *small)
    again = bench("run", *words, *SLURM, "--site", held)
    assert json.loads(again.stdout)["submitted"] == 8, again.stderr  # four stages and their cells
    assert "8 jobs cancelled" in bench("cancel", "--store", str(troubles)).stdout
    assert "CANCELLED" in cluster.cells(troubles)["fails"]["reason"]
    words = ("--methods", "fails,scratch,slow_a", *words[2:])  # here, and what made it fail is mended
    mended = bench("run", *words, "--jobs", "1", MENDED="1")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert json.loads(mended.stdout)["computed_steps"] == 2
    assert cluster.cells(troubles)["fails"]["state"] == "done"


def test_a_thousand_cells_are_submitted_once_and_cancelled(
    cluster: Any, bench: Bench, site: Sites, small: tuple[str, ...], tmp_path: Path, jobs: Jobs
) -> None:
    held = site(array_limit=400, sbatch={"hold": True})
    store = ("--store", str(jobs(tmp_path)), *small)
    grid = ("--methods", "scratch", "--tasks", "densepose", "--fractions", "0.1,1.0", "--seeds", "500x")
    other = ("--methods", "cmc", "--tasks", "densepose")
    begun = time.monotonic()
    first = bench("run", *grid, *store, *SLURM, "--site", held, "--json")
    spent = time.monotonic() - begun
    assert json.loads(first.stdout) == {"submitted": 1000, "arrays": 3, "already_queued": 0}, first.stderr
    begun = time.monotonic()
    again = bench("run", *grid, *store, *SLURM, "--site", held, "--json")
    print(f"1000 cells: submitted in {spent:.1f} s, looked at again in {time.monotonic() - begun:.1f} s")
    assert json.loads(again.stdout) == {"submitted": 0, "arrays": 0, "already_queued": 1000}
    assert bench("run", *other, *store, *SLURM, "--site", held).returncode == 0
    assert "1000 jobs cancelled" in bench("cancel", *grid, *store).stdout
    cluster.until(
        "the end of the jobs", lambda: len(cluster.output("squeue", "--me", "-h", "-r").splitlines()) == 3, 30
    )
    counts = json.loads(bench("status", "--json", "--store", str(tmp_path)).stdout)["counts"]
    assert counts == {"failed": 1000, "queued": 1}
    assert "3 jobs cancelled" in bench("cancel", *other, *store).stdout


def test_mistakes_are_one_line(
    cluster: Any, bench: Bench, site: Sites, small: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("run", "--methods", "scratch", "--tasks", "densepose", "--store", str(tmp_path), *SLURM, *small)
    wrong = bench(*words, "--site", site(partition="nowhere"))
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert "invalid partition specified: nowhere" in wrong.stderr
    none = bench(*words, "--site", "nowhere.yaml")
    assert none.returncode == 2 and "--site nowhere.yaml: no such file" in none.stderr
    more = bench(*words, "--jobs", "2")
    assert more.returncode == 2 and "--jobs: belongs to --executor local" in more.stderr
    away = bench(*words, SLURM_CONF="/dev/null")
    assert away.returncode == 2 and away.stderr.count("\n") == 1 and "ClusterName" in away.stderr


def test_states_are_known_without_accounting(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.execute.queue import UNKNOWN, Queue, State

    number = cluster.output("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "exit 3").strip()
    conf = Path("/etc/slurm/slurm.conf").read_text()
    (tmp_path / "slurm.conf").write_text(re.sub(r"(?m)^Accounting.*$", "", conf))
    for name in ("gres.conf", "cgroup.conf"):
        (tmp_path / name).write_text((Path("/etc/slurm") / name).read_text())
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    cluster.until("its end", lambda: not Queue().states([number])[number].live, 30)
    assert subprocess.run(["sacct"], capture_output=True, check=False, timeout=60).returncode
    found = Queue().states([number, "1"])
    assert found[number].state == "FAILED" and found["1"] == UNKNOWN
    assert isinstance(found[number], State) and found[number].reason == "NonZeroExitCode"
