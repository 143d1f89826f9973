"""Files that are written whole or not at all, and checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import DataError

CLOCK_S = 60.0  # how long the measured lead of a file system's clock is believed

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again, finished work is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, finished work is kept",
    errno.EACCES: "no permission to write there; choose another place ({option})",
    errno.EPERM: "no permission to write there; choose another place ({option})",
    errno.EROFS: "the file system is read-only; choose another place ({option})",
    errno.EFBIG: "the file size limit is reached; raise it and run again, finished work is kept",
    errno.ENOTDIR: "a file is in the way; choose another place ({option})",
    errno.EEXIST: "a file is in the way; choose another place ({option})",
    errno.EISDIR: "a folder is in the way; choose another place ({option})",
    errno.ENAMETOOLONG: "the name is too long; choose another place ({option})",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing `path` into one clear line (`DataError`)."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise DataError(f"cannot write {path}: {advice.replace('{option}', _option(path))}") from error


def _option(path: Path) -> str:
    """Return what says where a file is written."""
    for variable in ("BENCH_DATA", "BENCH_CACHE"):
        root = os.environ.get(variable)
        if root and path.absolute().is_relative_to(Path(root).absolute()):
            return f"{variable}=DIR"
    return "--store DIR"


def write_atomic(
    path: Path, write: Callable[[BinaryIO], object] | bytes | str, *, durable: bool = True
) -> None:
    """Write a file beside its place, flush it to disk, then rename it there.

    Args:
        path: where the file will be; parents are made.
        write: the content, or a function that writes it to an open binary file.
        durable: False: do not wait for the disk; a power failure may leave a damaged file, never a killed
            process.

    Raises:
        DataError: disk full, no permission, read-only.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:  # not `tempfile`, whose files only their owner can read
                if callable(write):
                    write(file)
                else:
                    file.write(write.encode() if isinstance(write, str) else write)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path, option: str, *, folder: bool = False) -> None:
    """Make sure that an output can be written, before any work is done for it; leaves nothing behind.

    Args:
        path: the file, or the folder, that will be written.
        option: how the user named it, e.g. `--out`; stands in the message.
        folder: whether it is a folder.

    Raises:
        DataError: no permission, read-only, disk full, or something else is in the way.
    """
    try:
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = path if folder else path.parent
        while not place.exists() and place != place.parent:
            place = place.parent
        probe = place / f".writable-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            with probe.open("xb") as file:
                file.write(b" ")
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise DataError(f"{option}: cannot write {path}: {advice.replace(' ({option})', '')}") from error


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def canonical(value: Any) -> str:
    """Return the one JSON text of plain data: sorted keys, no blanks, no NaN."""
    return _CANONICAL.encode(value)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def age_s(path: Path, fresh_s: float) -> float:
    """Return how many seconds ago a file was last written or touched.

    The time stamps on a shared file system are its server's. Where this machine's clock does not say that the
    file is fresh, a file written now is asked for the time, so that a clock that is wrong decides nothing.

    Args:
        path: the file.
        fresh_s: up to this age the local clock is believed.

    Raises:
        OSError: there is no such file.
    """
    written = path.stat().st_mtime
    age = time.time() - written
    return age if 0 <= age < fresh_s else _server_time(path.parent) - written


_offsets: dict[
    int, tuple[float, float]
] = {}  # device -> when it was asked (monotonic), its lead over our clock


def _server_time(folder: Path) -> float:
    """Return the time of a folder's file system; ours, where nothing can be written."""
    device = folder.stat().st_dev
    asked, lead = _offsets.get(device, (-math.inf, 0.0))
    if time.monotonic() - asked > CLOCK_S:
        probe = folder / f".clock-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            probe.touch()
            lead = probe.stat().st_mtime - time.time()
            probe.unlink()
        except OSError:
            lead = 0.0
        _offsets[device] = time.monotonic(), lead
    return time.time() + lead


def quarantine(path: Path, mark: str = "corrupt") -> Path:
    """Move an unusable file or folder aside as `<name>.<mark>-<n>` and return its new place.

    Raises:
        OSError: it is gone (another process was faster), or the folder cannot be written.
    """
    n = 0
    while True:
        aside = path.with_name(f"{path.name}.{mark}-{n}")
        if not aside.exists():
            path.rename(aside)
            return aside
        n += 1
