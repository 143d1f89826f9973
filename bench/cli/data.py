"""Commands about data sets: `bench data build|verify|show|manifest`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.cli.options import UserPath, store_option
from bench.files import check_writable


@click.group()
def data() -> None:
    """Build, verify and look at data sets."""


def _data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        store_option,
        click.option("--preset", default="tiny", help="Whose sizes to use."),
        click.option("--tasks", default="*", help="Only what these tasks need."),
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("name"),
    ):
        command = option(command)
    return command


def _data_specs(name: str, preset: str, tasks: str, overrides: tuple[str, ...], store: str) -> Any:
    from bench.execute.data_jobs import specs_of
    from bench.plan import expand
    from bench.request import BUILT_IN, Words, names, pick, resolve
    from bench.store import Store

    pick(name, "dataset", names("dataset", [BUILT_IN]))
    request = resolve(Words(preset=preset, tasks=tasks, methods="cmc", overrides=overrides))
    return specs_of(expand(request)), Store(Path(store))


@data.command("build")
@_data_options
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
def data_build(jobs: int | None, **options: Any) -> None:
    """Render and cache a data set; finished shards are kept, damaged ones rebuilt."""
    from bench.execute.data_jobs import prepare

    specs, store = _data_specs(**options)
    store.prepare()
    done = prepare(specs, store.data, jobs)
    what = f"{done} samples rendered into" if done else "nothing to do; all samples are in"
    click.echo(f"{what} {store.data}")


@data.command("verify")
@_data_options
def data_verify(**options: Any) -> None:
    """Check every checksum; exit 1 when something is damaged or missing."""
    from bench.execute.data_jobs import verify_all

    specs, store = _data_specs(**options)
    problems = verify_all(specs, store)
    for problem in problems:
        click.echo(problem)
    click.echo(f"{len(problems)} problems" if problems else "all checksums are right")
    sys.exit(1 if problems else 0)


@data.command("show")
@_data_options
@click.option(
    "--out",
    type=UserPath(),
    default="people-sheets",
    show_default=True,
    help="Folder for the sheets, one per domain and split.",
)
def data_show(out: str, **options: Any) -> None:
    """Write contact sheets: colour, depth, parts, IUV and joints of samples of each split."""
    from bench.execute.data_jobs import show_all

    check_writable(Path(out), "--out", folder=True)
    specs, store = _data_specs(**options)
    click.echo(show_all(specs, store, Path(out)))


@data.command("manifest")
@_data_options
@click.option("--split", default="", help="Print the sample ids of this split, e.g. d_dense/train.")
def data_manifest(split: str, **options: Any) -> None:
    """Print size and SHA-256 of every split, or the ids of one."""
    from bench.execute.data_jobs import manifest_all

    specs, store = _data_specs(**options)
    click.echo(manifest_all(specs, store, split))
