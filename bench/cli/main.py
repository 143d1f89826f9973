"""The command line. It imports click and the standard library; heavy modules are imported inside commands."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench.cli.adapters import new, test_adapter
from bench.cli.data import data
from bench.cli.grid import cancel, leaderboard, plan, run, status
from bench.cli.inspect import doctor, explain, list_command, logs, show
from bench.cli.records import check, export_command, import_command
from bench.cli.weights import weights
from bench.console import open_streams, to_nowhere, warn
from bench.errors import BenchError, ConfigError, DataError


class _Group(click.Group):
    """Prints errors meant for the user as one line and leaves with their exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        open_streams()
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            text = error.format_message()
            if "\n" in text:  # the help of a command that was called without its arguments
                error.show()
            else:
                warn(text)
            code = error.exit_code
        except BrokenPipeError:  # e.g. of the help
            code = _unread()
        try:
            sys.stdout.flush()
        except OSError:
            code = _unread()
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _check_folder()
            with _interruptible():
                return super().invoke(ctx)
        except BenchError as error:
            warn(" ".join(str(error).split()))
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            warn("interrupted; run the same command again to go on where it stopped")
            ctx.exit(130)
        except BrokenPipeError:
            ctx.exit(_unread())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
                raise
            warn(f"the output cannot be written ({error.strerror}); what was computed is kept")
            to_nowhere(sys.stdout)
            ctx.exit(DataError.exit_code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C what it is: numba turns one that comes while it compiles into a RuntimeError of its own."""
    pressed = False

    def note(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    if (before := signal.getsignal(signal.SIGINT)) is signal.default_int_handler:  # not e.g. under nohup
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except RuntimeError as error:
        if pressed and not isinstance(error, click.exceptions.Exit):
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _unread() -> int:
    """Return the exit code of a program whose output nobody reads any more, as `head` does."""
    to_nowhere(sys.stdout)
    return 128 + signal.SIGPIPE


def _check_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the folder you are in does not exist any more; change to another one") from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bodybench")
def main() -> None:
    """Tell which pretraining to use for human-centric vision: one grid, one protocol, honest intervals."""


for command in (
    run, plan, status, cancel, leaderboard, check, export_command, import_command,
    test_adapter, new, list_command, show, explain, logs, doctor, data, weights,
):  # fmt: skip
    main.add_command(command)
