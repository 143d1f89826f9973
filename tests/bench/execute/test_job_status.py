"""What is written down about jobs that are over; the states are SLURM's words, which `tests/slurm` checks."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from bench.errors import StepError
from bench.execute import plans
from bench.execute import submissions as launches
from bench.execute.job_status import live_jobs
from bench.execute.queue import UNKNOWN, Queue, State, _tasks
from bench.grid.plan import Plan, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store


class Answers(Queue):
    """A queue with given answers."""

    def __init__(self, answers: dict[str, State]) -> None:
        super().__init__()
        self.answers = answers

    def states(self, numbers: Collection[str]) -> dict[str, State]:
        return {n: self.answers.get(n, UNKNOWN) for n in numbers}


@pytest.fixture
def launched(configs: Path, tmp_path: Path) -> tuple[Store, Plan, Path]:
    """A store with a launch: the two stages of CMC as jobs 1 and 2, its cell as job 3_0."""
    store = Store(tmp_path / "store")
    request = resolve(Words(methods="cmc", tasks="densepose"))
    plan = expand(request)
    plans.keep(request, store)
    folder = launches.fresh(store)
    stages = [s.key for s in plan.steps if s.kind == "pretrain"]
    for number, key in zip(("1", "2", "3_0"), (*stages, plan.steps[-1].key), strict=True):
        launches.note(folder, [number], [key])
    return store, plan, folder


def test_jobs_are_looked_after_until_they_have_ended(launched: tuple[Store, Plan, Path]) -> None:
    store, plan, folder = launched
    waits = State(state="PENDING", reason="Dependency")
    live = live_jobs(store, Answers({"1": State(state="RUNNING", node="n1"), "2": waits, "3_0": waits}))
    assert [found.text for found in live.values()] == [
        "job 1 runs on n1", "job 2 waits (Dependency)", "job 3_0 waits (Dependency)",
    ]  # fmt: skip
    assert len(live_jobs(store, Answers({}))) == 3  # the accounting does not know new jobs at once
    said = "slurmstepd: error: *** JOB 1 CANCELLED DUE TO TIME LIMIT ***"
    (folder / "1_0_log.err").write_text(f"starts\n{said}\nsrun\n")
    claim = store.folder(plan.steps[0]) / "claim.json"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"host": "gone", "pid": 1, "job": "1"}))
    never = State(state="CANCELLED", reason="DependencyNeverSatisfied")
    dead = State(state="TIMEOUT", reason="TimeLimit", node="n1")
    assert live_jobs(store, Answers({"1": dead, "2": never, "3_0": waits})).keys() == {plan.steps[-1].key}
    assert not claim.exists() and store.state(plan.steps[0]) == "failed"
    failure = store.failure(plan.steps[0])
    assert failure["message"] == (
        f'TIMEOUT (TimeLimit): job 1 on n1; raise resources.hours; its log says "{said}"'
    )
    assert failure["attempt"] == 1 and failure["job"] == "1" and "starts" in failure["traceback"]
    assert store.state(plan.steps[1]) == "blocked" and not store.failure(plan.steps[1])
    assert [job.number for job in launches.pending(store)] == ["3_0"]
    live_jobs(store, Answers({"3_0": never}))
    assert not launches.pending(store) and store.failure(plan.steps[0])["attempt"] == 1


def test_a_stage_whose_job_died_after_its_work_does_not_hide_that_nothing_follows(
    launched: tuple[Store, Plan, Path],
) -> None:
    store, plan, _ = launched
    for stage in plan.steps[:2]:
        (store.folder(stage)).mkdir(parents=True)
        (store.folder(stage) / "record.json").write_text("{}")
    dead = State(state="TIMEOUT", reason="TimeLimit", node="n1")
    never = State(state="CANCELLED", reason="DependencyNeverSatisfied")
    assert not live_jobs(store, Answers({"1": dead, "2": dead, "3_0": never}))
    assert not any(store.failure(stage) for stage in plan.steps[:2])
    message = store.failure(plan.steps[-1])["message"]
    assert message.startswith("CANCELLED (DependencyNeverSatisfied): job 3_0")


def test_what_a_job_told_itself_stays(launched: tuple[Store, Plan, Path]) -> None:
    store, plan, _ = launched
    store.fail(plan.steps[0], StepError("loss is not finite"), job="1")
    dead = State(state="FAILED", reason="NonZeroExitCode", node="n1")
    live_jobs(store, Answers({"1": dead}))
    assert store.failure(plan.steps[0])["message"] == "loss is not finite"


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("error: Detected 1 oom_kill event in Step", "OUT_OF_MEMORY"),
        ("Killed", "FAILED"),
        ("srun: error: n4: task 1: Killed\nbench: another process has died", "FAILED"),
        ("", "FAILED"),
    ],
)
def test_memory_is_named_where_only_the_log_tells(
    launched: tuple[Store, Plan, Path], log: str, word: str
) -> None:
    store, plan, folder = launched
    (folder / "1_0_log.err").write_text(log)
    live_jobs(store, Answers({"1": State(state="FAILED", reason="None")}))
    message = store.failure(plan.steps[0])["message"]
    assert message.startswith(f"{word}: job 1") and (
        not log or f'its log says "{log.splitlines()[0]}"' in message
    )


def test_ranges_of_tasks_are_spelled_out() -> None:
    assert _tasks("12") == ["12"] and _tasks("12_3") == ["12_3"]
    assert _tasks("12_[0-2,5%4]") == ["12_0", "12_1", "12_2", "12_5"]
