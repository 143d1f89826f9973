"""Commands about data sets: `bench data build|verify|show|manifest`, of your files `add|check|import`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.cli.options import UserPath, config_dir_option, store_option
from bench.files import check_writable


@click.group()
def data() -> None:
    """Build, verify and look at data sets."""


def _data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        store_option,
        config_dir_option,
        click.option("--preset", default="tiny", help="Whose sizes to use."),
        click.option("--tasks", default="", help="Only what these tasks need (default: all that use it)."),
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("name"),
    ):
        command = option(command)
    return command


def _data_specs(
    name: str, preset: str, tasks: str, overrides: tuple[str, ...], config_dirs: tuple[str, ...], store: str
) -> Any:
    """Return the specs of a data set that tasks and pretraining read, the store, and folders of adapters."""
    from bench.errors import ConfigError
    from bench.execute.data_jobs import specs_of
    from bench.grid.plan import expand
    from bench.grid.request import Words, load, names, pick, resolve
    from bench.grid.request import config_dirs as folders
    from bench.records.store import Store

    dirs = folders(config_dirs)
    known = {group: names(group, dirs) for group in ("dataset", "task")}
    pick(name, "dataset", known["dataset"])
    if not tasks:
        using = [t for t, path in known["task"].items() if name in load(path, "task").get("data", {})]
        tasks = ",".join(f"{task}@{name}" for task in using) or "*"
    words = Words(
        preset=preset, tasks=tasks, methods="cmc", overrides=overrides, config_dirs=tuple(config_dirs)
    )
    request = resolve(words)
    specs = [spec for spec in specs_of(expand(request)) if spec["name"] == name]
    if not specs:
        raise ConfigError(
            f"--tasks: none of {tasks} reads {name}; leave it out, or name others (task@{name})"
        )
    return specs, Store(Path(store)), request.config_dirs


def _adapter(name: str, config_dirs: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the address of a data set's adapter, and folders of adapters."""
    from bench.grid.request import config_dirs as folders
    from bench.grid.request import load, names, pick

    dirs = folders(config_dirs)
    known = names("dataset", dirs)
    (chosen,) = pick(name, "dataset", known)
    return str(load(known[chosen], "dataset")["adapter"]), tuple(map(str, dirs[1:]))


@data.command("add")
@click.argument("name")
@click.argument("folder", type=UserPath())
@config_dir_option
def data_add(name: str, folder: str, config_dirs: tuple[str, ...]) -> None:
    """Say where your files of a data set lie, e.g. `bench data add coco /data/coco`; they are looked over."""
    from bench.execute.data_jobs import add

    address, dirs = _adapter(name, config_dirs)
    click.echo(add(name, Path(folder), address, dirs))


@data.command("check")
@click.argument("name")
@config_dir_option
def data_check(name: str, config_dirs: tuple[str, ...]) -> None:
    """Look over the files of a data set that was added; exit 1 when something is wrong with them."""
    from bench.execute.data_jobs import look_over
    from bench.grid.places import registered

    address, dirs = _adapter(name, config_dirs)
    entry = registered(name)
    found = look_over(address, Path(entry.root), dirs)
    changed = () if found.digest == entry.digest else ("the annotations have changed; add it again",)
    for problem in (*found.problems, *changed):
        click.echo(problem)
    click.echo(found.text)
    sys.exit(1 if found.problems or changed else 0)


@data.command("import")
@_data_options
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
def data_import(jobs: int | None, **options: Any) -> None:
    """Bring your files into the form that trainings read; what is done is kept, so it can be interrupted."""
    _prepare(jobs, options)


def _prepare(jobs: int | None, options: dict[str, Any]) -> None:
    from bench.execute.data_jobs import prepare

    specs, store, dirs = _data_specs(**options)
    store.prepare()
    done = prepare(specs, store.data, jobs, dirs)
    what = f"{done} samples made in" if done else "nothing to do; all samples are in"
    click.echo(f"{what} {store.data}")


@data.command("build")
@_data_options
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
def data_build(jobs: int | None, **options: Any) -> None:
    """Make and cache a data set; finished shards are kept, damaged ones made anew."""
    _prepare(jobs, options)


@data.command("verify")
@_data_options
def data_verify(**options: Any) -> None:
    """Check every checksum; exit 1 when something is damaged or missing."""
    from bench.execute.data_jobs import verify_all

    specs, store, dirs = _data_specs(**options)
    problems = verify_all(specs, store, dirs)
    for problem in problems:
        click.echo(problem)
    click.echo(f"{len(problems)} problems" if problems else "all checksums are right")
    sys.exit(1 if problems else 0)


@data.command("show")
@_data_options
@click.option(
    "--out",
    type=UserPath(),
    default="data-sheets",
    show_default=True,
    help="Folder for the sheets, one per source and split.",
)
def data_show(out: str, **options: Any) -> None:
    """Write contact sheets: colour, depth, parts, IUV and joints of samples of each split."""
    from bench.execute.data_jobs import show_all

    check_writable(Path(out), "--out", folder=True)
    specs, store, dirs = _data_specs(**options)
    click.echo(show_all(specs, store, Path(out), dirs))


@data.command("manifest")
@_data_options
@click.option("--split", default="", help="Print the sample ids of this split, e.g. d_dense/train.")
def data_manifest(split: str, **options: Any) -> None:
    """Print size and SHA-256 of every split, or the ids of one."""
    from bench.execute.data_jobs import manifest_all

    specs, store, dirs = _data_specs(**options)
    click.echo(manifest_all(specs, store, split, dirs))
