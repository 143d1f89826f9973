"""Leaderboard tables: one per preset, track, mode, protocol and task; never one for several of these.

Rows are grouped by encoder. Within an encoder every complete row is compared with the best one on the same
seeds and test units; a row that lacks runs which another row has is listed, never ranked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any

from pandas import DataFrame

from bench.errors import ConfigError, nearest
from bench.report.budget import Budget, parse
from bench.report.cells import SCRATCH, Cell, Identity, Record, Row, Run, make_cell, names, row_order
from bench.report.comparisons import Comparison, Scale, against_best, against_references
from bench.report.frame import Loaded
from bench.report.stats import interval_text
from bench.report.text import listed


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TableKey:
    """What all numbers of a table share."""

    preset: str
    track: str
    mode: str
    protocol: str
    task: str
    dataset: str
    metric: str
    unit: str
    higher_is_better: bool
    minimum_effect: float  # differences below it are ties, in the metric's unit
    test_set: str

    @property
    def scale(self) -> Scale:
        """Return how differences are read."""
        return Scale(higher_is_better=self.higher_is_better, minimum_effect=self.minimum_effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one encoder."""

    encoder: str
    rows: tuple[Row, ...]  # complete, scratch first
    incomplete: tuple[Row, ...]
    best: Mapping[Budget, Row]  # where at least two complete rows compete
    behind: tuple[Comparison, ...]  # the other complete rows against the best one of each budget
    ties: Mapping[Budget, frozenset[Identity]]  # rows that cannot be told from the best one


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One task under one protocol."""

    key: TableKey
    budgets: tuple[Budget, ...]
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    interval: str  # what the brackets mean and cover
    published: str  # name of this task in the published numbers, "" = none
    several_test_sets: bool  # another table has the same title, so it must name what differs

    @property
    def title(self) -> str:
        """Return task and data set, with what tells apart tables that share them."""
        return f"{self.key.task} on {self.key.dataset}{self.distinction}"

    @property
    def distinction(self) -> str:
        """Return what tells this table apart from others of its task and data set, "" where it is alone."""
        key = self.key
        if not self.several_test_sets:
            return ""
        return f", {key.metric}, test set {key.test_set}, minimum effect {key.minimum_effect:g}"

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return complete and incomplete rows of all encoders."""
        return tuple(row for group in self.groups for row in (*group.rows, *group.incomplete))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return the cells of all rows."""
        return tuple(cell for row in self.rows for cell in row.cells.values())

    @property
    def records(self) -> tuple[Record, ...]:
        """Return the records behind this table."""
        return tuple(record for cell in self.cells for record in cell.records)


def build_tables(loaded: Loaded, references: Sequence[str] = ()) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Arrange records into tables.

    Args:
        loaded: what `frame.load` read, or a part of it.
        references: methods to compare with, besides scratch.

    Returns:
        The tables in a fixed order, and one line per record that could not be used.

    Raises:
        ConfigError: no record is of a method named in `references`.
    """
    known = set(loaded.frame["method"].unique())
    for name in references:
        if name not in known:
            raise ConfigError(f'--reference: no record of method "{name}".{nearest(name, known)}')
    primary = loaded.frame["primary"].to_numpy(dtype=bool)
    grouped, problems = _unique(_rows(loaded.frame[primary]))
    others: dict[str, list[Record]] = defaultdict(list)
    for row in _rows(loaded.frame.loc[~primary, ["key", "metric", "value", "unit", "higher_is_better"]]):
        others[row["key"]].append(row)
    by_table: dict[TableKey, dict[Identity, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for (table, identity, _), records in grouped.items():
        by_table[table][identity].append(make_cell(records, loaded.replicates, others))
    wanted = dict.fromkeys((SCRATCH, *references))
    titles = [_title(key) for key in by_table]
    tables = [
        _table(key, by_table[key], tuple(wanted), titles.count(_title(key)) > 1) for key in sorted(by_table)
    ]
    return tuple(tables), tuple(problems)


def _rows(frame: DataFrame) -> list[Record]:
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _unique(
    rows: Sequence[Record],
) -> tuple[dict[tuple[TableKey, Identity, Budget], list[Record]], list[str]]:
    """Group primary rows by cell; of several records of one run the newest counts, the others are named."""
    cells: dict[tuple[TableKey, Identity, Budget], dict[Run, Record]] = defaultdict(dict)
    problems = []
    columns = [f.name for kind in (TableKey, Identity) for f in fields(kind)]
    place = itemgetter("fraction", *columns)
    places: dict[tuple[Any, ...], tuple[TableKey, Identity, Budget]] = {}
    for row in sorted(rows, key=itemgetter("created", "key")):
        words = place(row)
        if words not in places:
            table = TableKey(**{f.name: row[f.name] for f in fields(TableKey)})
            identity = Identity(**{f.name: row[f.name] for f in fields(Identity)})
            places[words] = table, identity, parse(row["fraction"])
        cell = cells[places[words]]
        run = (row["seed"], row["subset"])
        if run in cell:
            problems.append(
                f"record {cell[run]['key']} ({row['method']}, {row['encoder']}, {row['task']}, "
                f"{row['fraction']}, seed {row['seed']}) has the same labels as the newer {row['key']}; "
                "the newer one is shown, so this cell may mix configurations"
            )
        cell[run] = row
    return {key: list(runs.values()) for key, runs in cells.items()}, problems


def _table(
    key: TableKey, cells: Mapping[Identity, Sequence[Cell]], references: Sequence[str], several: bool
) -> Table:
    by_encoder: dict[str, dict[Identity, dict[Budget, Cell]]] = defaultdict(dict)
    for identity, found in cells.items():
        by_encoder[identity.encoder][identity] = {cell.budget: cell for cell in found}
    groups = tuple(_group(encoder, by_encoder[encoder], key) for encoder in sorted(by_encoder))
    every = [cell for found in cells.values() for cell in found]
    return Table(
        key=key,
        budgets=tuple(sorted({cell.budget for cell in every})),
        groups=groups,
        comparisons=tuple(
            c for g in groups for c in against_references((*g.rows, *g.incomplete), references, key.scale)
        ),
        interval=_interval(every),
        published=next((r["published"] for cell in every for r in cell.records if r["published"]), ""),
        several_test_sets=several,
    )


def _group(encoder: str, cells: Mapping[Identity, Mapping[Budget, Cell]], key: TableKey) -> Group:
    expected: dict[Budget, set[Run]] = defaultdict(set)
    for found in cells.values():
        for budget, cell in found.items():
            expected[budget] |= set(cell.runs)
    named = names(cells)
    rows = []
    for identity, found in cells.items():
        lacking = {b: runs - set(found[b].runs if b in found else ()) for b, runs in sorted(expected.items())}
        records = [record for cell in found.values() for record in cell.records]
        rows.append(
            Row(
                identity=identity,
                name=named[identity],
                encoder_kind=records[0]["encoder_kind"],
                cells=dict(sorted(found.items())),
                missing={b: tuple(sorted(runs)) for b, runs in lacking.items() if runs},
                exposure=listed(sorted({r["exposure"] for r in records} - {"none"})),
                other_modality=_other_modality(records[0]),
            )
        )
    rows.sort(key=row_order)
    complete = tuple(row for row in rows if row.complete)
    best = (
        {} if len(complete) < 2 else {b: _best(complete, b, key.higher_is_better) for b in sorted(expected)}
    )
    behind = against_best(complete, best, key.scale)
    return Group(
        encoder=encoder,
        rows=complete,
        incomplete=tuple(row for row in rows if not row.complete),
        best=best,
        behind=tuple(behind),
        ties={
            b: frozenset(c.row.identity for c in behind if c.budget == b and c.verdict == "tie") for b in best
        },
    )


def _other_modality(record: Record) -> bool:
    modalities = record["encoder_modality"], record["modality"]
    return all(modalities) and modalities[0] != modalities[1]


def _best(rows: Sequence[Row], budget: Budget, higher_is_better: bool) -> Row:
    sign = -1 if higher_is_better else 1
    return min(rows, key=lambda row: sign * row.cells[budget].summary.mean)


def _interval(cells: Sequence[Cell]) -> str:
    """Describe what the intervals of these cells cover, as far as the records tell."""
    records = [record for cell in cells for record in cell.records]
    varying = sorted({c.budget for c in cells if len({subset for _, subset in c.runs}) > 1})
    subsets = f", the label subset ({listed([b.title for b in varying])})" if varying else ""
    pretrained = {
        len({r["pretrain_seed"] for r in cell.records})
        for cell in cells
        if cell.summary.n > 1
        and cell.records[0]["method"] != SCRATCH
        and cell.records[0]["pretrain_seed"] >= 0
    }
    varies = (
        f"seeds of fine-tuning{', of pretraining' if pretrained and min(pretrained) > 1 else ''}{subsets}"
    )
    fixed = ["other data sets and recipes"]
    fixed += (
        ["other pretraining runs (one checkpoint per method)"] if pretrained and min(pretrained) == 1 else []
    )
    same = sorted({c.budget for c in cells if c.budget.value < 1} - set(varying))
    fixed += [f"other label subsets ({listed([b.title for b in same])})"] if same else []
    drawn = [cell.replicates.shape[1] if cell.replicates is not None else 0 for cell in cells]
    return interval_text(
        {cell.summary.n for cell in cells},
        unit=records[0]["interval_unit"],
        n_units=records[0]["n_units"],
        replicates=min(drawn),
        varies=varies,
        fixed="; ".join(fixed),
    )


def _title(key: TableKey) -> tuple[str, ...]:
    return key.preset, key.track, key.mode, key.protocol, key.task, key.dataset
