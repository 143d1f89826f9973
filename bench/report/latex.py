"""The leaderboard as LaTeX tables for papers: `booktabs` is all that is needed besides a standard class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from bench.report import grids, notes, saving_grids, summary_grids
from bench.report.analysis import Analysis
from bench.report.grids import Entry, Grid
from bench.report.tables import Table
from bench.report.text import plain

_HEAD = (
    "% Made by bodybench from score records alone. Use with \\usepackage{booktabs} and \\input{leaderboard},",
    "% or copy single tables. Characters that plain pdfLaTeX may lack are written as [U+....].",
)
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}",
    notes.TIE: r"$\approx$", notes.OTHER_MODALITY: r"\dag{}", notes.EXPOSED: r"\ddag{}",
    saving_grids.ON_FRONT: r"$\diamond$",
}  # fmt: skip
_ASCII = str.maketrans({key: word for key, word in _ESCAPES.items() if key.isascii()})
_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿČčŁłŠšŽž"  # in every text font


def latex(found: Analysis) -> str:
    """Return all tables, each a floating `table` with a caption that says n, interval and what varied."""
    lines = list(_HEAD)
    for part in (*(list(_of_task(table, found)) for table in found.tables), list(_over_tasks(found))):
        for grid in part:
            lines += ["", *_table(grid)]
        lines += ["", r"\clearpage % LaTeX holds few floats at a time"] if part else []
    return "\n".join(lines) + "\n"


def _over_tasks(found: Analysis) -> Iterator[Grid]:
    for overall in found.overall:
        yield from filter(None, (summary_grids.over_tasks(overall), summary_grids.pairs_over_tasks(overall)))


def _of_task(table: Table, found: Analysis) -> Iterator[Grid]:
    shown = (grids.scores(table), grids.differences(table), *saving_grids.of_table(table, found))
    more = (grids.setting(table.key), *(f"Incomplete, not ranked: {x}." for x in grids.incomplete(table)))
    for grid in shown:
        if grid is not None and grid.rows:
            yield Grid(
                title=grid.title,
                header=grid.header,
                rows=grid.rows,
                left=grid.left,
                notes=(more[0], *grid.notes, *more[1:]),
            )


def _table(grid: Grid) -> list[str]:
    columns = "l" * grid.left + "r" * (len(grid.header) - grid.left)
    caption = " ".join(escape(text) for text in (f"{grid.title}.", *dict.fromkeys(grid.notes)))
    return [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        _row(grid.header),
        r"\midrule",
        *map(_row, grid.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _row(entries: Sequence[Entry]) -> str:
    return " & ".join(map(_entry, entries)) + r" \\"


def _entry(entry: Entry) -> str:
    shown = escape(entry.text)
    return rf"\textbf{{{shown}}}" if entry.strong else shown


@lru_cache(maxsize=8192)  # names and notes occur many times
def escape(text: str) -> str:
    """Return a text on one line that LaTeX prints as it is.

    >>> escape("50 % of a_b & +1.0")
    '50 \\\\% of a\\\\_b \\\\& +1.0'
    """
    shown = plain(text)
    escaped = shown.translate(_ASCII) if shown.isascii() else "".join(map(_character, shown))
    apart = re.sub(r"([-'!?,])(?=[-'`,])", r"\1{}", escaped)  # no ligatures
    return f"{{[}}{apart[1:]}" if apart.startswith("[") else apart  # else an argument of the row before


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() or character in _LETTERS:
        return character
    return f"[U+{ord(character):04X}]"
