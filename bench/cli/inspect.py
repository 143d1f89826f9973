"""Commands that look: at what is registered, at records and logs, at the machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bench.cli.options import UserPath, config_dir_option, json_option, store_option
from bench.files import check_writable


@click.command("list")
@click.argument("what", type=click.Choice(["methods", "tasks", "datasets", "encoders", "presets", "layouts"]))
@config_dir_option
@json_option
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


@click.command()
@click.argument("name")
@click.option(
    "--images",
    is_flag=True,
    help="Draw what a pretrained method or a cell, by KEY, makes of its data.",
)
@click.option("--out", type=UserPath(), help="Folder for the sheet of --images (default: method-sheets).")
@config_dir_option
@store_option
def show(name: str, images: bool, out: str | None, config_dirs: tuple[str, ...], store: str) -> None:
    """Show a method, task, encoder, data set, preset or layout by NAME, or the record of a step by KEY."""
    if out and not images:
        raise click.UsageError("--out belongs to --images")
    if images:
        from bench.execute.illustration import illustrate

        folder = Path(out or "method-sheets")
        check_writable(folder, "--out", folder=True)
        click.echo(illustrate(name, Path(store), folder, config_dirs))
        return
    from bench.show import show_name

    click.echo(show_name(name, config_dirs, Path(store)))


@click.command()
@click.argument("key_a")
@click.argument("key_b")
@store_option
def explain(key_a: str, key_b: str, store: str) -> None:
    """Say in what two steps differ: every entry of their specs that is not equal."""
    from bench.show import explain_keys

    click.echo(explain_keys(key_a, key_b, Path(store)))


@click.command()
@click.argument("key")
@store_option
def logs(key: str, store: str) -> None:
    """Print the log of a step and the traceback of its last failure."""
    from bench.show import step_logs

    click.echo(step_logs(key, Path(store)))


@click.command()
@store_option
def doctor(store: str) -> None:
    """Check this machine: packages, renderer, device, store; exit 1 when something needs attention."""
    from bench.doctor import examine

    text, healthy = examine(Path(store))
    click.echo(text)
    sys.exit(0 if healthy else 1)
