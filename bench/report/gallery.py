"""Which plots a report has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report import comparison_plots, plots, rank_plots
from bench.report.analysis import Analysis, Arranged
from bench.report.figure import Look, Plot
from bench.report.markdown import Subject
from bench.report.overall import Overall
from bench.report.palette import looks
from bench.report.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plot with what it is about."""

    subject: Subject
    plot: Plot
    encoder: str = ""  # the one it shows, "" = all


def styles(tables: Sequence[Table], overall: Sequence[Overall] = ()) -> dict[str, Look]:
    """Return the look of every row name, the same in all plots of a report."""
    return looks((row.name for t in tables for row in t.rows), (name for o in overall for name in o.methods))


def plan(begun: Arranged) -> Iterator[Planned]:
    """Yield the plots that show scores and curves of single tasks."""
    style = styles(begun.tables)
    for table in begun.tables:
        references = dict.fromkeys(c.reference.name for c in table.comparisons)
        made = [("", plots.efficiency(table, style, fractions=fractions)) for fractions in (True, False)]
        made += [("", comparison_plots.bars(table, reference, style)) for reference in references]
        made += [(g.encoder, plots.convergence(table, g, begun.curves, style)) for g in table.groups]
        for encoder, plot in made:
            if plot:
                yield Planned(subject=table.key, plot=plot, encoder=encoder)


def plan_rest(found: Analysis) -> Iterator[Planned]:
    """Yield the plots that need all of an analysis: quality beside cost, and ranks over tasks."""
    style = styles(found.tables, found.overall)
    for table in found.tables:
        front = comparison_plots.front(table, found.fronts[table.key], style)
        if front:
            yield Planned(subject=table.key, plot=front)
    for overall in found.overall:
        ranked = rank_plots.ranks(overall, style)
        if ranked:
            yield Planned(subject=(overall.setting, overall.encoder), plot=ranked, encoder=overall.encoder)
