"""Plans that are kept in a store: what was asked for, readable by other processes and other machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.console import warn
from bench.errors import BenchError, ConfigError, DataError, VersionError
from bench.files import sha256_text, write_atomic
from bench.grid.plan import Cell, Plan, Step, expand
from bench.grid.request import Request, from_json, to_json
from bench.records.store import Store

FORMAT = 1  # of a kept plan; raise when older versions of the project could not read it


def keep(request: Request, store: Store) -> Path:
    """Write a request into the store, so that others find out what was asked for; return its file."""
    body = json.dumps({"format": FORMAT, **json.loads(to_json(request))})
    path = store.root / "plans" / f"{sha256_text(body)[:16]}.json"
    write_atomic(path, body)
    return path


def read(path: Path) -> tuple[Request, Plan]:
    """Read a request that was kept, and expand it.

    Raises:
        DataError: the file is missing or damaged.
        VersionError: it is of another version.
    """
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a plan ({type(error).__name__}); run the grid again"
        ) from error
    found = body.pop("format", FORMAT) if isinstance(body, dict) else None
    if found != FORMAT:
        raise VersionError(f"plan {path} is of format {found!r}, this version reads {FORMAT}")
    try:
        request = from_json(body)
        return request, expand(request)
    except (BenchError, TypeError, KeyError, ValueError, AttributeError, LookupError) as error:
        raise VersionError(f"plan {path} is of another version of bodybench ({error!r})") from error


def kept(store: Store) -> Plan:
    """Return the plan of all grids that were run on a store, empty where there was none.

    What cannot be read is skipped with a line: plans of other versions stay for those.
    """
    cells: dict[Any, Cell] = {}
    steps: dict[str, Step] = {}
    for path in sorted((store.root / "plans").glob("*.json")):
        try:
            plan = read(path)[1]
        except DataError as error:
            warn(f"{error}; skipped and left as it is")
            continue
        steps |= {step.key: step for step in plan.steps}
        for cell in plan.cells:
            na = (cell.method, cell.encoder, cell.task, cell.protocol, cell.budget)
            cells[cell.step.key if cell.step else na] = cell
    return Plan(cells=tuple(cells.values()), steps=tuple(steps.values()))


def stored_plan(store: Store) -> Plan:
    """Return the plan of all grids that were run on a store.

    Raises:
        ConfigError: there was none.
    """
    plan = kept(store)
    if not plan.cells:
        raise ConfigError(f"no grid has been run on {store.root}; name a store with --store DIR, or a grid")
    return plan


def left(plan: Plan, store: Store) -> tuple[dict[str, Step], dict[str, Step]]:
    """Return by key the stages and the cells (their score steps) without a valid record, but for `barred`."""
    cells = {c.step.key: c.step for c in plan.cells if c.step}
    missing = {k: s for k, s in cells.items() if store.record(s) is None and not store.foreign(s)}
    wanted = {s.key: s for cell in missing.values() for s in cell.ancestors() if s.kind == "pretrain"}
    return {k: s for k, s in wanted.items() if store.record(s) is None}, missing


def barred(plan: Plan, store: Store) -> dict[str, str]:
    """Return by key, with reasons, the cells that another version of the project has computed or begun."""
    steps = [c.step for c in plan.cells if c.step and store.record(c.step) is None]
    return {step.key: reason for step in steps if (reason := store.foreign(step))}


def only_failed(plan: Plan, store: Store) -> Plan:
    """Return the cells of a plan that failed, or wait for something that failed; with all their steps."""
    cells = tuple(cell for cell in plan.cells if cell.step and _failed(cell.step, store))
    steps = {s.key for cell in cells if cell.step for s in (*cell.step.ancestors(), cell.step)}
    return Plan(cells=cells, steps=tuple(s for s in plan.steps if s.key in steps))


def _failed(step: Step, store: Store) -> bool:
    if store.done(step):
        return False
    return any(store.state(s) == "failed" for s in (*step.ancestors(), step))
