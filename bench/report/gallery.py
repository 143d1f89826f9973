"""Which plots a report has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.report import comparison_plots, plots, rank_plots
from bench.report.analysis import Analysis
from bench.report.figure import Look, Plot
from bench.report.markdown import Subject
from bench.report.palette import looks


def styles(found: Analysis) -> dict[str, Look]:
    """Return the look of every row name, the same in all plots of a report."""
    names = [row.name for table in found.tables for row in table.rows]
    return looks([*names, *(name for overall in found.overall for name in overall.methods)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plot with what it is about."""

    subject: Subject
    plot: Plot
    encoder: str = ""  # the one it shows, "" = all


def plan(found: Analysis) -> Iterator[Planned]:
    """Yield the plots of a report: those of each task, then those over tasks."""
    style = styles(found)
    for table in found.tables:
        references = dict.fromkeys(c.reference.name for c in table.comparisons)
        made = [("", plots.efficiency(table, style, fractions=fractions)) for fractions in (True, False)]
        made += [("", comparison_plots.bars(table, reference, style)) for reference in references]
        made += [(g.encoder, plots.convergence(table, g, found.curves, style)) for g in table.groups]
        made += [("", comparison_plots.front(table, found.fronts[table.key], style))]
        for encoder, plot in made:
            if plot:
                yield Planned(subject=table.key, plot=plot, encoder=encoder)
    for overall in found.overall:
        ranked = rank_plots.ranks(overall, style)
        if ranked:
            yield Planned(subject=(overall.setting, overall.encoder), plot=ranked, encoder=overall.encoder)
