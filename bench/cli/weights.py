"""The command about weights: `bench weights FILE` tells what a file is, and whether it knows anything."""

from __future__ import annotations

import json
import time

import click

from bench.cli.options import config_dir_option, json_option


@click.command()
@click.argument("place", metavar="FILE")
@click.option("--layout", default="", help="Its layout (default: detected; bench list layouts).")
@click.option("--encoder", default="", help="What it shall fill (default: told by its tensors).")
@click.option(
    "--grid", default="", help="Of its position table, e.g. 16x12 (default: the layout's, or a square)."
)
@click.option("--probe/--no-probe", default=True, help="Whether to try what the weights know (default: yes).")
@click.option(
    "--seconds", default=60.0, type=click.FloatRange(min=10), help="Time for that.", show_default=True
)
@config_dir_option
@json_option
def weights(
    place: str,
    layout: str,
    encoder: str,
    grid: str,
    probe: bool,
    seconds: float,
    config_dirs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell what FILE is, whether it fits, and whether its weights know anything.

    FILE is a path, hf:OWNER/REPOSITORY or pkg:PACKAGE/FILE, as for `bench run --weights NAME=FILE`. Layout,
    network, sizes and what is not used follow from the names and shapes of the tensors. Then a linear probe
    on frozen features of embedded people compares the weights with the same ones shuffled; it warns where
    they do not win. No store is needed.
    """
    begun = time.monotonic()
    from bench.console import warn
    from bench.encoders.inspect import inspect_weights, load_weights, report
    from bench.errors import StepError

    words = {"layout": layout, "encoder": encoder, "grid": grid}
    found = inspect_weights(place, **words, config_dirs=config_dirs)
    filled = load_weights(place, **words, config_dirs=config_dirs)  # its numbers are fit for use
    if not as_json:
        click.echo(report(found))
    if probe:
        from bench.execute.sanity import check_sanity

        try:
            sanity = check_sanity(filled, seconds, time.monotonic() - begun)
        except StepError as error:  # too slow a network: no verdict, all else stands
            found["probe"] = None
            warn(f"{place}: not probed: {error}")
        else:
            found["probe"] = sanity.as_data()
            if not as_json:
                click.echo("\n".join(sanity.lines()))
            if sanity.warning:
                warn(f"{place}: {sanity.warning}")
    if as_json:
        click.echo(json.dumps(found, indent=1))
