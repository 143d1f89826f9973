"""What a SLURM job does on its node: bring one step of a kept plan to `done`, and leave when asked to."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

from bench import caches
from bench.console import warn
from bench.errors import StepError
from bench.execute import plans
from bench.execute.data_jobs import prepare, specs_of_step
from bench.execute.job import Result, assist, ensure, leaving, quiet_threads
from bench.execute.site import RunContext, WorldInfo
from bench.grid.plan import Step
from bench.records.claims import slurm_job
from bench.records.store import Store

POLL_S = 2.0  # between looks at work that another process has claimed


class Work:
    """The function that jobs call with words; it holds nothing, so that its pickle is its name."""

    def __call__(self, key: str, store: str, plan: str, max_attempts: str) -> str:
        """Bring the step with a key to `done`.

        Args:
            key: of the step.
            store: folder of the store.
            plan: name of the file with the request, in the store's folder `plans`.
            max_attempts: how often the job may start.

        Raises:
            StepError: it failed; the reason is in the store. SLURM then knows the job as FAILED.
        """
        return _work(key, Path(store), plan, int(max_attempts))

    def checkpoint(self, *words: str) -> DelayedSubmission:
        """Return the same call for the next start; what was computed is on disk when this is called."""
        return DelayedSubmission(self, *words)


def _work(key: str, root: Path, plan: str, max_attempts: int) -> str:
    quiet_threads()
    store = Store(root)
    caches.settle(root)
    request, expanded = plans.read(root / "plans" / plan)
    step = next((s for s in expanded.steps if s.key == key), None)
    if step is None:
        raise StepError(f"plan {plan} has no step {key}: the code has changed since; run the grid again")
    attempt, team = _number("SLURM_RESTART_COUNT", 0) + 1, _team()
    site = RunContext(store=str(root), config_dirs=request.config_dirs, team=team)
    if attempt > max_attempts and team.rank == 0:
        return _give_up(step, store, attempt)
    leave = _install_signals(last=attempt == max_attempts)
    try:
        result = assist(step, site) if team.rank else _bring(step, store, site)
    except KeyboardInterrupt:  # a training has saved its state because it was told to stop
        leave(signal.SIGUSR2, None)  # the first process has the job started again, which ends the others
        while team.rank:
            signal.pause()
        raise
    if result == "done":
        return result
    raise StepError(store.why(step) or result)


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _team() -> WorldInfo:
    """Return which process of the job this is, and how many there are."""
    nodes = _number("SLURM_JOB_NUM_NODES", 1)
    return WorldInfo(
        rank=_number("SLURM_PROCID", 0), nodes=nodes, per_node=_number("SLURM_NTASKS", 1) // nodes
    )


def _give_up(step: Step, store: Store, attempt: int) -> str:
    error = StepError(
        f"job {slurm_job()} was started {attempt} times, by time limit, preemption or dead nodes; "
        "raise resources.hours, or max_attempts in the site YAML"
    )
    store.fail(step, error)
    raise error


def _bring(step: Step, store: Store, site: RunContext) -> Result:
    """Render what is missing, then compute; wait where another process is at work on the same."""
    if store.record(step) is None:
        _prepare(step, store, site)
    told = ""
    while (result := ensure(step, site)) == "busy":
        if (who := store.holder(step)) and who != told:
            warn(f"waits for {who}")
            told = who
        time.sleep(POLL_S)
    return result


def _prepare(step: Step, store: Store, site: RunContext) -> None:
    """Make the data that the step lacks; other jobs do the same, and nothing is made twice."""
    own = [s for s in step.ancestors() if s.kind != "pretrain" or store.record(s) is None]
    specs = [spec for s in (*own, step) for spec in specs_of_step(s)]
    cpus = _number("SLURM_CPUS_PER_TASK", 1)
    if count := prepare(specs, store.data, cpus, site.config_dirs):
        warn(f"{count} samples made")


def _install_signals(*, last: bool) -> Any:
    """Let a training save its state before submitit requeues the job; return submitit's own handler.

    SIGUSR2 comes ahead of a time limit or a preemption; on the last attempt the training saves and goes on,
    so that SLURM has the last word on why it ended. SIGTERM may mean anything: it saves and goes on too.
    """
    requeue: Any = signal.getsignal(signal.SIGUSR2)

    def leave(number: int, frame: object) -> None:
        leaving.set()
        requeue(number, frame)

    def stop(number: int, frame: object) -> None:
        loop = sys.modules.get("bench.train.loop")
        if last:
            save(number, frame)
        elif loop is None or not loop.active.is_set():
            leave(number, frame)
        else:
            loop.stop.set()

    def save(number: int, frame: object) -> None:
        os.write(2, f"bench: {signal.Signals(number).name}: saves and goes on\n".encode())
        if loop := sys.modules.get("bench.train.loop"):
            loop.save.set()

    signal.signal(signal.SIGUSR2, stop)
    signal.signal(signal.SIGTERM, save)
    return leave
