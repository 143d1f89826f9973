"""The files of a leaderboard: Markdown, CSV, JSON, LaTeX, an HTML page and figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import DataError
from bench.files import write_atomic
from bench.report import figures, overview, page, text
from bench.report.analysis import Analysis, arrange, complete
from bench.report.exports import csv_text, json_text
from bench.report.frame import Loaded, tabulate
from bench.report.latex import latex
from bench.report.lineage import Lineage
from bench.report.markdown import Picture, document
from bench.report.published import published_tables
from bench.report.reading import COSTS, Read
from bench.report.rows import cell_rows, cost_quality_rows, difference_rows, over_tasks_rows, saving_rows
from bench.report.terminal import terminal
from bench.report.workers import Workers

FACTS = ("pretrain_seed", "exposure", "interval_unit", "n_units", "n_replicates", *COSTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written, and what to print."""

    paths: tuple[Path, ...]
    markdown: str
    terminal: str  # the main tables in 100 columns
    problems: tuple[str, ...]  # records that were left out, each with its reason


def assemble(
    read: Read, store_root: Path, out_dir: Path, references: Sequence[str], workers: Workers
) -> Report:
    """Make the leaderboard of records, see `write.report`."""
    loaded = tabulate(read)
    _check(loaded, store_root)
    found = complete(arrange(loaded, references))
    published = published_tables(table.published or table.key.task for table in found.tables)
    cells = {table.key: cell_rows([table]) for table in found.tables}
    rows = {
        "leaderboard.csv": [row for rows in cells.values() for row in rows],
        "differences.csv": difference_rows(found.tables),
        "savings.csv": saving_rows(found.savings),
        "cost_quality.csv": cost_quality_rows(found.fronts),
        "over_tasks.csv": over_tasks_rows(found.overall),
    }
    frames = {name: _frame(part) for name, part in rows.items()}
    names = ("leaderboard.csv", "differences.csv", "cost_quality.csv", "over_tasks.csv")
    plots = figures.plots(*(frames[name] for name in names), curves=found.curves)
    paths = figures.draw_all(plots, out_dir / "plots")
    blocks = overview.overview(frames["leaderboard.csv"], frames["differences.csv"])
    body = json.loads(json_text(found, cells, published)) | _additions(
        loaded, found, blocks, plots, store_root
    )
    data = json.dumps(body, allow_nan=False, ensure_ascii=False) + "\n"
    texts = {
        "leaderboard.md": document(found, published, _pictures(plots)),
        "leaderboard.html": page.render(data, body["figures"], out_dir),
        "leaderboard.json": data,
        "leaderboard.tex": latex(found),
        **{name: csv_text(part) for name, part in rows.items()},
    }
    for name, content in texts.items():
        write_atomic(out_dir / name, content)
    return Report(
        paths=(*(out_dir / name for name in texts), *paths),
        markdown=texts["leaderboard.md"],
        terminal=terminal(found.tables),
        problems=found.problems,
    )


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    for name in frame.columns.intersection(
        ["low", "high", "device_hours", "average_rank", "critical_difference", "friedman_p"]
    ):
        frame[name] = frame[name].astype(float)
    return frame


def _additions(
    loaded: Loaded,
    found: Analysis,
    blocks: Sequence[overview.Block],
    plots: Sequence[figures.Plot],
    store_root: Path,
) -> dict[str, Any]:
    primary = loaded.frame[loaded.frame["primary"]].set_index("key")[list(FACTS)]
    rows = primary.astype(object).where(primary.notna(), None)
    facts: dict[str, Any] = rows.to_dict("index")
    names = [row.name for table in found.tables for row in table.rows]
    names += [name for overall in found.overall for name in overall.methods]
    runs = page.records(facts, loaded.details, found.curves, Lineage(store_root))
    return page.additions(blocks, plots, runs, names)


def _pictures(plots: Sequence[figures.Plot]) -> dict[Any, list[Picture]]:
    """Return how Markdown refers to the figures."""
    pictures: dict[Any, list[Picture]] = {}
    for plot in plots:
        picture = Picture(path=f"plots/{plot.name}.png", title=plot.title, caption=plot.caption)
        pictures.setdefault(plot.subject, []).append(picture)
    return pictures


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
