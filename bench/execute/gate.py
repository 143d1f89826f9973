"""The regression gate: runs a small grid and holds its records against a baseline."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.checks import check_applies, check_plan
from bench.errors import ConfigError
from bench.exchange import grid_of, origins
from bench.execute.local import execute
from bench.files import check_writable
from bench.plan import Plan, expand
from bench.record_set import Record, RecordSet, read_set, write_set
from bench.report.regressions import Change, changes, markdown
from bench.request import Words, resolve
from bench.store import Store

PLACE = ("preset", "track", "mode", "protocol")  # what no comparison mixes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says."""

    passed: bool
    text: str  # Markdown
    changes: tuple[Change, ...]
    failed: tuple[str, ...]  # cells that could not be computed, with reasons


def check(
    file: Path,
    typed: Words | None,
    store: Path | None,
    *,
    config_dirs: tuple[str, ...] = (),
    update: bool,
    ratio: float,
    jobs: int | None,
) -> Verdict:
    """Run the grid of a baseline and compare.

    Args:
        file: the baseline; with `update` it need not exist and is written.
        typed: the grid of a new baseline; None = that of `file`.
        store: where results go, and are taken from where they are there already; None = a folder that is
            removed afterwards, so that everything is computed by the code as it is now.
        config_dirs: where the grid's adapters are found besides; no baseline tells the folders of a machine.
        update: write what was computed as the new baseline, whatever the comparison says.
        ratio: of samples per second, below which the gate fails.
        jobs: processes.

    Raises:
        ConfigError: the grid is wrong, or not that of the baseline.
        DataError: the baseline is missing, damaged, or holds no grid; the store cannot be written.
    """
    if update:
        check_writable(file, "--baseline")
    old = read_set(file) if file.exists() or not update else None
    words = replace(_words(file, old, typed, update), config_dirs=config_dirs)
    with ExitStack() as stack:
        root = store or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-check-")))
        place = Store(root)
        request = resolve(words, cache=place.root / "cache")
        plan = expand(request)
        check_plan(request, plan)
        check_applies(plan)
        differs = _differs(file, old, plan)
        if differs and not update:
            raise ConfigError(f"{differs}; nothing is compared. Write a new baseline with --update")
        place.prepare()
        there = _records(plan, place)
        outcome = execute(request, plan, place, jobs=jobs)
        records = _records(plan, place)
        failed = _failed(plan, place, outcome.failed)
    now = RecordSet(records=tuple(records), grid=grid_of(words))
    found = changes(old, now, ratio) if old and not differs else []
    notes = [f"failed: {name}" for name in failed]
    notes += [f"n/a: {c.method} on {c.encoder}, {c.task}: {c.reason}" for c in plan.cells if not c.step]
    if old:
        notes += [f"baseline: {line}" for line in origins(old.records)]
    notes += [f"now: {line}" for line in origins(records)]
    if there:
        notes.append(f"{len(there)} of the records now were in {root} already, and were not computed again")
    if differs:
        notes.append(f"not compared: {differs}")
    if update and not failed:
        write_set(file, now)
        notes.append(f"new baseline written to {file} ({len(records)} records)")
    passed = not failed and (update or not any(change.fails for change in found))
    return Verdict(
        passed=passed, text=_text(found, notes, failed, old), changes=tuple(found), failed=tuple(failed)
    )


def _text(found: Sequence[Change], notes: Sequence[str], failed: Sequence[str], old: RecordSet | None) -> str:
    text = markdown(found, notes)
    if failed:
        return text.replace("**passed**", "**failed**: not all cells could be computed", 1)
    return text if old else text.replace("**passed**", "no baseline yet", 1)


def _words(file: Path, old: RecordSet | None, typed: Words | None, update: bool) -> Words:
    """Return the grid to run.

    Raises:
        ConfigError: a grid was typed though the baseline has one, or there is none at all.
    """
    if typed and not update:
        raise ConfigError(
            f"the grid stands in {file}; leave out its words, or write a new baseline with --update"
        )
    if typed:
        return typed
    names = {f.name for f in fields(Words)}
    if not old or not old.grid or old.grid.keys() - names:
        raise ConfigError(
            f"{file} tells no grid; write it with bench check --baseline FILE --update and a grid"
        )
    return Words(**{**old.grid, "overrides": tuple(old.grid.get("overrides", ()))})


def _differs(file: Path, old: RecordSet | None, plan: Plan) -> str:
    """Say in what a baseline is of another kind than a plan's cells, "" where it is not."""
    if old is None:
        return ""
    specs = [cell.step.inputs[0].inputs[0].spec for cell in plan.cells if cell.step]
    for name in PLACE:
        before = sorted({str(record["labels"].get(name)) for record in old.of("score")})
        after = sorted({str(spec[name]) for spec in specs})
        if before != after:
            return (
                f"{file} is of {name} {', '.join(before) or 'none'}, the grid of {', '.join(after) or 'none'}"
            )
    return ""


def _records(plan: Plan, store: Store) -> list[Record]:
    """Return the records of a plan's cells, and of the stages that trained for them."""
    steps = {cell.step.key: cell.step for cell in plan.cells if cell.step}
    trained = {s.key: s for step in steps.values() for s in step.ancestors() if s.kind == "pretrain"}
    wanted = [*(s for s in trained.values() if s.spec["data"]), *steps.values()]
    return [record for step in wanted if (record := store.record(step)) is not None]


def _failed(plan: Plan, store: Store, reasons: dict[str, str]) -> list[str]:
    cells = [cell.step for cell in plan.cells if cell.step]
    cells = [step for step in cells if step.key in reasons or not store.done(step)]
    return [f"{step.slug}: {reasons.get(step.key, 'not finished')}" for step in cells]


def as_json(found: Verdict) -> dict[str, Any]:
    """Return the outcome as plain data."""
    return {
        "passed": found.passed,
        "failed_cells": list(found.failed),
        "changes": [{**asdict(change), "fails": change.fails} for change in found.changes],
    }
