"""Commands about records as files: the regression gate, and records from and to other people."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.grid import grid_words, planned, was_typed
from bench.cli.options import UserPath, grid_options, json_option, store_option
from bench.console import warn
from bench.files import check_writable


@click.command()
@click.option("--baseline", required=True, type=UserPath(dir_okay=False, path_type=Path), help="The file.")
@click.option("--update", is_flag=True, help="Write a new baseline; the grid may be given.")
@click.option(
    "--throughput-ratio",
    "ratio",
    type=click.FloatRange(min=0, max=1),
    default=0.5,
    show_default=True,
    help="Fail below this share of the baseline's samples per second (equal devices only); 0 = never.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
@json_option
@grid_options
def check(
    baseline: Path, update: bool, ratio: float, jobs: int | None, as_json: bool, **options: Any
) -> None:
    """Run the small grid of a baseline and compare: exit 1 when something got worse.

    Compared are the primary metric of each cell (beyond interval and minimum effect), the loss terms of
    pretraining, and samples per second. Without --store everything is computed anew in a temporary folder.
    """
    from bench.execute import gate

    typed = grid_words(options) if was_typed(options, but=("store", "config_dirs")) else None
    store = Path(options["store"]) if was_typed({"store": ""}) else None
    dirs = tuple(options["config_dirs"])
    found = gate.check(baseline, typed, store, config_dirs=dirs, update=update, ratio=ratio, jobs=jobs)
    click.echo(json.dumps(gate.as_json(found), indent=1) if as_json else found.text, nl=as_json)
    sys.exit(0 if found.passed else 1)


@click.command("export")
@click.argument("file", type=UserPath(dir_okay=False, path_type=Path))
@grid_options
def export_command(file: Path, **options: Any) -> None:
    """Write the score records of a store, or of a grid, into one FILE for others.

    Words of the grid come after FILE.
    """
    from bench.records.exchange import export, grid_of
    from bench.records.record_set import write_set
    from bench.records.store import Store

    check_writable(file, "FILE")
    store, plan, grid = Store(Path(options["store"])), None, {}
    if was_typed(options, but=("store",)):
        _, plan, store = planned(options)
        grid = grid_of(grid_words(options))
    found = export(store, plan, grid)
    write_set(file, found)
    click.echo(f"{len(found.records)} records written to {file}")


@click.command("import")
@click.argument("sources", nargs=-1, required=True, type=UserPath(path_type=Path), metavar="RECORDS...")
@store_option
def import_command(sources: tuple[Path, ...], store: str) -> None:
    """Put records of others into a store: files of `bench export`, record.json files, or folders of them.

    Each record is checked (schema, digest, key) and none is replaced. `bench leaderboard` then shows them
    and says that they were imported; for `bench run` they are done.
    """
    from bench.records.exchange import import_records, origins
    from bench.records.store import Store

    place = Store(Path(store))
    check_writable(place.root, "--store", folder=True)
    outcome = import_records(sources, place)
    for problem in outcome.problems:
        warn(problem)
    there = f", {outcome.known} were there already" if outcome.known else ""
    click.echo(f"{len(outcome.records)} records imported into {place.root}{there}")
    for line in origins(outcome.records):
        click.echo(f"  {line}")
    sys.exit(1 if outcome.problems else 0)
