"""Following submitted jobs until all are over: `bench run --executor slurm --wait`."""

from __future__ import annotations

import time

from bench.execute import plans
from bench.execute.job_status import ActiveJob, live_jobs
from bench.execute.local import Outcome
from bench.execute.progress import Progress
from bench.execute.queue import Queue
from bench.grid.plan import Plan, Step
from bench.records.store import Store

LOOK_S = 1.0  # between looks into the store; SLURM is asked more rarely


def follow(plan: Plan, todo: dict[str, Step], store: Store, queue: Queue) -> Outcome:
    """Show how the jobs of steps go on until each is done or has died.

    Args:
        plan: the grid.
        todo: steps with a job, by key.
        store: where the jobs leave their results.
        queue: asks SLURM.

    Raises:
        StepError: the controller does not answer.
        KeyboardInterrupt: interrupted; the jobs go on.
    """
    begun = time.monotonic()
    outcome = Outcome(failed=plans.barred(plan, store))
    progress = Progress(plan, store, len(todo))
    waiting = dict(todo)
    try:
        while waiting:
            live = live_jobs(store, queue)
            for key, step in list(waiting.items()):
                if result := _settled(step, live, store, outcome):
                    del waiting[key]
                    progress.ended(step, result)
                elif _runs(live.get(key)) and key not in progress.starts:
                    progress.started(step)
            running = [step for key, step in waiting.items() if _runs(live.get(key))]
            progress.tick(running, len(waiting) - len(running))
            time.sleep(LOOK_S if waiting else 0.0)
    finally:
        progress.close()
    outcome.seconds = time.monotonic() - begun
    return outcome


def _runs(found: ActiveJob | None) -> bool:
    return found is not None and found.state.state == "RUNNING"


def _settled(step: Step, live: dict[str, ActiveJob], store: Store, outcome: Outcome) -> str:
    """Return `done`, `failed` or `blocked` for a job that is over, "" for one that is not; note it."""
    if store.done(step):
        outcome.computed += 1
        return "done"
    if step.key in live:
        return ""
    failed = store.first_failed(step)
    blocked = failed is not None and failed.kind == "pretrain" and failed.key != step.key
    reason = store.why(step) or "cancelled or never started"
    outcome.failed[step.key] = f"blocked: {reason}" if blocked else reason
    return "blocked" if blocked else "failed"
