"""Claims: a small file says which live process works on something, so that others leave it alone.

The owner touches its claim every few seconds. A claim is taken over where its process is known to be gone, or
where whoever wants it has seen it unchanged for a minute: clocks may be wrong or set back and decide nothing.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.files import age_s, write_atomic, writing

HEARTBEAT_S = 5.0
STALE_S = 60.0


class Claim:
    """Context manager around the work on something; `held` says whether this process may do it.

    Args:
        path: the claim's file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = False
        self._mine = {**_myself(), "token": os.urandom(8).hex()}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Claim:
        """Take the claim if it is free or its owner is gone.

        Raises:
            DataError: the folder cannot be written.
        """
        from filelock import FileLock

        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(_lock(self.path)):  # for microseconds; freed at death
                if not _holds(self.path):
                    for rest in self.path.parent.glob(f".{self.path.name}-*"):  # of a killed process
                        rest.unlink(missing_ok=True)
                    write_atomic(self.path, json.dumps(self._mine))
                    self.held = True
        if self.held:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the claim back, unless this process slept so long that another one took it over."""
        from filelock import FileLock

        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        if self.held:
            self.held = False
            with (
                suppress(OSError),
                FileLock(_lock(self.path)),
            ):  # a claim that stays behind is seen to be lost
                if _owner(self.path) == self._mine:
                    self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with suppress(OSError):
                if _owner(self.path) == self._mine:
                    os.utime(self.path)


def is_live(path: Path) -> bool:
    """Say whether a claim exists and its owner seems to be at work; for display, where nobody waits to see.

    At the first look all that tells is the time stamp: far from now, in the past or in the future, it counts
    as old.
    """
    if not _holds(path):
        return False
    if _seen[path].changed:
        return True
    try:
        return abs(age_s(path, STALE_S)) < STALE_S
    except OSError:
        return False


def holder(path: Path) -> str:
    """Return in words who holds a claim: host, process, SLURM job; "" where nobody does."""
    owner = _owner(path)
    if not owner:
        return ""
    names = {"process": "pid", "SLURM job": "job"}
    words = [f"{name} {owner[key]}" for name, key in names.items() if owner.get(key)]
    return ", ".join([*words, f"on {owner.get('host', 'an unknown host')}"])


def died(path: Path, pid: int) -> bool:
    """Say whether a claim is that of a process of this machine that is gone."""
    owner = _owner(path)
    return owner.get("pid") == pid and _gone(owner)


@dataclass(slots=True)
class _Sight:
    """What this process has seen of a claim."""

    stamp: tuple[int, bytes]
    since: float  # monotonic: when the stamp was first seen
    changed: bool = False  # whether it was another one before


_seen: dict[Path, _Sight] = {}


def _holds(path: Path) -> bool:
    """Say whether a claim has to be respected: its owner is not known to be gone, nor silent for too long."""
    try:
        with path.open("rb") as file:  # opened, so that a network file system asks its server for the stamp
            content, written = file.read(), os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        _seen.pop(path, None)
        return False
    owner = _parsed(content)
    if not owner or _gone(owner):
        return False
    stamp, now = (written, content), time.monotonic()
    sight = _seen.setdefault(path, _Sight(stamp, now))
    if sight.stamp != stamp:
        sight.stamp, sight.since, sight.changed = stamp, now, True
    return now - sight.since < STALE_S


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _owner(path: Path) -> dict[str, Any]:
    """Return who holds a claim; {} where there is none or it is damaged."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return {}


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the entries of a claim, also of another version's; {} where it is damaged."""
    try:
        owner = json.loads(content)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def slurm_job() -> str:
    """Return the SLURM job that this process is part of, as `12` or `12_3`; "" outside of SLURM."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def ours(path: Path) -> str:
    """Return the token of a claim that another process of this SLURM job holds, in this start; else ""."""
    owner, job = _owner(path), slurm_job()
    mine = bool(job) and owner.get("job") == job and owner.get("restarts") == _restarts()
    return str(owner.get("token", "")) if mine else ""


def release(path: Path, job: str) -> bool:
    """Remove the claim of a SLURM job that is known to have ended; say whether it had one."""
    from filelock import FileLock

    if _owner(path).get("job") != job:
        return False
    with suppress(OSError), FileLock(_lock(path)):
        if _owner(path).get("job") == job:
            path.unlink(missing_ok=True)
    return True


def _myself() -> dict[str, str | int]:
    pid = os.getpid()
    mine: dict[str, str | int] = {"host": socket.gethostname(), "boot": _boot(), "pid": pid}
    mine["started"] = _started(pid)
    if job := slurm_job():
        mine |= {"job": job, "restarts": _restarts()}
    return mine


def start() -> str:
    """Return which start of which SLURM job this process is part of; "" outside of SLURM."""
    job = slurm_job()
    return f"{job}/{_restarts()}" if job else ""


def _restarts() -> str:
    """Return how often SLURM has started the job of this process again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0")


def _gone(owner: dict[str, Any]) -> bool:
    """Say whether the owner ran on this machine and does not any more; False when that cannot be known.

    An earlier start of the same SLURM job is gone wherever it ran, or SLURM would not have started it again.
    """
    job = slurm_job()
    if job and owner.get("job") == job and owner.get("restarts") != _restarts():
        return True
    if owner.get("host") != socket.gethostname() or owner.get("boot") != _boot():
        return False
    if not isinstance(owner.get("pid"), int) or "started" not in owner:  # of another version
        return False
    return _started(owner["pid"]) != owner.get("started")


def _boot() -> str:
    """Return what process numbers are relative to: this start of the machine and the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return the start time of a live process, so that a reused number is noticed; "" where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "alive"
    return "" if fields[0] == "Z" else fields[19]
