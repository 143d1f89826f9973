"""The processes of the local executor: what becomes of jobs whose process dies, and of those beside them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.execute.local import Job, Outcome, _run
from bench.execute.progress import Progress
from bench.grid.plan import Plan, Step
from bench.records.store import Store

WORK = "__import__('time').sleep(1) or 'done'"


def job(name: str, run: Callable[..., Any], *arguments: object, needs: str = "") -> Job:
    spec = {"name": name, "encoder": {"name": "e"}, "seed": 0}
    return Job(
        name=name,
        rank=0,
        run=run,
        arguments=arguments,
        step=Step("pretrain", spec),
        needs={needs} if needs else set(),
    )


def outcome_of(jobs: list[Job], store: Store, count: int) -> Outcome:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    outcome = Outcome()
    try:
        _run(jobs, store, outcome, count, Progress(Plan(cells=(), steps=()), store, len(jobs)))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert not multiprocessing.active_children()
    return outcome


@pytest.mark.parametrize("count", [1, 3])
def test_only_the_job_that_kills_its_process_fails_and_its_reason_is_told(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    dying = {
        "segfault": job("segfault", signal.raise_signal, signal.SIGSEGV),
        "memory": job("memory", signal.raise_signal, signal.SIGKILL),
        "abort": job("abort", os.abort),
        "left": job("left", os._exit, 0),
    }
    others = [job(f"work{i}", eval, WORK) for i in range(3)]
    outcome = outcome_of([*dying.values(), *others, job("after", eval, WORK, needs="memory")], store, count)
    assert outcome.computed == 3
    assert outcome.failed.keys() == {*dying, "after"}
    for name, word in (
        ("segfault", "SIGSEGV"), ("memory", "SIGKILL"), ("abort", "SIGABRT"), ("left", "exit code 0"),
    ):  # fmt: skip
        step = dying[name].step
        assert step is not None and store.state(step) == "failed" and word in outcome.failed[name]
        assert word in store.failure(step)["message"]
    assert outcome.failed["after"].startswith("blocked: ") and "SIGKILL" in outcome.failed["after"]
    assert ("run again, alone" in capsys.readouterr().err) is (count > 1)


def test_a_job_that_dies_beside_others_runs_alone_before_it_is_blamed(tmp_path: Path) -> None:
    """As where two jobs together need more memory than there is, each alone does not."""
    mark = str(tmp_path / "first")
    dies_first = (
        f"'done' if __import__('os').path.exists({mark!r}) "
        f"else (open({mark!r}, 'x').close(), __import__('signal').raise_signal(9))"
    )
    jobs = [job("heavy", eval, dies_first), job("a", eval, WORK), job("b", eval, WORK)]
    outcome = outcome_of(jobs, Store(tmp_path), 2)
    assert not outcome.failed and outcome.computed == 3


def test_a_program_that_ends_itself_or_fails_outside_of_a_step_is_one_failure(tmp_path: Path) -> None:
    begun = time.monotonic()
    jobs = [
        job("leaves", eval, "__import__('sys').exit(3)"),
        job("raises", eval, "1/0"),
        job("works", eval, WORK),
    ]
    outcome = outcome_of(jobs, Store(tmp_path), 2)
    assert outcome.computed == 1 and time.monotonic() - begun < 60
    assert "sys.exit(3)" in outcome.failed["leaves"] and "ZeroDivisionError" in outcome.failed["raises"]
