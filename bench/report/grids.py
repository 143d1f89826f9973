"""The tables of one task as plain grids of texts, which Markdown, LaTeX and others print alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.report import text
from bench.report.budget import Budget
from bench.report.cells import SCRATCH, Cell, Row
from bench.report.comparisons import Comparison
from bench.report.notes import EXPOSED, OTHER_MODALITY, TIE, marks, missing
from bench.report.stats import Difference, Summary
from bench.report.tables import Group, Table, TableKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field of a grid."""

    text: str
    name: bool = False  # it is a name that a user chose and may hold any character
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One printed table."""

    title: str
    header: tuple[Entry, ...]
    rows: tuple[tuple[Entry, ...], ...]
    left: int  # columns aligned to the left
    notes: tuple[str, ...]  # what n is, what varied, which interval, what marks mean; plain sentences


def words(*texts: str) -> tuple[Entry, ...]:
    """Return fields of fixed texts, such as a header."""
    return tuple(Entry(text=word) for word in texts)


def setting(key: TableKey) -> str:
    """Return the setting that all numbers of a table share, as one sentence."""
    direction = "higher" if key.higher_is_better else "lower"
    least = f"; differences below {key.minimum_effect:g} are ties" if key.minimum_effect else ""
    return (
        f"Preset {key.preset}, track {key.track}, mode {key.mode}, protocol {key.protocol}. "
        f"Metric: {key.metric} ({text.unit_name(key.unit)}, {direction} is better{least})."
    )


def scores(table: Table) -> Grid:
    """Return means with intervals: complete rows by encoder, one column per budget."""
    rows = [row for group in table.groups for row in _score_rows(table, group)]
    return Grid(
        title=table.title,
        header=words("encoder", "method", *(budget.header for budget in table.budgets)),
        rows=tuple(rows),
        left=2,
        notes=tuple(_score_notes(table)),
    )


def _score_rows(table: Table, group: Group) -> Iterable[tuple[Entry, ...]]:
    for i, row in enumerate(group.rows):
        fields = [Entry(text=group.encoder if i == 0 else "", name=True), Entry(text=marked(row), name=True)]
        for budget in table.budgets:
            tie = f" {TIE}" if row.identity in group.ties.get(budget, ()) else ""
            shown = cell_text(row.cells.get(budget), table.key.unit)
            fields.append(Entry(text=f"{shown}{tie}", strong=group.best.get(budget) is row))
        yield tuple(fields)


def marked(row: Row) -> str:
    """Return the name of a row with its marks."""
    return " ".join([row.name, *marks(row)])


def cell_text(cell: Cell | None, unit: str) -> str:
    """Return mean, interval and number of seeds."""
    return "n/a" if cell is None else f"{summary_text(cell.summary, unit)} (n={cell.summary.n})"


def summary_text(summary: Summary, unit: str) -> str:
    """Return `mean [low, high]`, or `mean {min to max}` where there is no interval but several seeds."""
    mean = text.number(summary.mean, unit)
    if summary.low is not None and summary.high is not None:
        return f"{mean} [{text.number(summary.low, unit)}, {text.number(summary.high, unit)}]"
    if summary.n > 1:
        return f"{mean} {{{text.number(summary.minimum, unit)} to {text.number(summary.maximum, unit)}}}"
    return mean


def _score_notes(table: Table) -> list[str]:
    notes = [f"n = number of seeds. {table.interval}"]
    if any(c.summary.low is None and c.summary.n > 1 for c in table.cells):
        notes.append("Braces: smallest to largest seed; these cells have no interval.")
    if any(group.best for group in table.groups):
        tests = [group.behind[0].family for group in table.groups if group.behind]
        notes.append(
            f"Bold: best mean of its encoder and label share. {TIE}: a tie with it: the paired difference is "
            f"{_not_beyond(table)} ({_family(tests)} of an encoder with its best ones)."
        )
    if any(row.other_modality for row in table.rows):
        shown = sorted({r["modality"] for r in table.records} - {""})
        notes.append(
            f"{OTHER_MODALITY}: the encoder was pretrained on another modality than this task's input "
            f"({text.listed(shown)})."
        )
    exposed = {row.name: row.exposure for row in table.rows if row.exposure != "none"}
    notes += [f"{EXPOSED} {name}: pretraining has seen test data ({what})." for name, what in exposed.items()]
    return notes


def _not_beyond(table: Table) -> str:
    least = table.key.minimum_effect
    small = f", or below the minimum effect ({least:g})" if least else ""
    return f"not beyond p < 0.05 after Holm's correction{small}, or has no interval"


def _family(tests: Sequence[int]) -> str:
    if not tests:
        return "no comparisons"
    low, high = min(tests), max(tests)
    return f"{text.count(high, 'comparison')}" if low == high else f"{low} to {high} comparisons"


def incomplete(table: Table) -> list[str]:
    """Return one line per row that lacks runs: which, and what is there."""
    lines = []
    for group in table.groups:
        for row in group.incomplete:
            there = "; ".join(f"{b.title}: {cell_text(c, table.key.unit)}" for b, c in row.cells.items())
            lines.append(f"{group.encoder}, {marked(row)}: missing {missing(row)}. Present: {there}")
    return lines


def differences(table: Table) -> Grid | None:
    """Return paired differences to scratch and to the other references, one column per budget."""
    if not table.comparisons:
        return None
    by_pair: dict[tuple[str, str, str], dict[Budget, Comparison]] = {}
    for c in table.comparisons:
        name = marked(c.row) + ("" if c.row.complete else " (incomplete)")
        by_pair.setdefault((c.encoder, name, c.reference.name), {})[c.budget] = c
    better = "positive" if table.key.higher_is_better else "negative"
    unit = {"%": "% points"}.get(table.key.unit, text.unit_name(table.key.unit))
    least = f" and at least {table.key.minimum_effect:g}" if table.key.minimum_effect else ""
    return Grid(
        title=f"{table.title}: paired differences",
        header=words("encoder", "method", "minus", *(budget.header for budget in table.budgets)),
        rows=tuple(
            (
                *(Entry(text=name, name=True) for name in pair),
                *(_difference(found.get(b), table.key.unit) for b in table.budgets),
            )
            for pair, found in by_pair.items()
        ),
        left=3,
        notes=(
            f"Paired differences over common seeds and test units ({unit}; {better} is better) with 95 % "
            "intervals; n = number of common seeds. p: two-sided, after Holm's correction within a family "
            f"(one encoder and reference, all methods and label shares: "
            f"{_family([c.family for c in table.comparisons])}). Bold: better or worse: p < 0.05{least}; all "
            "others are ties.",
        ),
    )


def no_differences(table: Table) -> str:
    """Say why a table has no differences; "" where there are some, or nothing to compare."""
    if table.comparisons or all(row.identity.method == SCRATCH for row in table.rows):
        return ""
    return "No differences: no scratch or reference row of the same encoder shares seeds."


def _difference(comparison: Comparison | None, unit: str) -> Entry:
    if comparison is None:
        return Entry(text="n/a")
    found = comparison.difference
    after = ", ".join(filter(None, (f"n={found.n}", test_text(comparison))))
    return Entry(text=f"{difference_text(found, unit)} ({after})", strong=comparison.verdict != "tie")


def test_text(comparison: Comparison) -> str:
    """Return the corrected p value, "" where there is no test."""
    return "" if comparison.p_holm is None else text.p_value(comparison.p_holm)


def difference_text(found: Difference, unit: str) -> str:
    """Return `+mean [low, high]`, all signed; a bound beyond 0 gets the decimals that show it."""
    if found.low is None or found.high is None:
        return text.signed(found.mean, unit)
    more = 0
    near = min(abs(found.low), abs(found.high))
    while found.beyond and more < 3 and not text.signed(near, unit, more).startswith("+"):
        more += 1
    mean, low, high = (text.signed(value, unit, more) for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"
