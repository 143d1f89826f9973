"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_STORE = "bench-store"


class UserPath(click.Path):
    """A path in which `~` is the user's home, also where the shell leaves it (`--store=~/x`)."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Expand, then check as click does."""
        try:
            return super().convert(str(Path(value).expanduser()) if value else value, param, ctx)
        except RuntimeError:  # no such user
            self.fail(f"{value}: there is no such home", param, ctx)


store_option = click.option(
    "--store",
    type=UserPath(),
    default=DEFAULT_STORE,
    envvar="BENCH_STORE",
    show_default=True,
    help="Folder of all results.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
config_dir_option = click.option(
    "--config-dir",
    "config_dirs",
    type=UserPath(),
    multiple=True,
    help="Folder with further adapters (the one you are in counts, too).",
)


def _given(context: click.Context, option: click.Parameter, value: str) -> str:
    """Refuse words without content, such as those of a shell's unset variable, where they are typed."""
    typed = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
    if typed and not value.strip(" ,"):
        raise click.BadParameter("is empty; leave it out for the default", context, option)
    return value


def grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the words that describe a grid, and the store."""
    options = [
        click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
        click.option(
            "--methods", default="*", help="Comma list or globs (default: all; with --weights: scratch)."
        ),
        click.option("--tasks", default="*", help="Comma list or globs (default: all)."),
        click.option(
            "--fractions",
            default="",
            callback=_given,
            help="Shares of the labels, e.g. 0.1,1.0 (default: 1).",
        ),
        click.option("--shots", default="", callback=_given, help="Samples per class, e.g. 16,32."),
        click.option("--seeds", default="0", help="A list 0,1,2 or a count 3x."),
        click.option(
            "--encoders", default="", callback=_given, help="Encoders instead of each method's default."
        ),
        click.option(
            "--protocol",
            default="finetune",
            help="finetune (default), frozen: linear, attentive, knn; a list.",
        ),
        click.option(
            "--rates",
            default="",
            callback=_given,
            help="Fine-tune at several rates; validation chooses, e.g. 1e-3,1e-2.",
        ),
        click.option(
            "--weights",
            multiple=True,
            metavar="NAME=FILE[,encoder=E][,layout=L]",
            help="A row of given weights: a file, hf:OWNER/REPOSITORY or pkg:PACKAGE/FILE; repeatable.",
        ),
        click.option("--preset", default="tiny", help="tiny (default), small; see bench list presets."),
        click.option("--track", default="controlled", help="controlled (default) or published."),
        click.option("--mode", default="strict", help="strict (default) or parity."),
        config_dir_option,
        store_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command
