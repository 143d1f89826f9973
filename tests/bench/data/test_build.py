from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from toy_producer import ToyProducer, toy_spec, typed_spec

from bench.data import build as building
from bench.data import shards
from bench.data.build import build, missing_pieces, verify
from bench.data.shards import Span
from bench.errors import DataError
from bench.records.claims import Claim

TOY = ToyProducer()

SCRIPT = """
import json, sys
from pathlib import Path
from toy_producer import ToyProducer
from bench.data.build import build
from bench.dataset import DataSpec
if __name__ == "__main__":
    toy = ToyProducer(pause_s=float(sys.argv[4]), log=sys.argv[3])
    print(build([DataSpec.of(json.loads(sys.argv[2]))], Path(sys.argv[1]), toy, jobs=int(sys.argv[5])))
"""


def digest(root: Path) -> dict[str, bytes]:
    """Contents of all finished shards, by path below the root."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("shard-*/*"))
        if ".corrupt-" not in str(path)
    }


def left_over(root: Path) -> list[str]:
    """Remains of unfinished work; lock files of claims are kept by design."""
    hidden = [path for path in root.rglob("*") if ".tmp-" in path.name or path.parent.name == ".claims"]
    return [path.name for path in hidden if path.suffix != ".lock"]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "SHARD", 12)


def start(tmp_path: Path, spec: dict[str, Any], pause_s: float, jobs: int = 1) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [str(tmp_path / "data"), json.dumps(spec), str(tmp_path / "log"), str(pause_s), str(jobs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), *words]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # a job in the background ignores it
    )


@pytest.mark.usefixtures("small_shards")
def test_a_build_is_complete_and_repeating_it_renders_nothing(tmp_path: Path) -> None:
    spec = typed_spec(("lab", "train", 31), ("wild", "val", 5))
    steps: list[tuple[int, int]] = []
    # whole clips of six: 36 samples of the first part
    assert build([spec], tmp_path, TOY, on_progress=lambda a, b: steps.append((a, b))) == 41
    assert steps == [(0, 41), (12, 41), (24, 41), (36, 41), (41, 41)]
    assert (
        not missing_pieces([spec], tmp_path, TOY)
        and not verify(spec, tmp_path, TOY)
        and not left_over(tmp_path)
    )
    assert build([spec], tmp_path, ToyProducer(die_at=0)) == 0
    folder = tmp_path / "toy-v1-seed0-16x20px" / "lab" / "train"
    assert shards.present(folder) == [Span(first=f, count=12) for f in (0, 12, 24)]


@pytest.mark.usefixtures("small_shards")
def test_more_samples_later_reuse_what_is_there(tmp_path: Path) -> None:
    small, large = typed_spec(("wild", "train", 17)), typed_spec(("wild", "train", 40))
    build([small], tmp_path / "grown", TOY)
    folder = tmp_path / "grown" / "toy-v1-seed0-16x20px" / "wild" / "train"
    assert shards.present(folder) == [Span(first=0, count=12), Span(first=12, count=5)]
    assert build([large, small], tmp_path / "grown", TOY) == 28  # all but the shard that was full
    build([large], tmp_path / "fresh", TOY)
    assert digest(tmp_path / "fresh").items() < digest(tmp_path / "grown").items()
    assert len(shards.present(folder)) == 5
    for root in (tmp_path / "fresh", tmp_path / "grown"):
        assert build([small, large], root, ToyProducer(die_at=0)) == 0  # a longer shard will do


def test_shards_are_whole_clips_of_one_length_but_the_last(tmp_path: Path) -> None:
    specs = [typed_spec(("lab", "train", 10_000)), typed_spec(("lab", "val", 300), ("wild", "val", 256))]
    pieces = missing_pieces(specs, tmp_path, TOY)
    sizes = Counter((p.place.source, p.place.split, p.span.count) for p in pieces)
    assert sizes == {
        ("lab", "train", 252): 39, ("lab", "train", 174): 1,
        ("lab", "val", 252): 1, ("lab", "val", 48): 1, ("wild", "val", 256): 1,
    }  # fmt: skip
    assert [p.span.first for p in pieces[:3]] == [0, 252, 504]


@pytest.mark.usefixtures("small_shards")
def test_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    spec = typed_spec(("lab", "train", 36), ("wild", "test", 20))
    build([spec], tmp_path / "one", TOY)
    assert build([spec], tmp_path / "two", TOY, jobs=2) == 56
    assert digest(tmp_path / "one") == digest(tmp_path / "two") and len(digest(tmp_path / "one")) > 30


def test_a_killed_build_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    parts = (("lab", "train", 6), ("wild", "train", 700))
    spec = typed_spec(*parts)
    process = start(tmp_path, toy_spec(*parts), pause_s=0.004, jobs=2)
    folder = tmp_path / "data" / "toy-v1-seed0-16x20px"
    while not shards.present(folder / "wild" / "train") and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("shard-*/shard.json")}
    assert 1 <= len(kept) < 4 and left_over(tmp_path / "data")
    wait_for_workers(tmp_path / "log")
    log = tmp_path / "again"
    build([spec], tmp_path / "data", ToyProducer(log=str(log)))
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())
    assert len(log.read_text().splitlines()) < 701
    build([spec], tmp_path / "whole", TOY)
    assert digest(tmp_path / "data") == digest(tmp_path / "whole")
    assert not left_over(tmp_path / "data")


@pytest.mark.usefixtures("small_shards")
def test_claims_of_the_dead_are_removed_and_those_of_the_living_kept(tmp_path: Path) -> None:
    build([typed_spec(("wild", "train", 36))], tmp_path, TOY)
    claims = tmp_path / "toy-v1-seed0-16x20px" / "wild" / "train" / ".claims"
    finished, given_up = claims / "shard-0000000-0012", claims / "shard-0000036-0007"
    with Claim(finished):
        build([typed_spec(("wild", "train", 72))], tmp_path, TOY)
        assert finished.exists()
        facts = json.loads(finished.read_text())
    for path in (finished, given_up):
        path.write_text(json.dumps({**facts, "started": "long ago"}))
    assert build([typed_spec(("wild", "train", 72))], tmp_path, TOY) == 0
    assert finished.exists()  # a build that renders nothing writes nothing
    assert build([typed_spec(("wild", "train", 108))], tmp_path, TOY) == 36
    assert not left_over(tmp_path)


def wait_for_workers(log: Path) -> None:
    """Worker processes end with their parent."""
    pids = {int(line.split()[0]) for line in log.read_text().splitlines()}
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end, "a worker outlived its parent"
        time.sleep(0.02)


def test_two_builders_share_the_work(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 1300))
    both = [start(tmp_path, toy_spec(("wild", "train", 1300)), pause_s=0.002) for _ in range(2)]
    rendered = [int(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(rendered) == 1300 and min(rendered) > 0
    assert len((tmp_path / "log").read_text().splitlines()) == 1300  # no clip was drawn twice
    assert not verify(spec, tmp_path / "data", TOY) and not left_over(tmp_path / "data")


def test_a_builder_says_for_whom_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "toy-v1-seed0-16x20px" / "wild" / "train" / ".claims" / "shard-0000000-0020"
    looks: list[float] = []
    with Claim(path) as claim:

        def sleep(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 3:
                claim.__exit__(None, None, None)

        monkeypatch.setattr(building.time, "sleep", sleep)
        assert build([typed_spec(("wild", "train", 20))], tmp_path, TOY) == 20
    assert capsys.readouterr().err.count(f"waits for process {os.getpid()}") == 1


@pytest.mark.usefixtures("small_shards")
def test_a_corrupt_shard_is_named_set_aside_and_rebuilt(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 36))
    build([spec], tmp_path, TOY)
    whole = digest(tmp_path)
    path = next(p for p in tmp_path.rglob("rgb.npy") if "shard-0000012" in str(p))
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    os.truncate(next(p for p in tmp_path.rglob("keypoints.npy") if "shard-0000024" in str(p)), 99)
    problems = verify(spec, tmp_path, TOY)
    assert len(problems) == 4
    problems[:2] = problems[1::-1]  # they come in order
    assert "shard-0000024-0012: keypoints.npy has 99 bytes" in problems[0] and ".corrupt-0" in problems[0]
    assert "shard-0000012-0012: rgb.npy has changed" in problems[1]
    assert "samples 12 to 23 are not there" in problems[2] and "samples 24 to 35" in problems[3]
    assert build([spec], tmp_path, TOY) == 24
    assert digest(tmp_path) == whole and not verify(spec, tmp_path, TOY)


@pytest.mark.usefixtures("small_shards")
def test_a_truncated_shard_is_rebuilt_without_verify(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 24))
    build([spec], tmp_path, TOY)
    next(tmp_path.rglob("keypoints.npy")).unlink()
    assert len(missing_pieces([spec], tmp_path, TOY)) == 1
    assert build([spec], tmp_path, TOY) == 12 and not verify(spec, tmp_path, TOY)


@pytest.mark.usefixtures("small_shards")
def test_a_shard_with_changed_bytes_is_rebuilt_without_verify(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 24))
    build([spec], tmp_path, TOY)
    whole = digest(tmp_path)
    path = next(tmp_path.rglob("rgb.npy"))
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    assert build([spec], tmp_path, TOY) == 12 and digest(tmp_path) == whole


@pytest.mark.usefixtures("small_shards")
def test_a_single_piece_replaces_a_flawed_shard(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 12))
    (piece,) = missing_pieces([spec], tmp_path, TOY)
    assert [piece.make(tmp_path) for _ in range(2)] == ["built", "present"]
    next(tmp_path.rglob("rgb.npy")).unlink()
    assert missing_pieces([spec], tmp_path, TOY) == [piece]
    assert piece.make(tmp_path) == "built"
    assert len(list(tmp_path.rglob("shard-*.corrupt-0"))) == 1 and not verify(spec, tmp_path, TOY)


def test_a_full_disk_is_one_clear_line_and_leaves_no_litter(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"toy-v1-seed0-16x20px/wild/train: the disk is full") as caught:
        build([typed_spec(("wild", "train", 5))], tmp_path, ToyProducer(fail_at=3))
    assert "\n" not in str(caught.value) and not left_over(tmp_path) and not digest(tmp_path)


def test_a_file_size_limit_ends_a_parallel_build_cleanly(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 200), ("wild", "val", 200))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DataError, match="file size limit"):
            build([spec], tmp_path, TOY, jobs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not left_over(tmp_path)
    assert build([spec], tmp_path, TOY) == 400


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "toy-v1-seed0-16x20px").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*toy-v1-seed0-16x20px/wild/train"):
        build([typed_spec(("wild", "train", 5))], tmp_path, TOY)


def test_a_worker_that_dies_is_reported(tmp_path: Path) -> None:
    spec = typed_spec(("wild", "train", 20), ("wild", "val", 20))
    with pytest.raises(DataError, match="a building process died"):
        build([spec], tmp_path, ToyProducer(die_at=3), jobs=2)
    assert build([spec], tmp_path, TOY) == 40


def test_an_interrupt_stops_the_workers(tmp_path: Path) -> None:
    process = start(tmp_path, toy_spec(("wild", "train", 4000)), pause_s=0.01, jobs=2)
    while not (tmp_path / "log").exists() and process.poll() is None:
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0 and time.monotonic() - begun < 10  # of the 20 s that are left
    assert not left_over(tmp_path / "data")
