"""Data sets of a plan: which are needed, and building, checking and showing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.console import is_terminal, live_line, warn
from bench.errors import ConfigError, nearest
from bench.files import canonical
from bench.plan import Plan, Step
from bench.store import Store

DataSpec = Mapping[str, Any]


def specs_of_step(step: Step) -> list[DataSpec]:
    """Return the data specs that a step reads (a score step: those of its whole chain after pretraining)."""
    own = step.spec.get("data") or {}
    specs = [own] if "parts" in own else list(own.values())
    if step.kind in ("predict", "score"):
        specs += specs_of_step(step.inputs[0])
    return specs


def specs_of(plan: Plan) -> list[DataSpec]:
    """Return all data specs of a plan, each once, pretraining first."""
    found = {canonical(spec): spec for step in plan.steps for spec in specs_of_step(step)}
    return list(found.values())


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_all(specs: Iterable[DataSpec], store: Store, jobs: int | None) -> str:
    """Render what is missing and report how much that was."""
    from bench.data.build import build
    from bench.data.synthetic import Synthetic

    tell = _Teller()
    try:
        done = build(list(specs), store.data, Synthetic(), jobs=jobs or cores(), on_progress=tell)
    finally:
        tell.end()
    return (
        f"{done} samples rendered into {store.data}"
        if done
        else f"nothing to do; all samples are in {store.data}"
    )


def verify_all(specs: Iterable[DataSpec], store: Store) -> list[str]:
    """Check every checksum of the data sets; return one line per problem."""
    from bench.data.build import verify
    from bench.data.synthetic import Synthetic

    problems = [p for spec in specs for p in verify(spec, store.data, Synthetic())]
    return list(dict.fromkeys(problems))


def show_all(specs: Sequence[DataSpec], store: Store, out: Path) -> str:
    """Write a contact sheet of the first samples of each data set."""
    from bench import caches
    from bench.data.show import show

    caches.settle(store.root)
    return "\n".join(str(p) for p in show(specs, store.data, out))


def manifest_all(specs: Iterable[DataSpec], store: Store, split: str) -> str:
    """Return a table of all splits (samples, people, SHA-256), or the ids of one split.

    Raises:
        ConfigError: no such split.
    """
    from bench.data import manifest
    from bench.data.people import part_ids

    found = {
        f"{p['domain']}/{p['split']}": part_ids(spec, i)
        for spec in specs
        for i, p in enumerate(spec["parts"])
    }
    if split:
        if split not in found:
            raise ConfigError(f'unknown split "{split}".{nearest(split, found)}')
        return "\n".join(found[split])
    return "\n".join(
        f"{name:<24} {len(ids):>7} samples  {manifest.sha256(ids)}" for name, ids in found.items()
    )


class _Teller:
    """A progress bar on a terminal, a line every ten percent elsewhere."""

    def __init__(self) -> None:
        self.shown = -1
        self.line = live_line() if is_terminal() else None

    def __call__(self, done: int, total: int) -> None:
        share = done * 100 // max(1, total)
        if self.line:
            if not self.line.tasks:
                self.line.add_task("rendering")
                self.line.start()
            self.line.update(self.line.task_ids[0], completed=done, total=total)
        elif share // 10 != self.shown:
            self.shown = share // 10
            warn(f"rendering {done}/{total}")

    def end(self) -> None:
        if self.line:
            self.line.stop()
