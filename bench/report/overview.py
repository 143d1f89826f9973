"""Which method wins where: one table of methods by tasks for every encoder and label budget.

The first thing that the page, the Markdown and the terminal show. All numbers come from the frames of
`leaderboard.csv` and `differences.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report import budget, text
from bench.report.records import SCRATCH, SETTING, TABLE, tuples, with_kinds
from bench.report.tables import ORIGIN, USES, Column, Entry, Row, Table, facets, several_origins
from bench.report.text import TIE

BETTER, WORSE = "▲", "▼"
NOTE = (
    f"Bold: best of a column. {TIE}: tie with it. {BETTER} {WORSE}: better or worse than scratch (paired, "
    "p < 0.05 after Holm's correction). Average rank: 1 is best; over the tasks, for methods that have them "
    f"all. {USES} Missing: tasks that a method lacks, or where it lacks runs (in parentheses)."
)
SHADES = (0.5, 1.0, 2.0)  # differences to scratch, in half-widths of their interval, from which colours begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One encoder and label budget under one protocol."""

    setting: tuple[str, ...]
    encoder: str
    fraction: str
    labels: str  # the budget for people
    answer: str  # which methods have the best average rank; "" where there are no ranks
    table: Table  # methods by tasks, best average rank first
    facets: Mapping[str, Sequence[str]]


def is_scratch(name: str) -> bool:
    """Tell whether a row is one of scratch: `scratch`, or `scratch (...)` where there are several."""
    return name == SCRATCH or name.startswith(f"{SCRATCH} (")


def distinctions(primary: pd.DataFrame) -> dict[tuple[Any, ...], str]:
    """Return by `TABLE` what tells tables of one task and data set apart, "" where there is one."""
    keys = list(dict.fromkeys(primary[list(TABLE)].itertuples(index=False, name=None)))
    titles = [(*key[:6], key[-1]) for key in keys]
    return {
        key: f", {key[6]}, test set {key[10]}, minimum effect {key[9]:g}" if titles.count(title) > 1 else ""
        for key, title in zip(keys, titles, strict=True)
    }


def overview(cells: pd.DataFrame, differences: pd.DataFrame) -> list[Block]:
    """Arrange the primary metrics of all cells.

    Args:
        cells: of `leaderboard.csv`.
        differences: of `differences.csv`.
    """
    primary = with_kinds(cells[cells["primary"].astype(bool)])
    words = distinctions(primary)
    against = _against_scratch(with_kinds(differences))
    grouped: dict[Any, pd.DataFrame] = dict(list(primary.groupby([*SETTING, "encoder", "fraction"])))
    places = sorted(grouped, key=_order)
    return [_block(place, grouped[place], words, against) for place in places]


def _order(place: Any) -> tuple[Any, ...]:
    """Sort by setting and encoder, then shares of the labels before shots."""
    *where, label = place
    found = budget.parse(label)
    return (*where, found.kind, found)


def _against_scratch(differences: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, int]]:
    """Return verdict and shade of the differences to scratch by table, encoder, share and method."""
    found: dict[tuple[Any, ...], tuple[str, int]] = {}
    if differences.empty:
        return found
    rows = differences[(differences["against"] == "reference") & differences["reference"].map(is_scratch)]
    columns = [*TABLE, "encoder", "fraction", "method", "verdict", "difference", "low", "high"]
    for *place, verdict, difference, low, high in rows[columns].itertuples(index=False, name=None):
        sign, half = (1 if place[TABLE.index("higher_is_better")] else -1), (high - low) / 2
        shade = sum(abs(difference) > limit * half for limit in SHADES) if half > 0 else 0
        found.setdefault(tuple(place), (verdict, sign * shade if difference > 0 else -sign * shade))
    return found


def _block(
    place: tuple[Any, ...],
    cells: pd.DataFrame,
    words: Mapping[tuple[Any, ...], str],
    against: Mapping[tuple[Any, ...], tuple[str, int]],
) -> Block:
    *setting, encoder, fraction = place
    every: list[Any] = [*cells[list(TABLE)].itertuples(index=False, name=None)]
    cells, keys = cells.assign(key=every), list(dict.fromkeys(every))
    found = {(cell.key, cell.name): cell for cell in tuples(cells)}
    uses = dict(zip(cells["name"], cells["uses"].map(text.known), strict=True))
    data = dict(zip(cells["name"], cells["pretrain_data"].map(text.known), strict=True))
    origins = several_origins(cells["pretrain_data"])
    missing = {n: sum((k, n) not in found or not found[k, n].complete for k in keys) for n in uses}
    ranks = _average_ranks(cells[cells["name"].map(missing) == 0])
    rows = []
    for name in sorted(uses, key=lambda n: (missing[n], ranks.get(n, 0.0), n)):
        rank, lacks = ranks.get(name), missing[name]
        tiles = [
            _tile(found.get((key, name)), *against.get((*key, *place[4:], name), ("", 0))) for key in keys
        ]
        entries = [
            Entry(text="-" if rank is None else f"{rank:.2f}", value=rank),
            Entry(text=str(lacks or "")),
        ]
        rows.append(
            Row(method=name, names=(name, *[data[name]] * origins, uses[name]), entries=[*entries, *tiles])
        )
    preset, track, mode, protocol = setting
    labels = budget.parse(fraction).header
    better = {
        name: sum(against.get((*key, *place[4:], name), ("", 0))[0] == "better" for key in keys)
        for name in ranks
    }
    answer = _answer(ranks, better, tasks=len(keys), methods=len(uses))
    return Block(
        setting=tuple(map(str, setting)),
        encoder=encoder,
        fraction=fraction,
        labels=labels,
        answer=answer,
        table=Table(
            kind="matrix",
            title=f"{encoder}, {labels} ({preset}, {track}, {mode}, protocol {protocol})",
            left=("method", *[ORIGIN] * origins, "uses"),
            columns=[Column(title="average rank"), Column(title="missing"), *_columns(keys, words)],
            rows=rows,
            notes=[f"Best: {answer}."] if answer else [],
        ),
        facets={
            **facets(dict(zip(SETTING, setting, strict=True))),
            "encoder": [encoder],
            "share": [fraction],
        },
    )


def _answer(ranks: Mapping[str, float], better: Mapping[str, int], *, tasks: int, methods: int) -> str:
    """Say who ranks first, on how much that rests, and on how many tasks it surely beats scratch."""
    if not ranks:
        return ""
    least = min(ranks.values())
    first = [name for name, rank in sorted(ranks.items()) if rank == least]
    told = f"{text.listed(first, limit=3)}: average rank {least:.1f}"
    if len(ranks) < methods:
        told += f" among the {len(ranks)} of {methods} methods that have all tasks"
    if len(first) == 1 and not is_scratch(first[0]) and any(map(is_scratch, ranks)):
        told += f", better than scratch on {better[first[0]]} of {text.count(tasks, 'task')}"
    return told


def _average_ranks(cells: pd.DataFrame) -> dict[str, float]:
    """Return the average rank of each method over tasks that all of them have; 1 is best."""
    if cells["name"].nunique() < 2:
        return {}
    better = cells["mean"].where(~cells["higher_is_better"].astype(bool), -cells["mean"])
    ranks: pd.Series[float] = better.groupby(cells["key"]).rank().groupby(cells["name"]).mean()
    return {str(name): float(rank) for name, rank in ranks.items()}


def _tile(cell: Any, verdict: str, shade: int) -> Entry:
    if cell is None:
        return Entry(text="-")
    number = text.number(cell.mean, cell.unit)
    mark = {"better": BETTER, "worse": WORSE}.get(verdict, "")
    shown = f"{number if cell.complete else f'({number})'}{mark}{TIE * (cell.tie == 1)}"
    return Entry(text=shown, bold=cell.best == 1, value=cell.mean, sheet=cell.keys[0], shade=shade)


def _columns(keys: Sequence[tuple[Any, ...]], words: Mapping[tuple[Any, ...], str]) -> list[Column]:
    sections = list(words)
    tables = [dict(zip(TABLE, key, strict=True)) for key in keys]
    tasks = [at["task"] for at in tables]
    found = []
    for key, at in zip(keys, tables, strict=True):
        title = at["task"] if tasks.count(at["task"]) == 1 else f"{at['task']} on {at['dataset']}{words[key]}"
        found.append(
            Column(
                title=f"{title} {'↑' if at['higher_is_better'] else '↓'}",
                facets={"task": [at["task"]]},
                section=f"t{sections.index(key) + 1}",
            )
        )
    return found
