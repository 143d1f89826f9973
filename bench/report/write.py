"""Write the leaderboard of a store: Markdown, CSV, JSON and plots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError
from bench.files import write_atomic
from bench.report import text
from bench.report.costs import cost_rows
from bench.report.drawing import draw_all, plan
from bench.report.exports import cell_rows, csv_text, difference_rows, json_text
from bench.report.frame import Loaded, load
from bench.report.markdown import Picture, document
from bench.report.palette import looks
from bench.report.published import published_tables
from bench.report.stats import Floats
from bench.report.tables import Table, TableKey, build_tables
from bench.report.terminal import terminal


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
    """Make the leaderboard of a store from its score records alone.

    Args:
        store_root: the store.
        out_dir: gets leaderboard.{md,csv,json}, differences.csv and plots/*.{png,svg}.
        select: keys of the score records to use; None = all.
        reference: methods to compare with, besides scratch.

    Raises:
        DataError: no usable score record, or `out_dir` cannot be written.
        ConfigError: no record of a reference method.
    """
    loaded = load(store_root, select)
    _check(loaded, store_root)
    references = (reference,) if isinstance(reference, str) else tuple(reference or ())
    tables, doubtful = build_tables(loaded, references)
    problems = (*loaded.problems, *doubtful)
    costs = cost_rows(tables)
    published = published_tables(table.published or table.key.task for table in tables)
    paths, pictures = _draw(tables, loaded, out_dir)
    markdown = document(tables, costs, published, pictures, problems)
    texts = {
        "leaderboard.md": markdown,
        "leaderboard.csv": csv_text(cell_rows(tables)),
        "differences.csv": csv_text(difference_rows(tables)),
        "leaderboard.json": json_text(tables, costs, published, problems),
    }
    for name, content in texts.items():
        write_atomic(out_dir / name, content)
    written = (*(out_dir / name for name in texts), *paths)
    return Report(paths=written, markdown=markdown, terminal=terminal(tables), problems=problems)


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
    tables: Sequence[Table], loaded: Loaded, out_dir: Path
) -> tuple[list[Path], dict[TableKey, list[Picture]]]:
    """Write all plots; return their paths and how the Markdown refers to them."""
    curves: dict[str, Floats] = {
        str(key): part[["progress", "value"]].to_numpy(dtype=float)
        for key, part in loaded.curves.sort_values(["key", "progress"]).groupby("key")
    }
    style = looks(row.name for table in tables for row in table.rows)
    folder = out_dir / "plots"
    paths: list[Path] = []
    pictures: dict[TableKey, list[Picture]] = {}
    jobs = list(plan(tables, curves, style))
    for job, drawn in zip(jobs, draw_all(jobs, folder), strict=True):
        if drawn:
            paths += drawn.paths(folder).values()
            picture = Picture(path=f"plots/{drawn.name}.png", title=drawn.title, caption=drawn.caption)
            pictures.setdefault(job.table.key, []).append(picture)
    return paths, pictures
