"""The command line. It imports click and the standard library; heavy modules are imported inside commands."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from bench.cli.adapters import new, test_adapter
from bench.cli.data import data
from bench.cli.grid import cancel, leaderboard, plan, run, status
from bench.cli.inspect import doctor, explain, list_command, logs, show
from bench.cli.records import check, export_command, import_command
from bench.errors import BenchError


class _Group(click.Group):
    """Prints errors meant for the user as one line and leaves with their exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            text = error.format_message()
            if "\n" in text:  # the help of a command that was called without its arguments
                error.show()
            else:
                click.echo(f"bench: {text}", err=True)
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)

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


for command in (
    run, plan, status, cancel, leaderboard, check, export_command, import_command,
    test_adapter, new, list_command, show, explain, logs, doctor, data,
):  # fmt: skip
    main.add_command(command)
