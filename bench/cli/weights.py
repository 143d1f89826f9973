"""The command about weights: `bench weights FILE` tells what a file is."""

from __future__ import annotations

import json

import click

from bench.cli.options import config_dir_option, json_option


@click.command()
@click.argument("place", metavar="FILE")
@click.option("--layout", default="", help="Its layout (default: detected; bench list layouts).")
@click.option("--encoder", default="", help="What it shall fill (default: told by its tensors).")
@config_dir_option
@json_option
def weights(place: str, layout: str, encoder: str, config_dirs: tuple[str, ...], as_json: bool) -> None:
    """Tell what FILE is, and whether it fits: layout, network, sizes, what of it is not used.

    FILE is a path, hf:OWNER/REPOSITORY or pkg:PACKAGE/FILE, as for `bench run --weights NAME=FILE`. Only the
    names and shapes of its tensors are read.
    """
    from bench.encoders.inspect import inspect_weights, report

    found = inspect_weights(place, layout=layout, encoder=encoder, config_dirs=config_dirs)
    click.echo(json.dumps(found, indent=1) if as_json else report(found))
