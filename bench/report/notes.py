"""Words that Markdown, LaTeX, the terminal and the HTML page have in common."""

from __future__ import annotations

from bench.report import text
from bench.report.cells import Row

TIE = "≈"
OTHER_MODALITY = "†"
EXPOSED = "‡"
NOT_COMPARABLE = "Published numbers (another protocol; not comparable)"
PUBLISHED = (
    "As printed in the papers: other data, budgets and recipes, one run each, no intervals. They stand here "
    "for orientation and take part in no comparison above."
)
SCOPE = "Tables never mix presets, tracks, modes or protocols; rows compare within one encoder."


def marks(row: Row) -> list[str]:
    """Return the marks that a row's name carries."""
    return [OTHER_MODALITY] * row.other_modality + [EXPOSED] * (row.exposure != "none")


def missing(row: Row) -> str:
    """Return the runs that a row lacks, by budget."""
    return "; ".join(
        f"{budget.title}: {'seed' if len(runs) == 1 else 'seeds'} {text.listed([str(s) for s, _ in runs])}"
        for budget, runs in row.missing.items()
    )
