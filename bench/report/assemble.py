"""The files of a leaderboard: Markdown, CSV, JSON, LaTeX, an HTML page and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.console import output_width
from bench.errors import DataError
from bench.files import write_atomic
from bench.report import text
from bench.report.analysis import Analysis, arrange, complete
from bench.report.drawing import draw_all, import_drawing
from bench.report.exports import csv_text, json_text
from bench.report.figure import Plot
from bench.report.frame import Loaded, tabulate
from bench.report.gallery import Planned, plan, plan_rest, styles
from bench.report.html import Content, Page
from bench.report.latex import latex
from bench.report.lineage import Lineage
from bench.report.markdown import Picture, Subject, document
from bench.report.page.entries import Sources
from bench.report.published import PublishedTable, published_tables
from bench.report.reading import Read
from bench.report.rows import cell_rows, cost_quality_rows, difference_rows, over_tasks_rows, saving_rows
from bench.report.terminal import terminal
from bench.report.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written, and what to print."""

    paths: tuple[Path, ...]
    markdown: str
    terminal: str  # the main tables, as wide as standard output is
    problems: tuple[str, ...]  # records that were left out, each with its reason


def assemble(
    read: Read, store_root: Path, out_dir: Path, references: Sequence[str], workers: Workers
) -> Report:
    """Make the leaderboard of records, see `write.report`."""
    loaded = tabulate(read)
    _check(loaded, store_root)
    workers.prepare(import_drawing)
    begun = arrange(loaded, references)
    planned = list(plan(begun))
    texts: dict[str, str] = {}
    rest: list[tuple[Analysis, Page]] = []

    def write_texts() -> list[Plot]:
        found = complete(begun)
        published = published_tables(table.published or table.key.task for table in found.tables)
        further = list(plan_rest(found))
        pictures = _pictures([*planned, *further])
        texts.update(_texts(found, published, pictures))
        sources = Sources(
            details=loaded.details,
            curves=found.curves,
            lineage=Lineage(store_root),
            colours={name: look.colour for name, look in styles(found.tables).items()},
        )
        content = Content(found=found, published=published, pictures=pictures, sources=sources)
        rest.append((found, Page(content)))
        return [shown.plot for shown in further]

    folder = out_dir / "plots"
    drawn = draw_all([shown.plot for shown in planned], folder, workers, meanwhile=write_texts)
    found, page = rest[0]
    texts["leaderboard.html"] = page.render(out_dir)
    for name, body in texts.items():
        write_atomic(out_dir / name, body)
    plots = [path for plot in drawn for path in plot.paths(folder).values()]
    return Report(
        paths=(*(out_dir / name for name in texts), *plots),
        markdown=texts["leaderboard.md"],
        terminal=terminal(found.tables, output_width()),
        problems=found.problems,
    )


def _texts(
    found: Analysis, published: Sequence[PublishedTable], pictures: Mapping[Subject, Sequence[Picture]]
) -> dict[str, str]:
    """Return the files of a report that are texts, by name, but for the page, which holds the plots."""
    cells = {table.key: cell_rows([table]) for table in found.tables}
    return {
        "leaderboard.md": document(found, published, pictures),
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


def _pictures(planned: Iterable[Planned]) -> dict[Subject, list[Picture]]:
    """Return how Markdown and page refer to the plots."""
    pictures: dict[Subject, list[Picture]] = {}
    for shown in planned:
        plot = shown.plot
        picture = Picture(
            path=f"plots/{plot.name}.png", title=plot.title, caption=plot.caption, encoder=shown.encoder
        )
        pictures.setdefault(shown.subject, []).append(picture)
    return pictures
