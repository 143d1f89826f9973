"""What has to be said beside a table, as plain text; Markdown and the HTML page print the same words."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report import text
from bench.report.cells import Row
from bench.report.tables import Table, TableKey

TIE = "≈"
OTHER_MODALITY = "†"
EXPOSED = "‡"
NOT_COMPARABLE = "Published numbers (another protocol; not comparable)"
PUBLISHED = (
    "As printed in the papers: other data, budgets and recipes, one run each, no intervals. They stand here "
    "for orientation and take part in no comparison above."
)
SCOPE = "Tables never mix presets, tracks, modes or protocols; rows compare within one encoder."
COST = "Means over records; a pretraining that several cells share is counted in each."
NO_DIFFERENCES = "No differences: no scratch or reference row of the same encoder shares seeds."


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One paragraph: a text, then what bold print means, where it means something."""

    text: str = ""
    bold: str = ""


def setting(key: TableKey) -> str:
    """Return the setting that all numbers of a table share."""
    direction = "higher" if key.higher_is_better else "lower"
    return (
        f"Preset {key.preset}, track {key.track}, mode {key.mode}, protocol {key.protocol}. "
        f"Metric: {key.metric} ({text.unit_name(key.unit)}, {direction} is better)."
    )


def legend(table: Table) -> list[Note]:
    """Return what n is, what varied, what the intervals cover, and what the marks mean."""
    notes = [Note(text=f"n = number of seeds. {table.interval}")]
    if any(c.summary.low is None and c.summary.n > 1 for c in table.cells):
        notes.append(Note(text="Braces: smallest to largest seed; these cells have no interval."))
    if any(group.best for group in table.groups):
        meaning = (
            f"best mean of its encoder and label share. {TIE}: not distinguishable from it (the 95 % "
            "interval of the paired difference covers 0, or there is none)."
        )
        notes.append(Note(bold=meaning))
    if any(row.other_modality for row in table.rows):
        shown = text.listed(sorted({r["modality"] for r in table.records} - {""}))
        meaning = f"the encoder was pretrained on another modality than this task's input ({shown})."
        notes.append(Note(text=f"{OTHER_MODALITY}: {meaning}"))
    exposed = [row for row in table.rows if row.exposure != "none"]
    notes += [
        Note(text=f"{EXPOSED} {row.name}: pretraining has seen test data ({row.exposure}).")
        for row in exposed
    ]
    return list(dict.fromkeys(notes))


def differences(key: TableKey) -> Note:
    """Return what the paired differences of a table are."""
    better = "positive" if key.higher_is_better else "negative"
    unit = {"%": "% points"}.get(key.unit, text.unit_name(key.unit))
    return Note(
        text=f"Paired differences over common seeds and test units ({unit}; {better} is better).",
        bold="beyond the interval (95 %, it leaves out 0; not corrected for the number of comparisons).",
    )


def marks(row: Row) -> list[str]:
    """Return the marks that a row's name carries."""
    return [OTHER_MODALITY] * row.other_modality + [EXPOSED] * (row.exposure != "none")


def missing(row: Row) -> str:
    """Return the runs that a row lacks, by budget."""
    return "; ".join(
        f"{budget.title}: {'seed' if len(runs) == 1 else 'seeds'} {text.listed([str(s) for s, _ in runs])}"
        for budget, runs in row.missing.items()
    )
