"""Where things are kept that can be made again: compiled kernels, tables of distances, lists of fonts.

`BENCH_CACHE` names the folder; else it is `bodybench` in the user's cache, where that can be written, else a
folder of the store, else one in the temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.files import writing

VARIABLE = "BENCH_CACHE"
FONTS = "MPLCONFIGDIR"  # matplotlib's own variable


def settle(store: Path) -> None:
    """Use a folder of the store, also in processes started later, if the user's cache cannot be written."""
    if is_writable(_of_user()):
        return
    os.environ.setdefault(VARIABLE, str((store / "cache").absolute()))
    os.environ.setdefault(FONTS, str(Path(os.environ[VARIABLE]) / "matplotlib"))


def folder() -> Path:
    """Return the folder, made and found to be writable.

    Raises:
        DataError: `BENCH_CACHE` names one that cannot be written, or none can.
    """
    if named := os.environ.get(VARIABLE):
        with writing(Path(named)):
            _try(Path(named))
        return Path(named)
    for place in (_of_user(), _of_machine()):
        if place is not None and is_writable(place):
            return place
    raise DataError(f"no folder for caches can be written; name one with {VARIABLE}=DIR")


def is_writable(place: Path | None) -> bool:
    """Say whether files can be written into a folder, which is made."""
    if place is None:
        return False
    try:
        _try(place)
    except OSError:
        return False
    return True


def home() -> Path | None:
    """Return the user's home; None for a user without one, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


@contextmanager
def numba_cache(numba: Any, place: Path | str) -> Iterator[None]:
    """Let functions that are decorated inside keep their machine code in a folder."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(place)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _try(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"x")


def _of_user() -> Path | None:
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "bodybench"
    found = home()
    return found / ".cache" / "bodybench" if found else None


def _of_machine() -> Path | None:
    """A folder that no other user can put anything into."""
    try:
        place = Path(tempfile.gettempdir()) / f"bodybench-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        return place if place.stat().st_uid == os.getuid() and not place.is_symlink() else None
    except OSError:
        return None
