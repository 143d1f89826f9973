"""Launches: a fresh folder per submission in the store, with a line per array and the logs of its jobs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.console import warn
from bench.files import age_s, writing
from bench.records.store import Store

ARRAYS = "arrays.jsonl"  # a line per call of sbatch: job number, keys of the steps in the order of the tasks
ENDED = "ended.txt"  # jobs that need no more looking after


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job that brings a step to `done`."""

    number: str  # "12", or "12_3" in an array
    key: str  # of the step
    folder: Path  # of the launch

    @property
    def logs(self) -> list[Path]:
        """Return what the processes of the job wrote to standard error."""
        return sorted(self.folder.glob(f"{self.number}_*_log.err"))

    @property
    def age_s(self) -> float:
        """Return the seconds since its launch last submitted something."""
        try:
            return age_s(self.folder / ARRAYS, 0.0)
        except OSError:
            return float("inf")


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Keep others from submitting to this store, so that two at once do not submit the same step."""
    from filelock import FileLock

    folder = store.root / "launches"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def fresh(store: Store) -> Path:
    """Make and return the folder of a new launch."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"
    folder = store.root.resolve() / "launches" / name
    with writing(folder):
        folder.mkdir(parents=True)
    return folder


def note(folder: Path, numbers: Sequence[str], keys: Sequence[str]) -> None:
    """Note an array right after it was submitted, so that nothing submitted is ever forgotten."""
    _append(folder / ARRAYS, json.dumps({"jobs": list(numbers), "keys": list(keys)}))


def close(jobs: Iterable[Job]) -> None:
    """Note that jobs have ended and that what is to be said about them is in the store."""
    for job in jobs:
        _append(job.folder / ENDED, job.number)


def pending(store: Store) -> list[Job]:
    """Return the jobs that are not known to have ended, in the order in which they were submitted."""
    found: list[Job] = []
    for path in sorted((store.root.resolve() / "launches").glob(f"*/{ARRAYS}")):
        ended: set[str] = set()
        with suppress(OSError):
            ended = set((path.parent / ENDED).read_text(encoding="utf-8").split())
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                array = json.loads(line)
                pairs = list(zip(array["jobs"], array["keys"], strict=True))
            except ValueError:  # a line of a process that was killed while it wrote
                continue
            except (TypeError, KeyError):
                warn(f"{path}: a line is of another version of bodybench; skipped and left as it is")
                continue
            found += [Job(number=n, key=k, folder=path.parent) for n, k in pairs if n not in ended]
    return found


def tail(path: Path, lines: int = 20) -> list[str]:
    """Return the last lines of a log that are not empty; [] where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 100 * lines * 2))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip()[:400] for line in text.splitlines() if line.strip()][-lines:]


def _append(path: Path, line: str) -> None:
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
