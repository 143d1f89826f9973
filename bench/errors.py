"""Errors that a user can act on. The command line prints them as one line and leaves with `exit_code`.

BenchError
├── ConfigError   wrong name, key, value or combination; nothing was computed
├── DataError     a data set, shard, record or checkpoint is missing, corrupt or inconsistent
│   └── VersionError  a file that another version of the project wrote; never damage, left as it is
├── AssetError    a file that the user must supply (weights, licensed models) is missing or unusable
└── StepError     a step of the grid failed while computing (NaN loss, unreadable input)
"""

from __future__ import annotations

import difflib
import sysconfig
import traceback
from collections.abc import Iterable


class BenchError(Exception):
    """Root of all errors with a message for the user: what is wrong, where, what to do."""

    exit_code = 2


class ConfigError(BenchError):
    """A name, key, value or combination that cannot be used."""


class DataError(BenchError):
    """Data that is missing, corrupt or inconsistent."""


class VersionError(DataError):
    """A file of another version of the project: not damaged, so it is left as it is."""


class AssetError(BenchError):
    """A file that the user has to supply is missing or unusable."""


class StepError(BenchError):
    """A step failed while computing."""

    exit_code = 1


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean "x"?` for the closest known name, or the list of names."""
    names = sorted(known)
    longer = [word for word in names if name in word.split("_")]
    if len(longer) == 1:
        return f' Did you mean "{longer[0]}"?'
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f' Did you mean "{close[0]}"?'
    return f" Known: {', '.join(names)}." if names else ""


def told(error: BaseException) -> str:
    """Return an error in one line: ours as they are, any other with its kind and the line that led to it.

    That is the last one outside of libraries, whose lines tell a user nothing.
    """
    text = " ".join(str(error).split())
    if isinstance(error, BenchError):
        return text
    lines = traceback.extract_tb(error.__traceback__)
    libraries = ("site-packages", sysconfig.get_path("stdlib"), "<frozen")
    last = [line for line in lines if not any(where in line.filename for where in libraries)] or lines
    place = f" ({last[-1].filename.rpartition('/')[2]}, line {last[-1].lineno})" if last else ""
    return f"{type(error).__name__}{text and f': {text}'}{place}"
