"""Write the leaderboard of a store: Markdown, CSV, JSON, an HTML page and plots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import DataError
from bench.files import write_atomic
from bench.report import text
from bench.report.costs import cost_rows
from bench.report.drawing import draw_all, plan
from bench.report.exports import cell_rows, csv_text, difference_rows, json_text
from bench.report.frame import Loaded, load
from bench.report.html import Content, page
from bench.report.lineage import Lineage
from bench.report.markdown import Picture, document
from bench.report.page.entries import Sources
from bench.report.palette import Look, looks
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
    """Make the leaderboard of a store; all numbers come from its score records alone.

    Args:
        store_root: the store.
        out_dir: gets leaderboard.{md,html,csv,json}, differences.csv and plots/*.{png,svg}.
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
    curves = _curves(loaded)
    style = looks(row.name for table in tables for row in table.rows)
    paths, pictures = _draw(tables, curves, style, out_dir)
    sources = Sources(
        details=loaded.details,
        curves=curves,
        lineage=Lineage(store_root),
        colours={name: look.colour for name, look in style.items()},
    )
    content = Content(
        tables=tables, costs=costs, published=published, pictures=pictures, problems=problems, sources=sources
    )
    texts = _texts(content, out_dir)
    for name, body in texts.items():
        write_atomic(out_dir / name, body)
    written = (*(out_dir / name for name in texts), *paths)
    markdown = texts["leaderboard.md"]
    return Report(paths=written, markdown=markdown, terminal=terminal(tables), problems=problems)


def _texts(content: Content, out_dir: Path) -> dict[str, str]:
    """Return the files of a report that are texts, by name; the plots must be there already."""
    tables, costs, published, problems = content.tables, content.costs, content.published, content.problems
    return {
        "leaderboard.md": document(tables, costs, published, content.pictures, problems),
        "leaderboard.html": page(content, out_dir),
        "leaderboard.csv": csv_text(cell_rows(tables)),
        "differences.csv": csv_text(difference_rows(tables)),
        "leaderboard.json": json_text(tables, costs, published, problems),
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


def _curves(loaded: Loaded) -> dict[str, Floats]:
    """Return the curve of every record that has one, (P, 2): progress, ascending, and the metric."""
    points = loaded.curves.sort_values(["key", "progress"])
    keys = points["key"].tolist()
    values = points[["progress", "value"]].to_numpy(dtype=float)
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    parts = np.split(values, starts)[1:]  # the first one is what stands before the first start: nothing
    return {str(keys[i]): part for i, part in zip(starts, parts, strict=True)}


def _draw(
    tables: Sequence[Table], curves: Mapping[str, Floats], style: Mapping[str, Look], out_dir: Path
) -> tuple[list[Path], dict[TableKey, list[Picture]]]:
    """Write all plots; return their paths and how Markdown and page refer to them."""
    folder = out_dir / "plots"
    paths: list[Path] = []
    pictures: dict[TableKey, list[Picture]] = {}
    jobs = list(plan(tables, curves, style))
    for job, drawn in zip(jobs, draw_all(jobs, folder), strict=True):
        if drawn:
            paths += drawn.paths(folder).values()
            picture = Picture(
                path=f"plots/{drawn.name}.png",
                title=drawn.title,
                caption=drawn.caption,
                encoder="" if job.curves is None else job.table.groups[0].encoder,
            )
            pictures.setdefault(job.table.key, []).append(picture)
    return paths, pictures
