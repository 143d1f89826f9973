"""What became of submitted jobs: which are alive, and why those died that left no record and no reason."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import StepError
from bench.execute.plans import kept
from bench.execute.queue import NEVER, UNKNOWN, Queue, State, installed
from bench.execute.submissions import Job, close, pending, tail
from bench.grid.plan import Step
from bench.records.claims import release
from bench.records.store import CLAIM, Store

SETTLE_S = 60.0  # a job that was just submitted may not be known to the accounting yet
MEMORY = ("exceeded job memory limit", "exceeded memory limit", "oom-kill", "oom_kill", "out of memory")
ADVICE = {
    "TIMEOUT": "raise resources.hours",
    "OUT_OF_MEMORY": "raise resources.mem",
    "NODE_FAIL": "its node died",
    "": "SLURM does not know it any more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveJob:
    """A job that waits or runs."""

    job: Job
    state: State

    @property
    def text(self) -> str:
        """Say in a few words where it stands."""
        if self.state.state == "RUNNING":
            return f"job {self.job.number} runs on {self.state.node}"
        reason = self.state.reason
        return f"job {self.job.number} waits" + (f" ({reason})" if reason not in ("", "None") else "")


def live_jobs(store: Store, queue: Queue) -> dict[str, ActiveJob]:
    """Return the jobs that wait or run by the key of their step; the deaths of others become failures.

    Raises:
        StepError: the controller does not answer.
    """
    jobs = pending(store)
    if not jobs:
        return {}
    states = queue.states([job.number for job in jobs])
    live: dict[str, ActiveJob] = {}
    over: list[Job] = []
    for job in jobs:
        state = states[job.number]
        if state.live or (state == UNKNOWN and abs(job.age_s) < SETTLE_S):
            live[job.key] = ActiveJob(job=job, state=state)
        else:
            over.append(job)
    if over:
        steps = {step.key: step for step in kept(store).steps}
        for job in over:
            if job.key in steps:
                _explain(job, states[job.number], steps[job.key], store)
        close(over)
    return live


def note_deaths(store: Store) -> None:
    """Write down what SLURM knows of jobs that have died; without SLURM on this machine nothing.

    Raises:
        StepError: the controller does not answer.
    """
    if installed():
        live_jobs(store, Queue())


def _explain(job: Job, state: State, step: Step, store: Store) -> None:
    """Write down why a job ended, unless it did its work, has told so itself, or was never to start."""
    chain = [*step.ancestors(), step]
    held = [s for s in chain if release(store.folder(s) / CLAIM, job.number)]
    if store.done(step) or any(store.failure(s).get("job") == job.number for s in chain):
        return
    stages = {store.state(s) for s in chain[:-1] if s.kind == "pretrain"}
    if not held and ({"failed", "blocked"} & stages or (state.reason == NEVER and stages != {"done"})):
        return
    target = next((s for s in held if not store.done(s)), step)
    lines = [line for log in job.logs for line in tail(log)]
    word = state.state
    if word == "FAILED" and any(sign in line.lower() for line in lines for sign in MEMORY):
        word = "OUT_OF_MEMORY"  # where SLURM itself watches the memory, it kills the step and says no more
    text = "\n".join(lines)
    store.fail(
        target, StepError(_message(job, state, word, lines)), job=job.number, slurm=word, traceback=text
    )


def _message(job: Job, state: State, word: str, lines: list[str]) -> str:
    node = f" on {state.node}" if state.node and state.node != "None assigned" else ""
    said = f" ({state.reason})" if state.reason not in ("", "None") else ""
    advice = f"; {ADVICE[word]}" if word in ADVICE else ""
    last = f'; its log says "{_telling(lines)[:160]}"' if lines else ""
    return f"{word or 'UNKNOWN'}{said}: job {job.number}{node}{advice}{last}"


def _telling(lines: list[str]) -> str:
    """Return the last line in which SLURM gives a reason, else the first that says how a process ended."""
    signs = (*MEMORY, "due to")
    said = [line for line in lines if "slurmstepd" in line and any(sign in line.lower() for sign in signs)]
    ends = [line for line in lines if line.startswith("srun: error:") and "task" in line]
    return said[-1] if said else (ends or lines[-1:])[0]
