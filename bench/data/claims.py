"""Claims: a small file says which live process works on something, so that others leave it alone.

A claim is advice, not a lock: results are put in place by an atomic rename, so two holders waste time and
harm nothing. A claim whose process is gone, or without a sign of life for a minute, is taken over.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.files import writing

STALE_S = 60.0


class Claim:
    """Context manager around the work; `held` says whether this process may do it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = False

    def __enter__(self) -> Claim:
        """Take the claim if it is free or its owner is gone.

        Raises:
            DataError: the folder cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.held = self._take() or (self._stale() and self._take())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.held:
            self.path.unlink(missing_ok=True)
            self.held = False

    def beat(self) -> None:
        """Show that the work goes on; call it at least every few seconds."""
        with suppress(OSError):
            os.utime(self.path)

    def _take(self) -> bool:
        try:
            with self.path.open("x") as file:
                json.dump(_myself(), file)
        except FileExistsError:
            return False
        return True

    def _stale(self) -> bool:
        """Remove the claim if its owner is gone."""
        try:
            age = time.time() - self.path.stat().st_mtime
            text = self.path.read_text()
        except FileNotFoundError:
            return True
        try:
            owner = json.loads(text)
        except ValueError:
            owner = {}  # being written right now, or its writer died doing so
        if age < STALE_S and not _gone(owner):
            return False
        aside = self.path.with_name(f"{self.path.name}-stale-{os.getpid()}-{time.monotonic_ns()}")
        with suppress(FileNotFoundError):
            self.path.rename(aside)  # of several processes one succeeds
            aside.unlink(missing_ok=True)
        return True


def _myself() -> dict[str, str | int]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }


def _gone(owner: dict[str, str | int]) -> bool:
    """Say whether the owner ran on this machine and does not any more; False when that cannot be known."""
    if owner.get("host") != socket.gethostname() or owner.get("boot") != _boot():
        return False
    return _started(int(owner.get("pid", 0))) != owner.get("started")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a live process, so that a reused number is noticed; empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "alive"
    return "" if fields[0] == "Z" else fields[19]
