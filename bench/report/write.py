"""Write the leaderboard of a store: records -> summaries -> figures and files, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.console import output_width
from bench.errors import DataError
from bench.files import write_atomic
from bench.report import figures, overview, page, records, terminal, text, writers
from bench.report.leaderboard import analyse
from bench.report.lineage import Lineage
from bench.report.published import published_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written, and what to print."""

    paths: tuple[Path, ...]
    markdown: str
    terminal: str  # the main tables, as wide as standard output is
    problems: tuple[str, ...]  # records that were left out, each with its reason, and what is not comparable


def report(
    store_root: Path,
    out_dir: Path,
    select: Collection[str] | None = None,
    reference: str | Sequence[str] | None = None,
    sheets: Callable[[Sequence[str]], tuple[dict[str, bytes], list[str]]] | None = None,
) -> Report:
    """Make the leaderboard of a store; all numbers come from its score records alone.

    Args:
        store_root: the store.
        out_dir: gets leaderboard.{md,html,csv,json,tex}, {differences,savings,cost_quality,over_tasks}.csv
            and plots/*.{png,svg}.
        select: keys of the score records to use; None = all.
        reference: methods to compare with, besides scratch.
        sheets: makes JPEGs of test samples by record key, and lines about those that it cannot make; None =
            the page has none.

    Raises:
        DataError: no usable score record, or `out_dir` cannot be written.
        ConfigError: no record of a reference method.
    """
    loaded = records.load(store_root, select)
    if loaded.runs.empty:
        problems = loaded.problems
        first = f"; {text.count(len(problems), 'problem')}: {problems[0]}" if problems else ""
        raise DataError(f"store {store_root} holds no usable score record of those asked for{first}")
    found = analyse(loaded, (reference,) if isinstance(reference, str) else tuple(reference or ()))
    published = published_tables(task.published or task.key["task"] for task in found.tasks)
    blocks = overview.overview(found.cells, found.differences)
    plots = figures.plots(found.cells, found.differences, found.cost_quality, found.over_tasks, found.curves)
    drawn = figures.draw_all(plots, out_dir / "plots")
    body = writers.json_body(found)
    body |= page.additions(found, published, blocks, plots, Lineage(store_root))
    data = writers.json_text(body)
    samples, lacking = page.samples(found.tasks, sheets) if sheets else ([], [])
    files = {
        "leaderboard.md": writers.markdown(found, published, blocks, plots),
        "leaderboard.html": page.render(data, body["figures"], out_dir, samples),
        "leaderboard.json": data,
        "leaderboard.tex": writers.latex(found),
        **writers.csv_files(found),
    }
    for name, content in files.items():
        write_atomic(out_dir / name, content)
    return Report(
        paths=(*(out_dir / name for name in files), *drawn),
        markdown=files["leaderboard.md"],
        terminal=terminal.terminal(found, blocks, output_width()),
        problems=(*found.problems, *lacking),
    )
