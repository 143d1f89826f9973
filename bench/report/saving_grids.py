"""Grids of texts about what one task costs: labels, epochs, device-hours."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import text
from bench.report.analysis import Analysis
from bench.report.budget import Budget
from bench.report.fronts import Point
from bench.report.grids import Entry, Grid, cell_text, marked, words
from bench.report.savings import Saving
from bench.report.tables import Table

ON_FRONT = "◆"


def of_table(table: Table, found: Analysis) -> list[Grid]:
    """Return all grids of this kind that a table has."""
    saved = found.savings[table.key]
    grids = (
        labels_saved(table, saved),
        fine_tuning_saved(table, saved),
        beside_cost(table, found.fronts[table.key]),
    )
    return [grid for grid in grids if grid]


def labels_saved(table: Table, savings: Sequence[Saving]) -> Grid | None:
    """Return how many times fewer labels each method needs."""
    found = [s for s in savings if s.what == "labels"]
    if not found:
        return None
    return Grid(
        title=f"{table.title}: labels saved",
        header=words("encoder", "method", "as good as 100 % labels of", "labels needed", "times fewer"),
        rows=tuple(
            (
                *(Entry(text=name, name=True) for name in (s.encoder, marked(s.row), s.reference.name)),
                Entry(text=_share(s)),
                Entry(text=f"{factor_text(s)} (n={s.n})"),
            )
            for s in found
        ),
        left=3,
        notes=(
            "Labels with which a method is as good as the reference with all of them: monotone "
            "interpolation over its label shares (isotonic, then straight on a log axis), nothing beyond "
            f"what was measured. Brackets: 95 % interval over {_varied(found)}, from joint draws of all "
            "scores. n = number of seeds.",
        ),
    )


def _share(saving: Saving) -> str:
    if saving.share is not None:
        return f"{100 * saving.share:.2g} %" if saving.share < 0.995 else "100 %"
    return "not reached" if saving.factor == 0 else f"less than {100 * saving.smallest:.3g} %"


def factor_text(saving: Saving) -> str:
    """Return the factor with its interval in words."""
    point = text.factor(saving.factor, saving.smallest)
    if saving.low is None or saving.high is None:
        return point
    ends = (text.factor(end, saving.smallest) for end in (saving.low, saving.high))
    return f"{point} [{', '.join(ends)}]"


def _varied(savings: Sequence[Saving]) -> str:
    return " or ".join(sorted({s.kind for s in savings} - {"none"})) or "nothing (no interval)"


def fine_tuning_saved(table: Table, savings: Sequence[Saving]) -> Grid | None:
    """Return how many times less fine-tuning each method needs, one column per budget."""
    found = [s for s in savings if s.what == "fine-tuning"]
    if not found:
        return None
    by_pair: dict[tuple[str, str, str], dict[Budget | None, Saving]] = {}
    for s in found:
        by_pair.setdefault((s.encoder, marked(s.row), s.reference.name), {})[s.budget] = s
    return Grid(
        title=f"{table.title}: epochs saved",
        header=words("encoder", "method", "as good as", *(budget.header for budget in table.budgets)),
        rows=tuple(
            (
                *(Entry(text=name, name=True) for name in pair),
                *(
                    Entry(text=f"{factor_text(by[b])} (n={by[b].n})" if b in by else "n/a")
                    for b in table.budgets
                ),
            )
            for pair, by in by_pair.items()
        ),
        left=3,
        notes=(
            "How many times fewer epochs of fine-tuning a method needs to reach the last validation value of "
            "the reference at the same label share: monotone interpolation of its mean curve, nothing beyond "
            "what was measured. The schedule is that of the whole training; a shorter one would end sooner. "
            f"Brackets: 95 % interval over {_varied(found)}; the validation part is taken as given. n = "
            "number of seeds.",
        ),
    )


def beside_cost(table: Table, points: Sequence[Point]) -> Grid | None:
    """Return quality beside cost at the largest budget."""
    found = [p for p in points if p.budget == table.budgets[-1]]
    if all(p.device_hours is None and p.samples_seen is None for p in found):
        return None
    devices = text.listed(sorted({r["device"] for r in table.records} - {""}))
    return Grid(
        title=f"{table.title}: quality beside cost",
        header=words("encoder", "method", table.budgets[-1].header, "device-hours", "samples seen"),
        rows=tuple(
            (
                Entry(text=p.encoder, name=True),
                Entry(text=marked(p.row), name=True),
                Entry(text=cell_text(p.cell, table.key.unit)),
                Entry(text=_cost(p.device_hours, "{:,.3g}", p.front_hours)),
                Entry(text=_cost(p.samples_seen, "{:,.0f}", p.front_samples)),
            )
            for p in found
        ),
        left=2,
        notes=(
            "n = number of seeds. Cost of one run, pretraining and fine-tuning together (mean over seeds; a "
            f"pretraining that several runs share is counted in each). {ON_FRONT}: on the Pareto front of "
            "its encoder: no method has a better mean at no more cost. Device-hours count wall time times "
            f"devices (devices: {devices}); they compare on equal devices only.",
        ),
    )


def _cost(value: float | None, form: str, on_front: bool) -> str:
    return "not recorded" if value is None else form.format(value) + (f" {ON_FRONT}" if on_front else "")
