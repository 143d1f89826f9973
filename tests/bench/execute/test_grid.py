"""Whole grids through the command line: sharing, resuming, killing, concurrency, damage, failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]
Metrics = Callable[[Path], dict[str, list[float]]]


def test_grid_runs_to_a_leaderboard(metrics: Metrics, finished: Path) -> None:
    assert len(metrics(finished)) == 4
    stages = sorted(p.name.rpartition("-")[0] for p in (finished / "pretrain").iterdir())
    # the first stage of HCMoCo is that of CMC: trained once
    assert [s.partition("-")[0] for s in stages] == ["cmc.contrast", "cmc.contrast_2", "hcmoco.dense"]
    text = (finished / "leaderboard" / "leaderboard.md").read_text()
    assert "hcmoco" in text and "densepose" in text
    assert list((finished / "leaderboard").rglob("*.png")) and list((finished / "leaderboard").rglob("*.svg"))
    assert not list(finished.rglob("checkpoint-*"))


def test_second_run_computes_nothing(
    bench: Bench, finished: Path, grid: tuple[str, ...], small: tuple[str, ...]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.glob("*/*/record.json")}
    again = bench("run", *grid, "--store", str(finished), "--json", *small)
    assert again.returncode == 0, again.stderr
    body = json.loads(again.stdout)
    assert body["computed_steps"] == 0 and body["done"] == 4
    assert before == {p: p.stat().st_mtime_ns for p in finished.glob("*/*/record.json")}


def test_status_without_options_shows_what_was_run(bench: Bench, finished: Path, tmp_path: Path) -> None:
    shown = json.loads(bench("status", "--store", str(finished), "--json").stdout)
    assert shown["counts"] == {"done": 4}
    nothing = bench("status", "--store", str(tmp_path))
    assert nothing.returncode == 2 and "no grid has been run" in nothing.stderr


@pytest.mark.slow
def test_jobs_do_not_change_numbers(
    metrics: Metrics,
    bench: Bench,
    finished: Path,
    grid: tuple[str, ...],
    small: tuple[str, ...],
    tmp_path: Path,
) -> None:
    done = bench("run", *grid, "--store", str(tmp_path), "--jobs", "2", *small)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path) == metrics(finished)


def kill_when(words: list[str], environment: dict[str, str], ready: Callable[[], bool], number: int) -> None:
    """Start a run in a process group of its own and send it a signal once `ready`."""
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    limit = time.monotonic() + 120
    while process.poll() is None and not ready():
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, number)
    process.wait(timeout=60)


def progress(store: Path, kind: str, least: int) -> bool:
    """Say whether a checkpoint of at least so many steps lies in a folder of that kind."""
    names = [p.name for p in store.glob(f"{kind}/*/checkpoint-*.pt")]
    return any(int(name.split("-")[1]) >= least for name in names)


@pytest.mark.parametrize(
    ("kind", "least"), [("pretrain", 2), pytest.param("finetune", 1, marks=pytest.mark.slow)]
)
def test_killed_run_goes_on_with_the_same_numbers(
    metrics: Metrics,
    bench: Bench,
    environment: dict[str, str],
    finished: Path,
    grid: tuple[str, ...],
    small: tuple[str, ...],
    tmp_path: Path,
    kind: str,
    least: int,
) -> None:
    words = ["run", *grid, "--store", str(tmp_path), "--jobs", "1", *small, "preset.resources.checkpoint_s=0"]
    command = [sys.executable, "-m", "bench.cli", *words]
    kill_when(command, environment, lambda: progress(tmp_path, kind, least), signal.SIGKILL)
    assert bench("status", *grid, "--store", str(tmp_path), *small).stdout.count("lost")
    done = bench(*words)
    assert done.returncode == 0, done.stderr
    assert "goes on from step" in done.stderr
    assert metrics(tmp_path) == metrics(finished)


def interrupted(
    words: list[str], environment: dict[str, str], ready: Callable[[int], bool]
) -> tuple[int, str]:
    """Interrupt a run once it is `ready`, as Ctrl-C does: all processes; return exit code and messages."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *words],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while not ready(process.pid) and time.monotonic() < limit:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=60)
    return process.returncode, text


def trains(store: Path) -> Callable[[int], bool]:
    return lambda _: bool(list(store.glob("pretrain/*/progress.json")))


def imports(pid: int) -> bool:
    """Say whether the process from which workers are forked has started; it imports for seconds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


def test_interrupt_while_workers_start_is_one_line(
    environment: dict[str, str], grid: tuple[str, ...], small: tuple[str, ...], tmp_path: Path
) -> None:
    code, text = interrupted(["run", *grid, "--store", str(tmp_path), *small], environment, imports)
    assert code == 130
    assert "run the same command again" in text.splitlines()[-1] and "Traceback" not in text


def test_interrupt_saves_and_says_how_to_resume(
    metrics: Metrics,
    bench: Bench,
    environment: dict[str, str],
    finished: Path,
    grid: tuple[str, ...],
    small: tuple[str, ...],
    tmp_path: Path,
) -> None:
    words = ["run", *grid, "--store", str(tmp_path), "--jobs", "1", *small]
    code, text = interrupted(words, environment, trains(tmp_path))
    assert code == 130
    assert "run the same command again" in text and "Traceback" not in text
    assert bench(*words).returncode == 0
    assert metrics(tmp_path) == metrics(finished)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt_saves_the_training_that_runs(
    jobs: str, environment: dict[str, str], grid: tuple[str, ...], small: tuple[str, ...], tmp_path: Path
) -> None:
    words = [
        "run",
        *grid,
        "--store",
        str(tmp_path),
        "--jobs",
        jobs,
        *small,
        "preset.pretrain.samples_seen=32000",
    ]
    code, text = interrupted(words, environment, trains(tmp_path))
    assert code == 130 and "Traceback" not in text
    assert list(tmp_path.glob("pretrain/*/checkpoint-*.pt"))


def test_two_runs_share_one_store(
    metrics: Metrics,
    environment: dict[str, str],
    finished: Path,
    grid: tuple[str, ...],
    small: tuple[str, ...],
    tmp_path: Path,
) -> None:
    words = ["run", *grid, "--store", str(tmp_path), "--jobs", "1", "--json", *small]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.cli", *words], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    bodies = [json.loads(p.communicate(timeout=300)[0]) for p in both]
    assert [b["done"] for b in bodies] == [4, 4]
    logs = list(tmp_path.glob("*/*/log.txt"))
    assert len(logs) == 7  # three stages, four fine-tunings
    for log in logs:  # each was computed once: its log holds each step once
        steps = [line.split("step ")[1].split()[0] for line in log.read_text().splitlines()]
        assert len(steps) == len(set(steps))
    assert metrics(tmp_path) == metrics(finished)


def test_damaged_weights_are_named_and_made_anew(
    metrics: Metrics,
    bench: Bench,
    finished: Path,
    grid: tuple[str, ...],
    small: tuple[str, ...],
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    subprocess.run(["cp", "-r", str(finished), str(store)], check=True)
    weights = next(store.glob("pretrain/hcmoco.dense*/encoders/rgb/encoder.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    for record in store.glob("*/hcmoco-*/record.json"):
        record.write_text(record.read_text()[:-40])  # truncated
    done = bench("run", *grid, "--store", str(store), "--jobs", "1", *small)
    assert done.returncode == 0, done.stderr
    assert str(weights) in done.stderr and "damaged" in done.stderr and "record" in done.stderr
    assert metrics(store) == metrics(finished)
    assert list(store.rglob("*.corrupt-0"))


@pytest.mark.slow
def test_imagenet_takes_weights_as_timm_saves_them(
    metrics: Metrics, bench: Bench, small: tuple[str, ...], tmp_path: Path
) -> None:
    script = (
        "import timm, torch; torch.manual_seed(1); "
        "m = timm.create_model('resnet10t', channels=[24, 48, 96, 192], stem_width=16); "
        f"torch.save({{'state_dict': m.state_dict()}}, {str(tmp_path / 'w.pth')!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    words = ["run", "--methods", "scratch,imagenet", "--tasks", "densepose", "--encoders", "resnet10_w24"]
    file = f"method.imagenet.stages.weights.config.file={tmp_path / 'w.pth'}"
    done = bench(*words, "--store", str(tmp_path / "store"), "--jobs", "1", "--json", *small, file)
    assert done.returncode == 0, done.stderr
    assert len({tuple(values) for values in metrics(tmp_path / "store").values()}) == 2
    (record,) = (tmp_path / "store").glob("score/imagenet*/record.json")
    labels = json.loads(record.read_text())["labels"]
    assert labels["init"] == "imagenet" and labels["published"] == "DensePose (single-person AUC)"
    assert labels["minimum_effect"] == 0.005
    assert "DensePose (single-person AUC)" in (tmp_path / "store/leaderboard/leaderboard.md").read_text()
    (tmp_path / "w.pth").write_bytes(b"broken")
    broken = bench(*words, "--store", str(tmp_path / "store"), "--jobs", "1", *small, file)
    assert broken.returncode == 2 and "w.pth cannot be read as weights" in broken.stderr, broken.stderr
