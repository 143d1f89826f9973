"""Draws what is not drawn yet. Other processes that draw import this module, hence no pandas here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.files import write_atomic
from bench.report.drawn import Drawn, digest, read_index, write_index
from bench.report.figure import Plot
from bench.report.workers import ALONE, Workers

CHUNK = 4  # plots that a process draws at once


def import_drawing() -> None:
    """Import Matplotlib, which an unchanged report does not need."""
    from bench.report import layout  # noqa: F401


def draw(plot: Plot, folder: Path) -> Drawn:
    """Draw and write one plot."""
    from bench.report import layout

    drawn = Drawn(name=plot.name, title=plot.title, caption=plot.caption)
    for kind, content in layout.draw(plot).items():
        write_atomic(drawn.paths(folder)[kind], content)
    return drawn


def draw_all(
    found: Sequence[Plot],
    folder: Path,
    workers: Workers = ALONE,
    meanwhile: Callable[[], object] | None = None,
) -> list[Drawn]:
    """Draw all plots that are not in the folder yet, and remove those of earlier reports.

    Args:
        found: what to draw.
        folder: gets the files.
        workers: processes that share the work.
        meanwhile: what this process does while others draw; see `Workers.share`.

    Returns:
        One entry per plot.

    Raises:
        DataError: the files cannot be written.
    """
    marks = [digest(plot) for plot in found]
    known = read_index(folder)
    fresh = {mark: plot for mark, plot in zip(marks, found, strict=True) if mark not in known}
    made = workers.share(_draw, list(fresh.values()), folder, CHUNK, meanwhile)
    known.update(zip(fresh, made, strict=True))
    write_index(folder, {mark: known[mark] for mark in marks})
    return [known[mark] for mark in marks]


def _draw(found: Sequence[Plot], folder: Path) -> list[Drawn]:
    return [draw(plot, folder) for plot in found]
