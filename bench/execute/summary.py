"""The end of a run: leaderboard and plots of what it asked for, failures, exit code."""

from __future__ import annotations

import json

import click

from bench.console import warn
from bench.execute.local import Outcome
from bench.grid.plan import Plan
from bench.records.store import Store


def finish(plan: Plan, store: Store, outcome: Outcome, *, as_json: bool) -> int:
    """Write and print the leaderboard of the plan's cells; return the exit code (1 = some cells failed)."""
    done = (c.step.key for c in plan.cells if c.step and store.done(c.step))
    keys = frozenset(key for key in done if key not in outcome.failed)
    out = store.root / "leaderboard"
    files: list[str] = []
    if keys:
        from bench.report.write import report

        result = report(store.root, out, select=keys)
        files = [str(p) for p in result.paths]
        for problem in result.problems:
            warn(problem)
        if not as_json:
            click.echo(result.terminal)
    failures = _failures(plan, store, outcome)
    if as_json:
        body = {"cells": len(plan.cells), "done": len(keys), "computed_steps": outcome.computed}
        click.echo(
            json.dumps({**body, "failed": failures, "files": files, "seconds": round(outcome.seconds, 1)})
        )
        return 1 if failures else 0
    for cell in plan.cells:
        if cell.step is None:
            where = f"{cell.method} on {cell.encoder}, {cell.task}, {cell.protocol}, {cell.budget}"
            click.echo(f"n/a: {where}: {cell.reason}")
    if failures:
        click.echo("\nfailed cells (the others ran; run the same command again to retry):")
        for name, reason in failures.items():
            click.echo(f"  {name}: {reason}")
    where = f"files in {out}" if files else "no leaderboard was written"
    click.echo(
        f"\n{len(keys)} of {len(plan.cells)} cells done, {outcome.computed} jobs computed "
        f"in {outcome.seconds:.0f} s; {where}"
    )
    return 1 if failures else 0


def _failures(plan: Plan, store: Store, outcome: Outcome) -> dict[str, str]:
    found = {}
    for cell in plan.cells:
        if cell.step and (cell.step.key in outcome.failed or not store.done(cell.step)):
            reason = outcome.failed.get(cell.step.key, "not finished")
            found[f"{cell.step.slug} {cell.step.key}"] = reason
    return found
