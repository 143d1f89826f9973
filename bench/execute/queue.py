"""What SLURM says about jobs: one call of `squeue`, and one of `sacct` for those that it has forgotten."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass

from bench.errors import StepError

EVERY_S = 10.0  # the controller is asked at most so often by one process
TIMEOUT_S = 60.0

NEVER = "DependencyNeverSatisfied"  # SLURM cancels the job within seconds

# states after which a job may still run, or run again; all others are final
LIVE = frozenset(
    (
        "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING",
        "STAGE_OUT", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a job stands, in SLURM's own words."""

    state: str  # e.g. RUNNING, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, CANCELLED; "" = SLURM does not know the job
    reason: str = ""
    node: str = ""

    @property
    def live(self) -> bool:
        """Say whether the job waits, runs, or will run again."""
        return self.state in LIVE and self.reason != NEVER


UNKNOWN = State(state="")


def installed() -> bool:
    """Say whether this machine belongs to a SLURM cluster."""
    return shutil.which("squeue") is not None


class Queue:
    """Asks SLURM about this user's jobs, at most once in ten seconds."""

    def __init__(self) -> None:
        self._asked = float("-inf")
        self._known: dict[str, State] = {}

    def states(self, numbers: Collection[str]) -> dict[str, State]:
        """Return the states of jobs (`12`, `12_3`); `UNKNOWN` for those that SLURM does not know.

        Raises:
            StepError: the controller does not answer.
        """
        if time.monotonic() - self._asked >= EVERY_S:
            self._known = _squeue()
            forgotten = [n for n in numbers if n not in self._known]
            self._known |= _sacct(forgotten) if forgotten else {}
            self._asked = time.monotonic()
        return {n: self._known.get(n, UNKNOWN) for n in numbers}


def _squeue() -> dict[str, State]:
    """Return all jobs of this user that wait, run, or ended some minutes ago."""
    form = "%i|%T|%r|%N"
    text = _call("squeue", "--me", "--array", "--states=all", "--noheader", f"--format={form}")
    rows = (line.split("|") for line in text.splitlines())
    return {row[0]: State(state=row[1], reason=row[2], node=row[3]) for row in rows if len(row) == 4}


def _sacct(numbers: Collection[str]) -> dict[str, State]:
    """Return what the accounting knows about jobs; {} on a cluster without accounting."""
    arrays = sorted({n.partition("_")[0] for n in numbers})
    words = ("--allocations", "--noheader", "--parsable2", "--format=JobID,State,NodeList")
    try:
        text = _call("sacct", *words, "--jobs", ",".join(arrays))
    except StepError:
        return {}
    found = {}
    for line in text.splitlines():
        number, state, node = line.split("|")
        word, _, by = state.partition(" by ")
        for one in _tasks(number):
            found[one] = State(state=word, reason=f"by user {by}" if by else "", node=node)
    return {n: found[n] for n in numbers if n in found}


def _tasks(number: str) -> list[str]:
    """Expand the tasks of an array that never started: `12_[0-2,5%4]` stands for four jobs."""
    array, bracket, spans = number.partition("_[")
    if not bracket:
        return [number]
    found = []
    for span in spans.rstrip("]").partition("%")[0].split(","):
        first, _, last = span.partition("-")
        found += [f"{array}_{i}" for i in range(int(first), int(last or first) + 1)]
    return found


def _call(*words: str) -> str:
    if not installed():
        raise StepError(f"this machine has no {words[0]}")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"{words[0]} does not answer ({type(error).__name__})") from error
    if done.returncode:
        raise StepError(f"{words[0]} failed: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout


def cancel(numbers: Collection[str]) -> None:
    """Cancel jobs.

    Raises:
        StepError: the controller does not answer.
    """
    if numbers:
        _call("scancel", *numbers)
