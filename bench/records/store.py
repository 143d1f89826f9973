"""The store: one folder per step; what a step's state is can be read off its files alone.

    store/<kind>/<slug>-<key>/  spec.json claim.json checkpoint-*.pt weights.safetensors ... record.json

A valid `record.json`, written last, means *done*; `failure.json` *failed*; a claim with a fresh heartbeat
*running*; an old claim *lost*. Nothing is overwritten: damaged files are moved aside, and those of another
version of the project are left as they are.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from bench import caches
from bench.console import warn
from bench.errors import BenchError, DataError, VersionError, told
from bench.files import check_writable, quarantine, write_atomic, writing
from bench.grid.plan import Step
from bench.records.claims import Claim, holder, is_live, slurm_job, start
from bench.records.record import KINDS, read_record, write_record

CLAIM = "claim.json"
FAILURE = "failure.json"
FAILURE_FORMAT = 1
State = Literal["done", "running", "lost", "failed", "blocked", "missing"]


def _set_aside(path: Path) -> str:
    """Move a damaged file aside; say what came of it.

    Raises:
        FileNotFoundError: it is gone.
    """
    try:
        return f"moved to {quarantine(path).name}"
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"it cannot be moved aside ({error.strerror})"


def read_failure(folder: Path) -> dict[str, Any]:
    """Return message, traceback and attempt of a step's last failure ({} where there is none)."""
    try:
        found = json.loads((folder / FAILURE).read_bytes())
    except (OSError, ValueError):
        return {}
    if _of_another_version(found):
        return {"message": f"{FAILURE} is of another version of bodybench", "attempt": 0}
    try:
        return {**found, "attempt": int(found["attempt"])}
    except (ValueError, TypeError, KeyError):
        return {}


def _of_another_version(failure: Any) -> bool:
    return isinstance(failure, dict) and failure.get("format", FAILURE_FORMAT) != FAILURE_FORMAT


def _keep_foreign_failure(folder: Path) -> None:
    """Move the failure of another version aside, which is about to be replaced."""
    with suppress(OSError, ValueError):
        if _of_another_version(json.loads((folder / FAILURE).read_bytes())):
            quarantine(folder / FAILURE, "other-version")


class Store:
    """A directory of step folders, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, Path] = {}
        self._told: set[Path] = set()

    def folder(self, step: Step) -> Path:
        """Return the folder of a step; it may not exist yet."""
        if step.key not in self._folders:
            self._folders[step.key] = self.root / step.kind / f"{step.slug}-{step.key}"
        return self._folders[step.key]

    @property
    def data(self) -> Path:
        """Return where rendered data is cached (`BENCH_DATA` overrides)."""
        return Path(os.environ.get("BENCH_DATA") or self.root / "data").expanduser()

    def prepare(self) -> None:
        """Make the store's folder, make sure that what is in it can be written, and settle where caches are.

        Raises:
            DataError: no permission, disk full, read-only.
        """
        check_writable(self.root, "--store", folder=True)
        for name in (*KINDS, "bounds", "plans", "leaderboard"):
            if (self.root / name).exists():
                check_writable(self.root / name, "--store", folder=True)
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        caches.settle(self.root)

    def done(self, step: Step) -> bool:
        """Say whether a step has a record (not yet validated)."""
        return (self.folder(step) / "record.json").is_file()

    def record(self, step: Step) -> dict[str, Any] | None:
        """Return a step's valid record; a damaged one is moved aside, reported and treated as missing.

        None also where it is of another version, see `foreign`.
        """
        path = self.folder(step) / "record.json"
        if not path.is_file():
            return None
        try:
            record = read_record(path)
            if record["key"] != step.key:
                raise DataError(f"record {path} belongs to step {record['key']}")
            return record
        except VersionError as error:
            if path not in self._told:
                self._told.add(path)
                warn(f"{error}; skipped and left as it is")
            return None
        except DataError as error:
            with suppress(FileNotFoundError):  # another process was faster
                warn(f"{error}; {_set_aside(path)}, the step will be computed again")
            return None

    def foreign(self, step: Step) -> str:
        """Say why neither a step nor its inputs can be computed here: a record of another version, or ""."""
        for needed in (*step.ancestors(), step):
            path = self.folder(needed) / "record.json"
            try:
                if path.is_file():
                    read_record(path)
            except VersionError as error:
                return f"{error}; use that version of bodybench, or another --store"
            except DataError:
                continue
        return ""

    def state(self, step: Step) -> State:
        """Derive the state of a step from its files."""
        folder = self.folder(step)
        names: list[str] = []
        with suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208  thousands of folders are looked at
        if "record.json" in names:
            return "done"
        if CLAIM in names:
            return "running" if is_live(folder / CLAIM) else "lost"
        if FAILURE in names:
            return "failed"
        if any(self.state(i) in ("failed", "blocked") for i in step.inputs):
            return "blocked"
        return "missing"

    def failure(self, step: Step) -> dict[str, Any]:
        """Return what is known of a step's last failure ({} where there is none)."""
        return read_failure(self.folder(step))

    def finish(self, step: Step, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write the record of a step; earlier failures are forgotten."""
        folder = self.folder(step)
        record = write_record(folder / "record.json", {"kind": step.kind, "key": step.key, **body})
        _keep_foreign_failure(folder)
        (folder / FAILURE).unlink(missing_ok=True)
        return record

    def fail(self, step: Step, error: BaseException, **facts: str) -> None:
        """Keep reason and traceback of a failure beside the step; `facts` come on top.

        Of several failures in one start of a job, e.g. of processes that train together, the first counts.
        """
        earlier, now = self.failure(step), start()
        if now and earlier.get("start") == now:
            return
        attempt = int(earlier.get("attempt", 0)) + 1
        content = {
            "error": type(error).__name__,
            "message": told(error) or type(error).__name__,
            "expected": isinstance(error, BenchError),
            "attempt": attempt,
            "traceback": "".join(traceback.format_exception(error)),
            "job": slurm_job(),
            "start": now,
            "format": FAILURE_FORMAT,
            **facts,
        }
        _keep_foreign_failure(self.folder(step))
        write_atomic(self.folder(step) / FAILURE, json.dumps(content, indent=1))

    def first_failed(self, step: Step) -> Step | None:
        """Return the first step with a stored failure among a step's inputs and itself."""
        return next((s for s in (*step.ancestors(), step) if self.failure(s)), None)

    def why(self, step: Step) -> str:
        """Say why a step is not done: the first failure among its inputs and itself; "" = unknown."""
        failed = self.first_failed(step)
        return f"{failed.slug}: {self.failure(failed)['message']}" if failed else self.foreign(step)

    def holder(self, step: Step) -> str:
        """Say which other process works on a step or on what it needs; "" where none does."""
        for needed in (*step.ancestors(), step):
            if who := holder(self.folder(needed) / CLAIM):
                return f"{who} (claim on {needed.kind} {needed.slug} {needed.key})"
        return ""

    def claim(self, step: Step) -> Claim:
        """Return the claim on a step, to be held while working on it."""
        return Claim(self.folder(step) / CLAIM)
