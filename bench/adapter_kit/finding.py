"""What a check says, and how checks are run one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bench.errors import BenchError, told

State = Literal["ok", "failed", "n/a"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    state: State
    reason: str = ""  # what is wrong, or why the check does not apply
    seconds: float = 0.0


class ContractViolation(BenchError):
    """A promise of the contract does not hold; the text says which and where."""


class NotApplicable(Exception):
    """A check that says nothing about this adapter; the text says why."""


Check = tuple[str, Callable[[], None]]


def run(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run checks in order; one that fails does not stop the others."""
    for name, check in checks:
        begun = time.monotonic()
        state, reason = _outcome(check)
        yield Finding(check=name, state=state, reason=reason, seconds=time.monotonic() - begun)


def _outcome(check: Callable[[], None]) -> tuple[State, str]:
    try:
        check()
    except NotApplicable as error:
        return "n/a", str(error)
    except Exception as error:  # whatever the adapter's code raises is its finding
        return "failed", told(error)
    return "ok", ""
