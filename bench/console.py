"""What the user sees while work goes on: one live line on a terminal, and text that any stream can take."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


UNLIMITED = 10_000  # columns


@contextmanager
def leaving_interrupts() -> Iterator[None]:
    """Start processes to which Ctrl-C means nothing, from their first line on: their parent ends them."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which lets interrupts through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited; our own comes afterwards
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def warn(message: str) -> None:
    """Print one line for the user on standard error; no work is lost where nobody reads it any more."""
    with suppress(OSError):
        print(f"bench: {message}", file=sys.stderr, flush=True)


def output_width() -> int:
    """Return the columns of the terminal that standard output is; a file or a pipe has room for all."""
    if not sys.stdout.isatty():
        return UNLIMITED
    return max(40, shutil.get_terminal_size().columns)


def table_lines(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lay out a table in columns; what is too wide for a terminal goes on in the next line of its column."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    out = StringIO()
    Console(file=out, width=output_width(), color_system=None, highlight=False).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def is_terminal() -> bool:
    """Say whether standard error is a terminal, on which a line may renew itself."""
    return sys.stderr.isatty()


def live_line() -> Progress:
    """Return a progress bar in one line of standard error, as wide as the terminal; nothing of it stays."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    description = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False, table_column=description),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True, expand=True, refresh_per_second=2)


def open_streams() -> None:
    """Make the standard streams usable whatever they are.

    One that the caller has closed (`2>&-`) leads nowhere; otherwise the next file to be opened would get its
    number, and messages their way into that file. Characters that the encoding of a stream lacks become `?`,
    since no character is worth the loss of a result.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def to_nowhere(stream: TextIO) -> None:
    """Let a stream that nobody reads any more lead nowhere, so that the end of the program says nothing."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
