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
        # not durable: the index knows a damaged plot by its checksum
        write_atomic(drawn.paths(folder)[kind], content, durable=False)
    return drawn


def draw_all(
    found: Sequence[Plot],
    folder: Path,
    workers: Workers = ALONE,
    meanwhile: Callable[[], Sequence[Plot]] | None = None,
) -> list[Drawn]:
    """Draw all plots that are not in the folder yet, and remove those of earlier reports.

    Args:
        found: what to draw.
        folder: gets the files.
        workers: processes that share the work.
        meanwhile: what this process does first while others draw; returns further plots.

    Returns:
        One entry per plot, further ones last.

    Raises:
        DataError: the files cannot be written.
    """
    known = read_index(folder)
    marks: dict[str, Drawn] = {}

    def draw_some(plots: Sequence[Plot], first: Callable[[], object] | None = None) -> None:
        wanted = {digest(plot): plot for plot in plots}
        fresh = {mark: plot for mark, plot in wanted.items() if mark not in known}
        made = workers.share(_draw, list(fresh.values()), folder, CHUNK, first)
        known.update(zip(fresh, made, strict=True))
        marks.update((mark, known[mark]) for mark in wanted)

    more: list[Plot] = []
    draw_some(found, (lambda: more.extend(meanwhile())) if meanwhile else None)
    draw_some(more)
    write_index(folder, marks)
    return list(marks.values())


def _draw(found: Sequence[Plot], folder: Path) -> list[Drawn]:
    return [draw(plot, folder) for plot in found]
