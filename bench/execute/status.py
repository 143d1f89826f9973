"""What `bench plan` and `bench status` print. No torch; states are read off file names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench.console import table_lines
from bench.errors import StepError
from bench.execute.job_status import ActiveJob, live_jobs
from bench.execute.queue import Queue
from bench.grid.plan import Cell, Plan, Step
from bench.records.store import Store

LINES = 60  # cells listed one by one; larger plans are summed up


def _state(cell: Cell, store: Store, live: Mapping[str, ActiveJob]) -> tuple[str, str]:
    """Return state and reason of a cell, looking through its chain of steps and their SLURM jobs."""
    if cell.step is None:
        return "n/a", cell.reason
    if store.done(cell.step):
        return "done", ""
    states = {step: store.state(step) for step in [*cell.step.ancestors(), cell.step]}
    for step, state in states.items():
        if state == "running":
            return "running", _reason(step, "running", store)
    jobs = [live[step.key] for step in states if step.key in live]
    for job in jobs:
        if job.state.state == "RUNNING":
            return "running", job.text
    if cell.step.key in live:
        return "queued", live[cell.step.key].text
    for wanted in ("lost", "failed"):
        for step, state in states.items():
            if state == wanted:
                name = "blocked" if step.kind == "pretrain" and wanted == "failed" else wanted
                return name, _reason(step, wanted, store)
    return "missing", ""


def _reason(step: Step, state: str, store: Store) -> str:
    if state == "failed":
        failure = store.failure(step)
        return (
            f"{step.kind} {step.key} failed (attempt {failure.get('attempt')}): {failure.get('message', '')}"
        )
    if state == "lost":
        return f"{step.kind} {step.key}: its process is gone; run again to go on from its checkpoint"
    try:
        at = json.loads((store.folder(step) / "progress.json").read_text())
        return f"{step.kind} {step.key}: step {at['step']}/{at['steps']}, loss {at['loss']:g}"
    except (OSError, ValueError):
        return f"{step.kind} {step.key}"


def _rows(plan: Plan, store: Store, live: Mapping[str, ActiveJob]) -> list[dict[str, Any]]:
    rows = []
    for cell in plan.cells:
        state, reason = _state(cell, store, live)
        rows.append(
            {
                "method": cell.method,
                "encoder": cell.encoder,
                "task": cell.task,
                "protocol": cell.protocol,
                "budget": cell.budget,
                "seed": cell.seed,
                "state": state,
                "key": cell.step.key if cell.step else "",
                "reason": reason,
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = ("method", "encoder", "task", "protocol", "budget", "seed", "state", "key", "reason")
    shown = rows if len(rows) <= LINES else [r for r in rows if r["state"] not in ("done", "missing")][:LINES]
    lines = table_lines(names, [[row[name] for name in names] for row in shown])
    if len(shown) < len(rows):
        lines.append(f"({len(rows) - len(shown)} more cells; --json lists all)")
    return lines


def show_status(plan: Plan, store: Store, queue: Queue, *, as_json: bool) -> str:
    """Return the state of every cell, and the counts; SLURM is asked where jobs were submitted."""
    live, trouble = _jobs(store, queue)
    rows = _rows(plan, store, live)
    counts = Counter(r["state"] for r in rows)
    if as_json:
        return json.dumps({"counts": dict(counts), "cells": rows, "trouble": trouble}, indent=1)
    total = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
    lines = [*_table(rows), "", f"{len(rows)} cells: {total}"]
    return "\n".join(lines + ([f"Without the states of SLURM jobs: {trouble}"] if trouble else []))


def _jobs(store: Store, queue: Queue) -> tuple[dict[str, ActiveJob], str]:
    """Return the SLURM jobs that wait or run by the key of their step, and why that cannot be known."""
    try:
        return live_jobs(store, queue), ""
    except StepError as error:
        return {}, str(error)


def show_plan(plan: Plan, store: Store, *, as_json: bool) -> str:
    """Return the cells with what is cached, the steps left to run, and their estimated cost."""
    rows = _rows(plan, store, {})
    missing = [cell.step for cell in plan.cells if cell.step and not store.done(cell.step)]
    needed = {s.key for step in missing for s in (step, *step.ancestors())}  # nothing for imported records
    left = [s for s in plan.steps if s.key in needed and not store.done(s)]
    kinds = Counter(s.kind for s in left)
    samples = sum(_samples(s) for s in left)
    rates = _rates(plan, store)
    known = [s for s in left if _samples(s) and (s.kind, _encoder(s)) in rates]
    seconds = sum(_samples(s) / rates[s.kind, _encoder(s)] for s in known)
    unknown = sum(1 for s in left if _samples(s)) - len(known)
    cost = {
        "steps": dict(kinds),
        "training_samples": samples,
        "seconds": round(seconds),
        "steps_without_estimate": unknown,
    }
    if as_json:
        return json.dumps({"cells": rows, "left": cost}, indent=1)
    steps = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none"
    estimate = (
        f"about {seconds:.0f} s of training on one worker" if known else "no measured speed in this store yet"
    )
    if known and unknown:
        estimate += f", {unknown} steps without a measured speed"
    by_protocol = Counter(r["protocol"] for r in rows)
    of = ", ".join(f"{n} {protocol}" for protocol, n in by_protocol.items())
    cells = f"{len(rows)} cells ({of})"
    lines = [f"{cells}, {sum(r['state'] == 'done' for r in rows)} done. Steps to run: {steps}."]
    if left:
        lines.append(f"Training samples to see: {samples:,} ({estimate}).")
    return "\n".join([*_table(rows), "", *lines])


def _samples(step: Step) -> int:
    train = step.spec.get("train") or {}
    return int(train.get("steps", 0)) * int(train.get("batch", 0))


def _encoder(step: Step) -> str:
    return str(step.spec["encoder"]["name"])


def _rates(plan: Plan, store: Store) -> dict[tuple[str, str], float]:
    """Return measured samples/s by kind of step and encoder, from this plan's finished steps."""
    rates: dict[tuple[str, str], float] = {}
    for step in plan.steps:
        if _samples(step) and (step.kind, _encoder(step)) not in rates and store.done(step):
            record = store.record(step)
            if record and record["cost"].get("samples_per_s"):
                rates[step.kind, _encoder(step)] = float(record["cost"]["samples_per_s"])
    return rates
