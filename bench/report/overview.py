"""Which method wins where: one matrix of methods by tasks for every encoder and label share.

The first thing that the page, the Markdown and the terminal show. All numbers come from the frames of
`leaderboard.csv` and `differences.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.report import budget, text
from bench.report.records import SCRATCH, SETTING, TABLE

FULL = 3.0  # differences of so many half-widths of their interval have the full colour


def is_scratch(name: str) -> bool:
    """Tell whether a row is one of scratch: `scratch`, or `scratch (...)` where there are several."""
    return name == SCRATCH or name.startswith(f"{SCRATCH} (")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number of the matrix."""

    mean: float
    n: int
    complete: bool  # False: its row lacks runs, so it is neither ranked nor best
    best: bool
    tie: bool
    verdict: str  # against scratch: "better", "worse", "tie", "" = not compared
    strength: float | None  # better is positive: difference to scratch in half-widths of its interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One method."""

    method: str
    uses: str  # beyond colour pictures
    rank: float | None
    missing: int
    tiles: list[Tile | None]  # one for each task


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One column."""

    title: str  # the task; with data set and more where that is not unique
    metric: str
    unit: str
    higher_is_better: bool
    table: dict[str, Any] = field(repr=False)  # its `TABLE`


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One encoder and label share under one protocol."""

    setting: tuple[str, ...]
    encoder: str
    fraction: str
    labels: str  # the label share for people
    tasks: list[Task]
    lines: list[Line]  # best average rank first

    @property
    def title(self) -> str:
        """Return encoder, label share and protocol."""
        preset, track, mode, protocol = self.setting
        return f"{self.encoder}, {self.labels} ({preset}, {track}, {mode}, protocol {protocol})"

    @property
    def answer(self) -> str:
        """Say which methods have the best average rank, "" where there are no ranks."""
        ranked = [(line.rank, line.method) for line in self.lines if line.rank is not None]
        best = min(ranked)[0] if ranked else None
        first = [method for rank, method in ranked if rank == best]
        return f"{text.listed(first, limit=3)}: average rank {best:.1f}" if first else ""


def distinctions(primary: pd.DataFrame) -> dict[tuple[Any, ...], str]:
    """Return by `TABLE` what tells tables of one task and data set apart, "" where there is one."""
    keys = list(dict.fromkeys(primary[list(TABLE)].itertuples(index=False, name=None)))
    titles = [key[:6] for key in keys]
    return {
        key: f", {key[6]}, test set {key[10]}, minimum effect {key[9]:g}" if titles.count(key[:6]) > 1 else ""
        for key in keys
    }


def overview(cells: pd.DataFrame, differences: pd.DataFrame) -> list[Block]:
    """Arrange the primary metrics of all cells.

    Args:
        cells: of `leaderboard.csv`.
        differences: of `differences.csv`.
    """
    primary = cells[cells["primary"].astype(bool)]
    words = distinctions(primary)
    against = _against_scratch(differences)
    grouped: dict[Any, pd.DataFrame] = dict(list(primary.groupby([*SETTING, "encoder", "fraction"])))
    places = sorted(grouped, key=lambda place: (*place[:5], budget.parse(place[5])))
    return [_block(place, grouped[place], words, against) for place in places]


def _against_scratch(differences: pd.DataFrame) -> dict[tuple[Any, ...], tuple[str, float | None]]:
    """Return verdict and strength of the differences to scratch by table, encoder, share and method."""
    found: dict[tuple[Any, ...], tuple[str, float | None]] = {}
    if differences.empty:
        return found
    rows = differences[(differences["against"] == "reference") & differences["reference"].map(is_scratch)]
    columns = [*TABLE, "encoder", "fraction", "method", "verdict", "difference", "low", "high"]
    for *place, verdict, difference, low, high in rows[columns].itertuples(index=False, name=None):
        sign, half = (1 if place[TABLE.index("higher_is_better")] else -1), (high - low) / 2
        strength = max(-FULL, min(FULL, sign * difference / half)) if half > 0 else None
        found.setdefault(tuple(place), (verdict, strength))
    return found


def _block(
    place: tuple[Any, ...],
    cells: pd.DataFrame,
    words: Mapping[tuple[Any, ...], str],
    against: Mapping[tuple[Any, ...], tuple[str, float | None]],
) -> Block:
    tables = list(dict.fromkeys(cells[list(TABLE)].itertuples(index=False, name=None)))
    names = list(dict.fromkeys(map(str, cells["name"])))
    uses = dict(zip(cells["name"], cells["uses"].map(text.known), strict=True))
    tiles: dict[tuple[Any, ...], Tile] = {}
    columns = [*TABLE, "name", "mean", "n", "complete", "best", "tie"]
    for *key, name, mean, n, complete, best, tie in cells[columns].itertuples(index=False, name=None):
        verdict, strength = against.get((*key, *place[4:], name), ("", None))
        tiles[(*key, name)] = Tile(
            mean=float(mean), n=int(n), complete=bool(complete), best=best is True or best == 1,
            tie=tie is True or tie == 1, verdict=verdict, strength=strength,
        )  # fmt: skip
    matrix = {name: [tiles.get((*table, name)) for table in tables] for name in names}
    missing = {name: sum(t is None or not t.complete for t in row) for name, row in matrix.items()}
    whole = [name for name in names if not missing[name]]
    means = pd.DataFrame({name: [t.mean if t else None for t in matrix[name]] for name in whole}, dtype=float)
    signs = [-1.0 if table[TABLE.index("higher_is_better")] else 1.0 for table in tables]
    average: Any = means.mul(signs, axis=0).rank(axis=1).mean() if len(whole) > 1 else {}
    ranks = {name: float(average[name]) if len(whole) > 1 and name in whole else None for name in names}
    order = sorted(names, key=lambda n: (missing[n], 0.0 if ranks[n] is None else ranks[n], n))
    parsed = budget.parse(place[5])
    return Block(
        setting=tuple(map(str, place[:4])),
        encoder=str(place[4]),
        fraction=str(place[5]),
        labels=parsed.header,
        tasks=_tasks(tables, words),
        lines=[
            Line(method=n, uses=uses[n], rank=ranks[n], missing=missing[n], tiles=matrix[n]) for n in order
        ],
    )


def _tasks(tables: Sequence[tuple[Any, ...]], words: Mapping[tuple[Any, ...], str]) -> list[Task]:
    named = [dict(zip(TABLE, table, strict=True)) for table in tables]
    tasks = [at["task"] for at in named]
    return [
        Task(
            title=at["task"]
            if tasks.count(at["task"]) == 1
            else f"{at['task']} on {at['dataset']}{words[t]}",
            metric=at["metric"],
            unit=at["unit"],
            higher_is_better=bool(at["higher_is_better"]),
            table=at,
        )
        for at, t in zip(named, tables, strict=True)
    ]
