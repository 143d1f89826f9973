"""Commands about a grid: run it, plan it, see how far it is, rebuild its leaderboard."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bench.cli.options import UserPath, config_dir_option, grid_options, json_option, store_option
from bench.console import warn
from bench.errors import ConfigError
from bench.files import check_writable

if TYPE_CHECKING:
    from bench.grid.plan import Plan
    from bench.grid.request import Request, Words
    from bench.records.store import Store


def grid_words(options: dict[str, Any]) -> Words:
    """Return the words of a grid among the options of a command."""
    from bench.grid.request import Words

    lists = ("methods", "tasks", "fractions", "shots", "seeds", "encoders", "protocol", "rates")
    names = (*lists, "preset", "track", "mode")
    return Words(
        **{**{name: options[name] for name in names}, **_beside(options)},
        weights=tuple(options["weights"]),
        config_dirs=tuple(options["config_dirs"]),
        overrides=tuple(options["overrides"]),
    )


def _beside(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what runs beside weights where no methods are typed: what has no weights."""
    from bench.grid.request import BASELINE

    typed = click.get_current_context().get_parameter_source("methods") is ParameterSource.COMMANDLINE
    return {"methods": BASELINE} if options["weights"] and not typed else {}


def planned(options: dict[str, Any]) -> tuple[Request, Plan, Store]:
    """Resolve and expand the grid that was typed."""
    from bench.grid.plan import expand
    from bench.grid.request import resolve
    from bench.records.store import Store

    store = Store(Path(options["store"]))
    request = resolve(grid_words(options))
    return request, expand(request), store


def _checked(options: dict[str, Any]) -> tuple[Request, Plan, Store]:
    """Return the grid that was typed after all checks that need no torch; say what is stale in its store."""
    from bench.execute.stale import stale
    from bench.grid.checks import check_applies, check_plan, untrained

    request, plan, store = planned(options)
    check_plan(request, plan)
    check_applies(plan)
    for line in (*untrained(request, plan), *stale(plan, store)):
        warn(line)
    return request, plan, store


def _typed_or_stored(options: dict[str, Any]) -> tuple[Plan, Store]:
    """Return the grid that was typed, or all grids of the store where only the store was."""
    from bench.execute.plans import stored_plan
    from bench.records.store import Store

    if was_typed(options, but=("store",)):
        _, plan, store = planned(options)
        return plan, store
    store = Store(Path(options["store"]))
    return stored_plan(store), store


def was_typed(options: Mapping[str, Any], but: Collection[str] = ()) -> bool:
    """Say whether any of some options, but for a few, stands on the command line."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) is ParameterSource.COMMANDLINE for name in options if name not in but)


@click.command()
@grid_options
@click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", help="Where steps run.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
@click.option("--retry-failed", is_flag=True, help="Only cells that failed, or wait for something that did.")
@click.option("--wait", is_flag=True, help="With --executor slurm: follow the jobs to their end.")
@click.option(
    "--site", type=UserPath(), default="", envvar="BENCH_SITE", help="YAML with the values of the cluster."
)
@json_option
def run(
    executor: str,
    jobs: int | None,
    retry_failed: bool,
    wait: bool,
    site: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a grid and write its leaderboard; what is done is not computed again.

    What is missing or failed is computed; with --retry-failed only what failed. With --executor slurm jobs
    are submitted and the command returns; `bench status` tells how they are, `bench cancel` ends them.
    """
    if executor == "local" and wait:
        raise ConfigError("--wait: belongs to --executor slurm")
    if executor == "slurm" and jobs is not None:
        raise ConfigError("--jobs: belongs to --executor local; the site YAML has at_once")
    request, plan, store = _checked(options)
    store.prepare()
    if executor == "slurm":
        from bench.execute.slurm import run_on_cluster

        sys.exit(run_on_cluster(request, plan, store, site, failed=retry_failed, wait=wait, as_json=as_json))
    from bench.execute.job_status import note_deaths
    from bench.execute.local import execute
    from bench.execute.plans import only_failed
    from bench.execute.summary import finish

    if retry_failed:
        note_deaths(store)
        plan = only_failed(plan, store)
    outcome = execute(request, plan, store, jobs=jobs)
    sys.exit(finish(plan, store, outcome, as_json=as_json))


@click.command()
@grid_options
@json_option
def plan(as_json: bool, **options: Any) -> None:
    """Show the cells of a grid, what is cached and what it would cost; runs nothing."""
    from bench.execute.status import show_plan

    _, plan, store = _checked(options)
    click.echo(show_plan(plan, store, as_json=as_json))


@click.command()
@grid_options
@click.option("--watch", is_flag=True, help="Repeat every two seconds until interrupted.")
@json_option
def status(watch: bool, as_json: bool, **options: Any) -> None:
    """Show which cells are done, running, queued, lost, failed, blocked, missing or not applicable.

    Without options: of all grids that were run on this store.
    """
    from bench.execute.queue import Queue
    from bench.execute.stale import stale
    from bench.execute.status import show_status

    plan, store = _typed_or_stored(options)
    for line in stale(plan, store):
        warn(line)
    queue = Queue()
    while True:
        text = show_status(plan, store, queue, as_json=as_json)
        if not watch:
            click.echo(text)
            return
        import time

        click.clear()
        click.echo(text)
        time.sleep(2)


@click.command()
@grid_options
def cancel(**options: Any) -> None:
    """Cancel the SLURM jobs of a grid, and no others; without options: of all grids of this store."""
    from bench.execute.queue import Queue
    from bench.execute.slurm import cancel_plan

    plan, store = _typed_or_stored(options)
    cancelled, kept = cancel_plan(plan, store, Queue())
    click.echo(f"{cancelled} jobs cancelled" + (f", {kept} kept for other grids" if kept else ""))


@click.command()
@store_option
@click.option(
    "--out", type=UserPath(), default=None, help="Folder for the files (default: STORE/leaderboard)."
)
@click.option("--reference", default=None, help="A further method that differences are taken against.")
@click.option("--sheets", is_flag=True, help="Add sheets of test samples to the page.")
@config_dir_option
@json_option
def leaderboard(
    store: str,
    out: str | None,
    reference: str | None,
    sheets: bool,
    config_dirs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rebuild tables and plots from the records of a store alone."""
    from bench import caches
    from bench.report.write import report

    root = Path(store)
    folder = Path(out) if out else root / "leaderboard"
    check_writable(folder, "--out", folder=True)
    caches.settle(root)
    draw = None
    if sheets:
        from bench.execute.samples import small_sheets
        from bench.grid.registry import config_dirs as folders

        draw = partial(small_sheets, root=root, dirs=tuple(map(str, folders(config_dirs)[1:])))
    result = report(root, folder, reference=reference, sheets=draw)
    for problem in result.problems:
        warn(problem)
    if as_json:
        click.echo(json.dumps({"files": [str(p) for p in result.paths], "problems": result.problems}))
        return
    click.echo(result.markdown)
    click.echo("\n".join(str(p) for p in result.paths))
