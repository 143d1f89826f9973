"""Commands for those who add adapters: write the skeleton of one, check one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.options import UserPath, config_dir_option, json_option

KINDS = ("method", "task", "dataset", "encoder")


@click.command("test-adapter")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Where both have the name.")
@config_dir_option
@json_option
def test_adapter(name: str, kind: str | None, config_dirs: tuple[str, ...], as_json: bool) -> None:
    """Check that a method, task, data set or encoder keeps the contract, on a CPU; exit 1 when it does not.

    Methods: loss, gradients, missing modalities, batch of one, determinism, images, resume, two processes,
    export.
    Tasks: loss, perfect and worse predictions, flips, crops, scores, bootstrap.
    Data sets: what they say of themselves, their arrays, order, augmentation, bad rows and names.
    Encoders: what they say of themselves, rows, gradients, what stays as it is, saving and loading.
    """
    from bench.execute.job import quiet_threads
    from bench.grid.registry import config_dirs as find
    from bench.grid.registry import kind_of

    kind = kind_of(name, kind, find(config_dirs))
    quiet_threads()
    from bench.adapter_kit import check_dataset, check_encoder, check_method, check_task

    findings: list[dict[str, Any]] = []
    checks = {
        "method": check_method, "task": check_task, "dataset": check_dataset, "encoder": check_encoder,
    }  # fmt: skip
    for found in checks[kind](name, config_dirs):
        findings.append({"check": found.check, "state": found.state, "reason": found.reason})
        if not as_json:
            said = f": {found.reason}" if found.reason else ""
            click.echo(f"{found.state:<6}  {found.seconds:5.1f} s  {found.check}{said}")
    failed = sum(found["state"] == "failed" for found in findings)
    if as_json:
        click.echo(
            json.dumps({"name": name, "kind": kind, "passed": not failed, "checks": findings}, indent=1)
        )
    else:
        click.echo(f"{kind} {name}: {f'{failed} of {len(findings)} checks failed' if failed else 'passed'}")
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=UserPath(file_okay=False, path_type=Path),
    default=None,
    help="Folder of your own for it (default: this checkout of the project, or else the folder you are in).",
)
def new(kind: str, name: str, folder: Path | None) -> None:
    """Write the skeleton of a method, task, dataset or encoder NAME: one Python file, one YAML, one test.

    It works as it is: `bench test-adapter NAME` passes, `bench run` gives a row.
    """
    from bench.adapter_kit.scaffold import write

    written, commands = write(kind, name, folder)
    for path in written:
        click.echo(str(path))
    click.echo("\n" + "\n".join(commands))
