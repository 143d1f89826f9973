"""The leaderboard as one HTML page that needs nothing beside it: style, script, plots and records inside.

`page/page.html` is the page, filled in by Jinja, which escapes every text. A content security policy forbids
all requests; the only script and style that run are those whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bench.report import notes, summary_grids, text
from bench.report.analysis import Analysis
from bench.report.costs import CostRow, shown
from bench.report.markdown import Picture, Subject
from bench.report.overall import Overall
from bench.report.page.blocks import Builder
from bench.report.page.entries import Entries, Sources
from bench.report.page.facets import Facets
from bench.report.page.figures import embed
from bench.report.page.grid import Better, Column, Grid, GridCell, GridGroup, GridRow, Section, part, plain
from bench.report.published import PublishedTable
from bench.report.tables import Table

_COSTS: Mapping[str, tuple[str, Better]] = {  # attribute of `CostRow` and its better end, by column
    "pretraining samples": ("pretrain_samples_seen", "low"),
    "pretraining time": ("pretrain_wall_s", "low"),
    "pretraining samples/s": ("pretrain_samples_per_s", "high"),
    "fine-tuning runs": ("runs", "high"),
    "time per run": ("wall_s", "low"),
    "fine-tuning samples/s": ("samples_per_s", "high"),
    "peak memory": ("peak_memory_mb", "low"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that the page shows."""

    found: Analysis
    published: Sequence[PublishedTable]
    pictures: Mapping[Subject, Sequence[Picture]]
    sources: Sources


class Page:
    """The page of a report; the same content and plots give the same text.

    Args:
        content: what to show; it is arranged at once, before the plots need to be there.
    """

    def __init__(self, content: Content) -> None:
        found, tables = content.found, content.found.tables
        facets, entries = Facets(tables), Entries(content.sources)
        blocks = [
            Builder(table, facets, entries, content.sources.colours).block(
                found, content.pictures.get(table.key, ())
            )
            for table in tables
        ]
        self._template, css, script = _parts()
        self._pictures = [p for pictures in content.pictures.values() for p in pictures]
        self._arranged = {
            "css": css,
            "script": script,
            "policy": _policy(css, script),
            "cost_note": summary_grids.COST,
            "notes": notes,
            "counts": _counts(tables),
            "facets": facets,
            "blocks": blocks,
            "several_settings": len({block.words for block in blocks}) > 1,
            "sections": [_over_tasks(o, facets, content.pictures) for o in found.overall],
            "costs": list(_costs(found.costs, facets)),
            "published": [_published(table, facets, tables) for table in content.published],
            "problems": found.problems,
            "records": Markup(entries.json()),
        }

    def render(self, folder: Path) -> str:
        """Return the HTML.

        Args:
            folder: where the paths of pictures begin.
        """
        figures = embed(self._pictures, folder)
        left_out = sum(not figure.source for figure in figures.values())
        return self._template.render(**self._arranged, figures=figures, left_out=left_out)


@lru_cache(maxsize=1)
def _parts() -> tuple[Template, Markup, Markup]:
    """Return the template, the style and the script."""
    names = ("page.html", "page.css", "page.js")
    folder = resources.files("bench.report.page")
    template, css, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    return environment.from_string(template), Markup(css), Markup(script)


def _visible(value: Any) -> Any:
    """Take invisible characters and line breaks out of every text that is not markup."""
    return text.plain(value) if type(value) is str else value


def _policy(css: str, script: str) -> str:
    """Return the content security policy: nothing may be requested, nothing else may run."""
    styles, scripts = (
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (css, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{styles}'; script-src 'sha256-{scripts}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _counts(tables: Sequence[Table]) -> str:
    """Return how much is shown, e.g. `90 score records, 4 methods, 3 tasks, 2 encoders`."""
    records = [record for table in tables for record in table.records]
    parts = [text.count(len({record["key"] for record in records}), "score record")]
    parts += [text.count(len({r[n] for r in records}), n) for n in ("method", "task", "encoder")]
    return ", ".join(parts)


def _over_tasks(overall: Overall, facets: Facets, pictures: Mapping[Subject, Sequence[Picture]]) -> Section:
    """Return what is said about the methods of one encoder over all tasks."""
    names = ("preset", "track", "mode", "protocol")
    shown = {
        "Ranks and normalised scores": summary_grids.over_tasks(overall),
        "Pairs of methods": summary_grids.pairs_over_tasks(overall),
    }
    said = ("" if overall.ranks else summary_grids.absent(overall), summary_grids.left_out(overall))
    return Section(
        title=f"Over tasks: {overall.encoder}",
        words="{}, {}, {}, protocol {}".format(*overall.setting),
        facets={n: facets.of(n, word) for n, word in zip(names, overall.setting, strict=True)}
        | {"encoder": facets.of("encoder", overall.encoder)},
        parts=tuple(part(grid, title, facets) for title, grid in shown.items() if grid),
        notes=tuple(filter(None, said)),
        pictures=tuple(pictures.get((overall.setting, overall.encoder), ())),
    )


def _costs(costs: Sequence[CostRow], facets: Facets) -> Iterator[tuple[Mapping[str, int], str, Grid]]:
    """Yield one grid per setting with its facets and the words for it."""
    names = ("preset", "track", "mode", "protocol")
    for setting, chosen in groupby(costs, key=lambda row: row.setting):
        words = "Preset {}, track {}, mode {}, protocol {}".format(*setting)
        groups = [
            GridGroup(
                title=encoder,
                encoder=facets.of("encoder", encoder),
                rows=tuple(_cost_row(row) for row in rows),
            )
            for encoder, rows in groupby(chosen, key=lambda row: row.encoder)
        ]
        columns = tuple(Column(title=title, better=better) for title, (_, better) in _COSTS.items())
        grid = Grid(label=f"Cost: {words}", left=("method",), columns=columns, groups=tuple(groups))
        yield {n: facets.of(n, word) for n, word in zip(names, setting, strict=True)}, words, grid


def _cost_row(row: CostRow) -> GridRow:
    words = shown(row)
    cells = tuple(
        GridCell(main=words[title], value=getattr(row, name)) for title, (name, _) in _COSTS.items()
    )
    return GridRow(texts=(row.method,), cells=cells, method=row.method)


def _published(table: PublishedTable, facets: Facets, tables: Sequence[Table]) -> tuple[str, str, Grid]:
    """Return the tasks it belongs to (facet), a title and the numbers as printed."""
    header = ("dataset", "method", "init", "pretraining data", "backbone", "setting", *table.metrics)
    rows = [(*row.labels, *row.cells(table.metrics)) for row in table.rows]
    title = f"{table.task}, {table.paper}: {text.count(len(rows), 'row')}"
    label = f"Published numbers, another protocol: {table.task}, {table.paper}"
    return facets.of_published(table.task, tables), title, plain(label, header, rows, left=6)
