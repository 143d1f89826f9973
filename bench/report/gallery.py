"""Which plots a report has."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report import comparison_plots, plots, rank_plots
from bench.report.analysis import Analysis
from bench.report.figure import Look, Plot
from bench.report.markdown import Subject
from bench.report.palette import looks


def styles(found: Analysis) -> dict[str, Look]:
    """Return the look of every row name, the same in all plots of a report."""
    names = [row.name for table in found.tables for row in table.rows]
    return looks([*names, *(name for overall in found.overall for name in overall.methods)])


def plan(found: Analysis) -> Iterator[tuple[Subject, Plot]]:
    """Yield the plots of a report with what each is about: those of each task, then those over tasks."""
    style = styles(found)
    for table in found.tables:
        references = dict.fromkeys(c.reference.name for c in table.comparisons)
        made = [plots.efficiency(table, style, fractions=fractions) for fractions in (True, False)]
        made += [comparison_plots.bars(table, reference, style) for reference in references]
        made += [plots.convergence(table, group, found.curves, style) for group in table.groups]
        made += [comparison_plots.front(table, found.fronts[table.key], style)]
        yield from ((table.key, plot) for plot in made if plot)
    for overall in found.overall:
        plot = rank_plots.ranks(overall, style)
        if plot:
            yield (overall.setting, overall.encoder), plot
