"""One table of the leaderboard, arranged for the page's template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bench.report import grids, notes, saving_grids, text
from bench.report.analysis import Analysis
from bench.report.budget import Budget
from bench.report.cells import Cell, Identity, Row
from bench.report.comparisons import Comparison
from bench.report.grids import difference_text, summary_text
from bench.report.markdown import Picture
from bench.report.origin import provenance
from bench.report.page.entries import Entries
from bench.report.page.facets import Facets
from bench.report.page.grid import Better, Column, Grid, GridCell, GridGroup, GridRow, Part, Whisker, part
from bench.report.tables import Group, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A row that lacks runs, with what there is."""

    encoder: str
    encoder_facet: int
    shares: str  # facet: budgets that it has or lacks
    row: GridRow
    missing: str
    present: tuple[tuple[str, GridCell], ...]  # budget, cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A table with all that belongs to it."""

    title: str
    setting: str
    words: str  # the setting in short
    facets: Mapping[str, str]
    scores: Grid
    scale: str  # of the whiskers, "" = there are none
    legend: Sequence[str]
    incomplete: Sequence[Incomplete]
    differences: Part | None
    unpaired: str  # why there are none, where there might be some
    more: Sequence[Part]
    pictures: Sequence[Picture]
    facts: Mapping[str, str]
    keys: Sequence[str]


class Builder:
    """Arranges one table for the template."""

    def __init__(self, table: Table, facets: Facets, entries: Entries, colours: Mapping[str, str]) -> None:
        self._table, self._facets, self._entries, self._colours = table, facets, entries, colours
        self._unit = table.key.unit
        self._numbers: dict[tuple[Identity, Budget], int] = {}
        ends = [v for c in table.cells for v in (c.summary.low, c.summary.mean, c.summary.high)]
        known = [end for end in ends if end is not None]
        self._scale = min(known), max(known)

    def block(self, found: Analysis, pictures: Sequence[Picture]) -> Block:
        """Arrange the table and all that an analysis says about it."""
        table, key, title = self._table, self._table.key, self._table.title
        saved = saving_grids.of_table(table, found)
        made = provenance(table.records)
        keys = made.pop("record keys")
        low, high = (text.number(end, self._unit) for end in self._scale)
        unit = text.unit_name(self._unit)
        drawn = any(c.summary.low is not None for c in table.cells)
        return Block(
            title=title,
            setting=grids.setting(key),
            words=f"{key.preset}, {key.track}, {key.mode}, protocol {key.protocol}",
            facets=self._facets.of_table(table),
            scores=self._scores(title),
            scale=f"Lines: the intervals, drawn from {low} to {high} ({unit})." if drawn else "",
            legend=grids.scores(table).notes,
            incomplete=[self._incomplete(g, row) for g in table.groups for row in g.incomplete],
            differences=self._differences(),
            unpaired=grids.no_differences(table),
            more=[part(g, g.title.removeprefix(f"{title}: ").capitalize(), self._facets) for g in saved],
            pictures=pictures,
            facts={name: text.listed(list(found)) for name, found in made.items() if found},
            keys=keys,
        )

    def _columns(self) -> tuple[Column, ...]:
        better: Better = "high" if self._table.key.higher_is_better else "low"
        return tuple(
            Column(title=b.header, better=better, share=self._facets.share(b)) for b in self._table.budgets
        )

    def _scores(self, title: str) -> Grid:
        groups = [
            GridGroup(
                title=group.encoder,
                encoder=self._facets.of("encoder", group.encoder),
                rows=tuple(self._row(group, row) for row in group.rows),
            )
            for group in self._table.groups
        ]
        return Grid(
            label=f"{title}: {self._table.key.metric} by method and labels",
            left=("method",),
            columns=self._columns(),
            groups=tuple(group for group in groups if group.rows),
        )

    def _row(self, group: Group, row: Row) -> GridRow:
        cells = []
        for budget in self._table.budgets:
            best = group.best.get(budget) is row
            mark = notes.TIE if row.identity in group.ties.get(budget, ()) else ""
            cell = row.cells.get(budget)
            cells.append(self._cell(row, cell, bold=best, mark=mark) if cell else self._absent(budget))
        return self._named(row, tuple(cells))

    def _named(self, row: Row, cells: tuple[GridCell, ...], *more: str) -> GridRow:
        return GridRow(
            texts=(row.name, *more),
            cells=cells,
            method=row.name,
            marks=tuple(notes.marks(row)),
            colour=self._colours[row.name],
        )

    def _absent(self, budget: Budget) -> GridCell:
        return GridCell(main="n/a", share=self._facets.share(budget))

    def _cell(self, row: Row, cell: Cell, *, bold: bool = False, mark: str = "") -> GridCell:
        number = self._entries.add_cell(self._table, row, cell)
        self._numbers[row.identity, cell.budget] = number
        main, _, spread = summary_text(cell.summary, self._unit).partition(" ")
        return GridCell(
            main=main,
            spread=spread,
            n=cell.summary.n,
            bold=bold,
            mark=mark,
            value=cell.summary.mean,
            entry=number,
            share=self._facets.share(cell.budget),
            whisker=self._whisker(cell),
        )

    def _whisker(self, cell: Cell) -> Whisker | None:
        found = cell.summary.low, cell.summary.mean, cell.summary.high
        if found[0] is None or found[2] is None or self._scale[0] == self._scale[1]:
            return None
        start, end = self._scale
        low, mean, high = (round(100 * ((v or 0.0) - start) / (end - start), 1) for v in found)
        return Whisker(low=low, mean=mean, high=high)

    def _incomplete(self, group: Group, row: Row) -> Incomplete:
        shares = {self._facets.share(budget) for budget in (*row.missing, *row.cells)}
        return Incomplete(
            encoder=group.encoder,
            encoder_facet=self._facets.of("encoder", group.encoder),
            shares=" ".join(map(str, sorted(shares))),
            row=self._named(row, ()),
            missing=notes.missing(row),
            present=tuple((budget.title, self._cell(row, cell)) for budget, cell in row.cells.items()),
        )

    def _differences(self) -> Part | None:
        """Return the paired differences; after the cells, which they open."""
        printed = grids.differences(self._table)
        if printed is None:
            return None
        found = [
            GridGroup(
                title=encoder, encoder=self._facets.of("encoder", encoder), rows=tuple(self._pairs(part))
            )
            for encoder, part in groupby(self._table.comparisons, key=lambda c: c.encoder)
        ]
        grid = Grid(
            label=printed.title, left=("method", "minus"), columns=self._columns(), groups=tuple(found)
        )
        return Part(title="Paired differences", grid=grid, notes=printed.notes)

    def _pairs(self, comparisons: Iterator[Comparison]) -> Iterator[GridRow]:
        for _, pair in groupby(comparisons, key=lambda c: (c.reference.identity, c.row.identity)):
            found = {c.budget: c for c in pair}
            first = next(iter(found.values()))
            cells = tuple(
                self._difference(found[b]) if b in found else self._absent(b) for b in self._table.budgets
            )
            row = self._named(first.row, cells, first.reference.name)
            yield row if first.row.complete else replace(row, marks=(*row.marks, "(incomplete)"))

    def _difference(self, comparison: Comparison) -> GridCell:
        pair = comparison.row.identity, comparison.reference.identity
        numbers = [self._numbers[identity, comparison.budget] for identity in pair]
        found = comparison.difference
        main, _, spread = difference_text(found, self._unit).partition(" ")
        return GridCell(
            main=main,
            spread=spread,
            n=found.n,
            test=grids.test_text(comparison),
            bold=comparison.verdict != "tie",
            value=found.mean,
            entry=self._entries.add_difference(self._table, comparison, numbers),
            share=self._facets.share(comparison.budget),
        )
