"""Where a user's own data sets lie: registered once by `bench data add`, read by plans and by adapters.

The folder stands in a file of the user; the digest of its annotations enters the keys, the path never does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from bench import caches
from bench.errors import AssetError, DataError
from bench.files import write_atomic

VARIABLE = "BENCH_PLACES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A data set of the user."""

    root: str
    digest: str  # of the annotations, 16 hex digits
    counts: Mapping[str, Mapping[str, int]]  # source -> split -> samples


def file() -> Path:
    """Return the file of places: `BENCH_PLACES`, or `bodybench/data.json` among the user's settings."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    home = caches.home()
    settings = os.environ.get("XDG_CONFIG_HOME") or (home / ".config" if home else caches.folder())
    return Path(settings) / "bodybench" / "data.json"


def all_registered() -> dict[str, Registered]:
    """Return all data sets that were added, by name.

    Raises:
        DataError: the file is damaged.
    """
    path = file()
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Registered])
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it and add the data sets again") from error


def add(name: str, entry: Registered) -> Path:
    """Register a data set, or another folder for it; return the file."""
    known = {**all_registered(), name: entry}
    write_atomic(
        file(), json.dumps({n: asdict(e) for n, e in known.items()}, indent=1, sort_keys=True) + "\n"
    )
    return file()


def registered(name: str, digest: str = "") -> Registered:
    """Return where a data set lies.

    Raises:
        AssetError: it was not added, or other annotations lie there now than were planned with.
    """
    entry = all_registered().get(name)
    if entry is None:
        raise AssetError(f"data set {name} is not on this machine; run `bench data add {name} FOLDER`")
    if digest and entry.digest != digest:
        raise AssetError(f"data set {name} was added anew with other annotations; run the command again")
    return entry
