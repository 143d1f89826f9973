from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import files
from bench.errors import DataError
from bench.records import claims
from bench.records.claims import Claim, is_live

HOLD = """
import sys, time
from pathlib import Path
from bench.records.claims import Claim
with Claim(Path(sys.argv[1])) as claim:
    print(claim.held, flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    path = tmp_path / "step" / "claim.json"
    with Claim(path) as first:
        with Claim(path) as second:
            assert first.held and not second.held and is_live(path)
        assert path.is_file()  # the refused one leaves it alone
    assert not path.exists() and not is_live(path)
    with Claim(path) as third:
        assert third.held


def test_a_claim_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Claim(tmp_path / "c"):
        raise RuntimeError
    assert not (tmp_path / "c").exists()


def test_a_killed_process_loses_its_claim_at_once(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        with Claim(path) as claim:
            assert not claim.held
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert path.is_file() and not is_live(path)
    with Claim(path) as claim:
        assert claim.held


@pytest.mark.parametrize(
    ("change", "live"),
    [
        ({}, True),
        ({"started": "1"}, False),  # the number was given to another process since
        ({"pid": 2**22 + 1, "started": "1"}, False),
        ({"host": "another", "pid": 2**22 + 1}, True),  # cannot be looked into from here
        ({"boot": "before", "pid": 2**22 + 1}, True),
        ({"pid": "many"}, True),  # of another version of the project
        ({"pid": 2**22 + 1, "started": None}, False),
    ],
)
def test_liveness_follows_the_owner(change: dict[str, Any], live: bool, tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Claim(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        assert is_live(path) is live
        for wrong in (-claims.STALE_S - 1, claims.STALE_S + 1):
            os.utime(path, (0, time.time() + wrong))
            claims._seen.clear()  # as by another process, which has not seen it before
            assert not is_live(path)


@pytest.mark.parametrize("content", ["", "[]", '{"host"', "3", "{}"])
def test_a_damaged_claim_is_taken_over(content: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(content)
    assert not is_live(tmp_path / "c")
    with Claim(tmp_path / "c") as claim:
        assert claim.held


def test_the_heartbeat_keeps_a_claim_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_S", 0.02)
    path = tmp_path / "c"
    with Claim(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while not is_live(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_live(path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass, in which no claim is touched."""
    true_time, passed = time.monotonic, [0.0]
    monkeypatch.setattr(claims, "HEARTBEAT_S", 1e6)
    monkeypatch.setattr("time.monotonic", lambda: true_time() + sum(passed))
    return passed.append


@pytest.mark.parametrize(
    "content", [{"host": "another", "pid": 1}, {"format": 2, "owner": "of another version"}]
)
@pytest.mark.parametrize("ahead_s", [-1e6, 0.0, 1e6])
def test_a_claim_is_respected_as_long_as_it_changes_whatever_its_time_stamp(
    content: dict[str, Any], ahead_s: float, tmp_path: Path, later: Callable[[float], None]
) -> None:
    path = tmp_path / "claim.json"
    path.write_text(json.dumps(content))
    for beat in range(4):
        stamp = time.time() + ahead_s - beat  # may even run backwards
        os.utime(path, (stamp, stamp))
        with Claim(path) as claim:
            assert not claim.held
        later(claims.STALE_S - 1)
    assert is_live(path) and json.loads(path.read_text()) == content
    later(2.0)
    assert not is_live(path)
    with Claim(path) as claim:
        assert claim.held


def test_the_holder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claim.json"
    assert claims.holder(path) == ""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with Claim(path):
        assert claims.holder(path) == f"process {os.getpid()}, SLURM job 12, on {socket.gethostname()}"
        assert not claims.died(path, os.getpid())
    path.write_text('{"format": 2}')
    assert claims.holder(path) == "on an unknown host"


def test_a_sleeper_does_not_give_back_the_claim_of_its_successor(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    path = tmp_path / "c"
    with Claim(path):
        with Claim(path) as refused:  # sees the claim for the first time
            assert not refused.held
        later(claims.STALE_S + 1)  # e.g. a laptop that was closed for an hour
        successor = Claim(path)
        assert successor.__enter__().held
    assert is_live(path)
    successor.__exit__(None, None, None)
    assert not path.exists()


def test_of_racing_threads_exactly_one_wins(tmp_path: Path) -> None:
    for round_ in range(5):
        path = tmp_path / str(round_) / "claim.json"
        barrier, done = threading.Barrier(4), threading.Barrier(4)
        held: list[bool] = []

        def race(
            path: Path = path, barrier: threading.Barrier = barrier, done: threading.Barrier = done
        ) -> None:
            barrier.wait()
            with Claim(path) as claim:
                held.append(claim.held)  # noqa: B023
                done.wait()

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(held) == [False, False, False, True]


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataError, match=r"cannot write .*a file is in the way"),
        Claim(tmp_path / "file" / "c"),
    ):
        pass


def test_a_restarted_job_takes_over_the_claim_of_its_earlier_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claim.json"
    mine = {"host": "a node that is gone", "boot": "", "pid": 1, "started": "1", "token": ""}
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for job, restarts, free in (("12_3", "0", True), ("12_3", "1", False), ("12_4", "0", False)):
        path.write_text(json.dumps({**mine, "job": job, "restarts": restarts}))
        with Claim(path) as claim:
            assert claim.held is free


def test_the_claim_of_an_ended_job_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "job": "12_3", "restarts": "0"}))
    claims.release(path, "12")
    assert is_live(path)
    claims.release(path, "12_3")
    assert not path.exists()
    claims.release(path, "12_3")


@pytest.mark.parametrize("ahead_s", [-7200.0, 7200.0])
def test_a_wrong_clock_neither_steals_a_live_claim_nor_keeps_a_dead_one(
    ahead_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stamps are those of the file system; this machine's clock is two hours off."""
    owner = {"host": "another node", "boot": "", "pid": 1, "started": "1", "token": ""}
    for name, seconds in (("live", 5.0), ("dead", claims.STALE_S + 5)):
        (tmp_path / name).write_text(json.dumps(owner))
        stamp = time.time() - seconds
        os.utime(tmp_path / name, (stamp, stamp))
    true_time = time.time
    monkeypatch.setattr(files, "_offsets", {})
    monkeypatch.setattr("time.time", lambda: true_time() + ahead_s)
    assert is_live(tmp_path / "live") and not is_live(tmp_path / "dead")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead", "live"]


def test_processes_of_one_start_of_a_job_know_each_others_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claim.json"
    with Claim(path):
        assert claims.ours(path) == "" == claims.start()  # outside of SLURM
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with Claim(path):
        token = claims.ours(path)
        assert len(token) == 16 and claims.start() == "12/0"
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert claims.ours(path) == "" and claims.start() == "12/1"
        monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
        monkeypatch.setenv("SLURM_JOB_ID", "13")
        assert claims.ours(path) == ""
    assert claims.ours(path) == ""
