"""What the page's template prints: grids of rows in groups, and sections made of them.

All texts are plain; the template escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.report import grids
from bench.report.markdown import Picture
from bench.report.page.facets import Facets

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
    test: str = ""  # the p value of a difference, muted
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
class Part:
    """A table under a heading, with what there is to say about it."""

    title: str
    grid: Grid
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page of its own: a heading, tables, what there is to say, pictures."""

    title: str
    words: str  # the setting in short
    facets: dict[str, int]
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


def part(found: grids.Grid, title: str, facets: Facets) -> Part:
    """Print a grid of texts; rows that name their encoder are grouped by it and can be filtered.

    Args:
        found: what to print; a first column `encoder` becomes the groups.
        title: the heading, which need not repeat what stands above it.
        facets: know the encoders.
    """
    grouped = found.header[0].text == "encoder"
    first = int(grouped)
    groups: dict[str, list[GridRow]] = {}
    for row in found.rows:
        made = GridRow(
            texts=tuple(entry.text for entry in row[first : found.left]),
            cells=tuple(GridCell(main=entry.text, bold=entry.strong) for entry in row[found.left :]),
            method=row[first].text,
        )
        groups.setdefault(row[0].text if grouped else "", []).append(made)
    grid = Grid(
        label=found.title,
        left=tuple(entry.text for entry in found.header[first : found.left]),
        columns=tuple(Column(title=entry.text) for entry in found.header[found.left :]),
        groups=tuple(
            GridGroup(title=name, encoder=facets.of("encoder", name) if grouped else None, rows=tuple(rows))
            for name, rows in groups.items()
        ),
    )
    return Part(title=title, grid=grid, notes=found.notes)


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
