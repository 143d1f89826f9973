"""What the page's template prints: grids of rows in groups, and sections made of them.

All texts are plain; the template escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.report.markdown import Picture
from bench.report.notes import Note

Better = Literal["", "high", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """An interval as a line with a tick at the mean, in percent of the grid's scale."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCell:
    """A number with what belongs to it, or a text."""

    main: str
    spread: str = ""  # the interval, muted
    n: int | None = None  # runs behind it, muted
    bold: bool = False
    mark: str = ""
    value: float | None = None  # to sort by; None comes last
    entry: int | None = None  # what opens behind it
    share: int | None = None  # facet, None = shown for all
    whisker: Whisker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of numbers."""

    title: str
    better: Better = ""  # which end comes first when sorted; "" = not sortable
    share: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """A row: its texts, the first of which names it, then its cells."""

    texts: tuple[str, ...]
    cells: tuple[GridCell, ...]
    method: str | None = None  # what the search for methods looks at, None = nothing
    marks: tuple[str, ...] = ()
    colour: str = ""  # of the method in all plots


@dataclass(frozen=True, slots=True, kw_only=True)
class GridGroup:
    """Rows that may be compared with each other; sorting never mixes groups."""

    rows: tuple[GridRow, ...]
    title: str = ""
    encoder: int | None = None  # facet


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table."""

    label: str  # says what it is to those who cannot see it
    left: tuple[str, ...]  # headers of the texts
    columns: tuple[Column, ...]
    groups: tuple[GridGroup, ...]

    @property
    def width(self) -> int:
        """Return the number of columns, texts included."""
        return len(self.left) + len(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page of its own: a heading, what there is to say, a table, pictures."""

    title: str
    notes: tuple[Note, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()


def section(
    title: str,
    notes: Sequence[str],
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    pictures: Sequence[Picture] = (),
) -> Section:
    """Make a section of plain texts.

    Args:
        title: its heading.
        notes: paragraphs above the table.
        header: one text per column.
        rows: one text per column each.
        left: how many columns are texts, not numbers.
        pictures: plots below the table.
    """
    return Section(
        title=title,
        notes=tuple(Note(text=note) for note in notes),
        grids=(plain(title, header, rows, left=left),),
        pictures=tuple(pictures),
    )


def plain(label: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> Grid:
    """Make a grid of texts that is shown in this order and takes no part in filters."""
    made = tuple(
        GridRow(texts=tuple(row[:left]), cells=tuple(GridCell(main=word) for word in row[left:]))
        for row in rows
    )
    return Grid(
        label=label,
        left=tuple(header[:left]),
        columns=tuple(Column(title=word) for word in header[left:]),
        groups=(GridGroup(rows=tuple(made)),),
    )
