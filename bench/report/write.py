"""Write the leaderboard of a store: Markdown, CSV, JSON, LaTeX, an HTML page and plots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError
from bench.files import write_atomic
from bench.report import text
from bench.report.analysis import Analysis, analyse
from bench.report.drawing import draw_all
from bench.report.exports import csv_text, json_text
from bench.report.frame import Loaded, load
from bench.report.gallery import plan, styles
from bench.report.html import Content, page
from bench.report.latex import latex
from bench.report.lineage import Lineage
from bench.report.markdown import Picture, Subject, document
from bench.report.page.entries import Sources
from bench.report.published import published_tables
from bench.report.rows import cell_rows, cost_quality_rows, difference_rows, over_tasks_rows, saving_rows
from bench.report.terminal import terminal
from bench.report.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written, and what to print."""

    paths: tuple[Path, ...]
    markdown: str
    terminal: str  # the main tables in 100 columns
    problems: tuple[str, ...]  # records that were left out, each with its reason


def report(
    store_root: Path,
    out_dir: Path,
    select: Collection[str] | None = None,
    reference: str | Sequence[str] | None = None,
) -> Report:
    """Make the leaderboard of a store; all numbers come from its score records alone.

    Args:
        store_root: the store.
        out_dir: gets leaderboard.{md,html,csv,json,tex}, {differences,savings,cost_quality,over_tasks}.csv
            and plots/*.{png,svg}.
        select: keys of the score records to use; None = all.
        reference: methods to compare with, besides scratch.

    Raises:
        DataError: no usable score record, or `out_dir` cannot be written.
        ConfigError: no record of a reference method.
    """
    references = (reference,) if isinstance(reference, str) else tuple(reference or ())
    with Workers() as workers:
        loaded = load(store_root, select, workers)
        _check(loaded, store_root)
        found = analyse(loaded, references)
        paths, pictures = _draw(found, out_dir, workers)
    published = published_tables(table.published or table.key.task for table in found.tables)
    sources = Sources(
        details=loaded.details,
        curves=found.curves,
        lineage=Lineage(store_root),
        colours={name: look.colour for name, look in styles(found).items()},
    )
    texts = _texts(Content(found=found, published=published, pictures=pictures, sources=sources), out_dir)
    for name, body in texts.items():
        write_atomic(out_dir / name, body)
    written = (*(out_dir / name for name in texts), *paths)
    return Report(
        paths=written,
        markdown=texts["leaderboard.md"],
        terminal=terminal(found.tables),
        problems=found.problems,
    )


def _texts(content: Content, out_dir: Path) -> dict[str, str]:
    """Return the files of a report that are texts, by name; the plots must be there already."""
    found, published = content.found, content.published
    cells = {table.key: cell_rows([table]) for table in found.tables}
    return {
        "leaderboard.md": document(found, published, content.pictures),
        "leaderboard.html": page(content, out_dir),
        "leaderboard.csv": csv_text([row for rows in cells.values() for row in rows]),
        "differences.csv": csv_text(difference_rows(found.tables)),
        "savings.csv": csv_text(saving_rows(found.savings)),
        "cost_quality.csv": csv_text(cost_quality_rows(found.fronts)),
        "over_tasks.csv": csv_text(over_tasks_rows(found.overall)),
        "leaderboard.json": json_text(found, cells, published),
        "leaderboard.tex": latex(found),
    }


def _check(loaded: Loaded, store_root: Path) -> None:
    """Make sure that something can be shown.

    Raises:
        DataError: no record is left.
    """
    if loaded.frame.empty:
        first = (
            f"; {text.count(len(loaded.problems), 'problem')}: {loaded.problems[0]}"
            if loaded.problems
            else ""
        )
        raise DataError(f"store {store_root} holds no usable score record of those asked for{first}")


def _draw(
    found: Analysis, out_dir: Path, workers: Workers
) -> tuple[list[Path], dict[Subject, list[Picture]]]:
    """Write all plots; return their paths and how Markdown and page refer to them."""
    folder = out_dir / "plots"
    paths: list[Path] = []
    pictures: dict[Subject, list[Picture]] = {}
    planned = list(plan(found))
    made = draw_all([shown.plot for shown in planned], folder, workers)
    for shown, drawn in zip(planned, made, strict=True):
        paths += drawn.paths(folder).values()
        picture = Picture(
            path=f"plots/{drawn.name}.png", title=drawn.title, caption=drawn.caption, encoder=shown.encoder
        )
        pictures.setdefault(shown.subject, []).append(picture)
    return paths, pictures
