"""The command line. It imports click and the standard library; heavy modules are imported inside commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.plan import Plan
    from bench.request import Request, Words
    from bench.store import Store

DEFAULT_STORE = "bench-store"


class _Group(click.Group):
    """Prints errors meant for the user as one line and leaves with their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BenchError as error:
            click.echo(f"bench: {' '.join(str(error).split())}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("bench: interrupted; run the same command again to go on where it stopped", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(141)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bodybench")
def main() -> None:
    """Tell which pretraining to use for human-centric vision: one grid, one protocol, honest intervals."""


def _grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        click.option("--methods", default="*", help="Comma list or globs (default: all)."),
        click.option("--tasks", default="*", help="Comma list or globs (default: all)."),
        click.option("--fractions", default="", help="Shares of the labels, e.g. 0.1,1.0 (default: 1)."),
        click.option("--shots", default="", help="Samples per class, e.g. 16,32."),
        click.option("--seeds", default="0", help="A list 0,1,2 or a count 3x."),
        click.option("--encoders", default="", help="Encoders instead of each method's default."),
        click.option("--preset", default="tiny", help="tiny (default), small; see bench list presets."),
        click.option("--track", default="controlled", help="controlled (default) or published."),
        click.option("--mode", default="strict", help="strict (default) or parity."),
        click.option("--config-dir", "config_dirs", multiple=True, help="Folder with further adapters."),
        _store_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


_store_option = click.option(
    "--store", default=DEFAULT_STORE, envvar="BENCH_STORE", show_default=True, help="Folder of all results."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def _words(options: dict[str, Any]) -> Words:
    from bench.request import Words

    names = ("methods", "tasks", "fractions", "shots", "seeds", "encoders", "preset", "track", "mode")
    return Words(
        **{name: options[name] for name in names},
        config_dirs=tuple(options["config_dirs"]),
        overrides=tuple(options["overrides"]),
    )


def _planned(options: dict[str, Any]) -> tuple[Request, Plan, Store]:
    from bench.plan import expand
    from bench.request import resolve
    from bench.store import Store

    store = Store(Path(options["store"]))
    request = resolve(_words(options), cache=store.root / "cache")
    return request, expand(request), store


@main.command()
@_grid_options
@click.option("--executor", type=click.Choice(["local"]), default="local", help="Where steps run.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes (default: one per core).")
@_json_option
def run(executor: str, jobs: int | None, as_json: bool, **options: Any) -> None:
    """Run a grid and write its leaderboard; what is done is not computed again."""
    from bench.execute.local import execute
    from bench.execute.summary import finish

    request, plan, store = _planned(options)
    store.prepare()
    outcome = execute(request, plan, store, jobs=jobs)
    code = finish(plan, store, outcome, as_json=as_json)
    sys.exit(code)


@main.command("plan")
@_grid_options
@_json_option
def plan_command(as_json: bool, **options: Any) -> None:
    """Show the cells of a grid, what is cached and what it would cost; runs nothing."""
    from bench.execute.status import show_plan

    _, plan, store = _planned(options)
    click.echo(show_plan(plan, store, as_json=as_json))


@main.command()
@_grid_options
@click.option("--watch", is_flag=True, help="Repeat every two seconds until interrupted.")
@_json_option
def status(watch: bool, as_json: bool, **options: Any) -> None:
    """Show which cells are done, running, lost, failed, blocked, missing or not applicable.

    Without options: of all grids that were run on this store.
    """
    from bench.execute.status import show_status, stored_plan
    from bench.store import Store

    typed = any(
        click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in options
        if name != "store"
    )
    if typed:
        _, plan, store = _planned(options)
    else:
        store = Store(Path(options["store"]))
        plan = stored_plan(store)
    while True:
        text = show_status(plan, store, as_json=as_json)
        if not watch:
            click.echo(text)
            return
        import time

        click.clear()
        click.echo(text)
        time.sleep(2)


@main.command()
@_store_option
@click.option("--out", default=None, help="Folder for the files (default: STORE/leaderboard).")
@click.option("--reference", default=None, help="A further method that differences are taken against.")
@_json_option
def leaderboard(store: str, out: str | None, reference: str | None, as_json: bool) -> None:
    """Rebuild tables and plots from the records of a store alone."""
    from bench.report.write import report

    root = Path(store)
    result = report(root, Path(out) if out else root / "leaderboard", reference=reference)
    for problem in result.problems:
        click.echo(f"bench: {problem}", err=True)
    if as_json:
        click.echo(json.dumps({"files": [str(p) for p in result.paths], "problems": result.problems}))
        return
    click.echo(result.markdown)
    click.echo("\n".join(str(p) for p in result.paths))


@main.command("list")
@click.argument("what", type=click.Choice(["methods", "tasks", "datasets", "encoders", "presets"]))
@click.option("--config-dir", "config_dirs", multiple=True, help="Folder with further adapters.")
@_json_option
def list_command(what: str, config_dirs: tuple[str, ...], as_json: bool) -> None:
    """List what is registered, with one line each."""
    from bench.show import summaries

    found = summaries(what.removesuffix("s"), config_dirs)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    width = max((len(name) for name in found), default=0)
    for name, summary in found.items():
        click.echo(f"{name:<{width}}  {summary}")


@main.command()
@click.argument("name")
@click.option("--config-dir", "config_dirs", multiple=True, help="Folder with further adapters.")
@_store_option
def show(name: str, config_dirs: tuple[str, ...], store: str) -> None:
    """Show a method, task, encoder, data set or preset by NAME, or the record of a step by KEY."""
    from bench.show import show_name

    click.echo(show_name(name, config_dirs, Path(store)))


@main.command()
@click.argument("key_a")
@click.argument("key_b")
@_store_option
def explain(key_a: str, key_b: str, store: str) -> None:
    """Say in what two steps differ: every entry of their specs that is not equal."""
    from bench.show import explain_keys

    click.echo(explain_keys(key_a, key_b, Path(store)))


@main.command()
@click.argument("key")
@_store_option
def logs(key: str, store: str) -> None:
    """Print the log of a step and the traceback of its last failure."""
    from bench.show import step_logs

    click.echo(step_logs(key, Path(store)))


@main.command()
@_store_option
def doctor(store: str) -> None:
    """Check this machine: packages, renderer, device, store; exit 1 when something needs attention."""
    from bench.doctor import examine

    text, healthy = examine(Path(store))
    click.echo(text)
    sys.exit(0 if healthy else 1)


@main.group()
def data() -> None:
    """Build, verify and look at data sets."""


def _data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        _store_option,
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
    from bench.execute.data_jobs import build_all

    specs, store = _data_specs(**options)
    store.prepare()
    click.echo(build_all(specs, store, jobs))


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
@click.option("--out", default="people.png", show_default=True, help="Picture to write.")
def data_show(out: str, **options: Any) -> None:
    """Write a contact sheet: colour, depth, parts, IUV, joints, and view and pose pairs."""
    from bench.execute.data_jobs import show_all

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


if __name__ == "__main__":
    main()
