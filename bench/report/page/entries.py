"""What opens behind every number: a cell's runs, or a difference's two cells, as compact JSON.

Schema of the JSON, all texts ready to be shown:

| entry    | content                                                                                    |
|----------|--------------------------------------------------------------------------------------------|
| tables   | texts: the setting that all numbers of a table share                                       |
| rows     | [name, value] where all runs agree, else [name, value of run 1, of run 2, ...]             |
| sections | [title, whether it begins folded, numbers of rows]                                         |
| axes     | lists of fine-tuning progress in (0, 1]                                                    |
| entries  | {title, place, table, summary: [[name, value]], columns, metrics: rows} and, of a cell,     |
|          | {key, sections, colour, axis, curves: [axis, values or null] per run}; of a difference,    |
|          | {links: [[label, entry]]}                                                                  |

Rows, sections and axes that repeat stand there once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.files import canonical
from bench.overrides import leaves
from bench.report import grids, text
from bench.report.cells import Cell, Record, Row, Run
from bench.report.comparisons import Comparison
from bench.report.costs import amount, duration, memory
from bench.report.grids import difference_text, summary_text
from bench.report.lineage import Lineage
from bench.report.stats import Floats, Summary
from bench.report.tables import Table

MISSING = "–"
_MORE = 2  # decimals that a single run gets beyond those of its mean

Facts = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is known about records beyond the tables."""

    details: Mapping[str, Mapping[str, Any]]  # `Loaded.details`
    curves: Mapping[str, Floats]  # by record key, (P, 2): progress and the metric on the validation part
    lineage: Lineage
    colours: Mapping[str, str]  # by row name


class Pool:
    """Values by number; equal ones have one number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def add(self, value: Any) -> int:
        """Return the number of a value of plain data."""
        known = self._numbers.setdefault(repr(value), len(self.values))
        if known == len(self.values):
            self.values.append(value)
        return known


class Entries:
    """Collects what opens; every addition returns the number that a cell of the page carries."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tables, self._rows, self._sections, self._axes = Pool(), Pool(), Pool(), Pool()
        self._entries: list[dict[str, Any]] = []

    def json(self) -> str:
        """Return everything as JSON that may stand in a `script` element."""
        body = {
            "tables": self._tables.values,
            "rows": self._rows.values,
            "sections": self._sections.values,
            "axes": self._axes.values,
            "entries": self._entries,
        }
        return json.dumps(body, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")

    def add_cell(self, table: Table, row: Row, cell: Cell) -> int:
        """Add the runs of a cell."""
        metric = f"validation {table.key.metric} ({text.unit_name(table.key.unit)})"
        entry = {
            **self._head(table, row.name, row.identity.encoder, cell.budget.header),
            "summary": _summary(cell, table.key.unit),
            "columns": [*map(_run_name, cell.runs), "mean"],
            "metrics": [self._rows.add(values) for values in _metrics(table, cell)],
            "key": cell.keys[0],
            "sections": self._facts(cell),
            "colour": self._sources.colours[row.name],
            "axis": text.plain(metric),
            "curves": [self._curve(key) for key in cell.keys],
        }
        return self._push(entry)

    def add_difference(self, table: Table, comparison: Comparison, entries: Sequence[int]) -> int:
        """Add a paired difference.

        Args:
            table: where it stands.
            comparison: the difference.
            entries: numbers of the cells of the row and of the reference.
        """
        pair = comparison.row, comparison.reference
        a, b = (row.cells[comparison.budget] for row in pair)
        common = [run for run in a.runs if run in b.runs]
        values = [[cell.values[cell.runs.index(run)] for run in common] for cell in (a, b)]
        lines = [
            [row.name, *(text.number(v, table.key.unit, _MORE) for v in found)]
            for row, found in zip(pair, values, strict=True)
        ]
        gaps = [text.signed(x - y, table.key.unit, _MORE) for x, y in zip(*values, strict=True)]
        found = comparison.difference
        covers = f", over {found.kind}" if found.low is not None else ", no interval"
        entry = {
            **self._head(
                table,
                f"{comparison.row.name} minus {comparison.reference.name}",
                comparison.encoder,
                comparison.budget.header,
            ),
            "summary": [
                ["difference", difference_text(found, table.key.unit)],
                ["interval", f"95 %{covers}" if found.low is not None else "none"],
                ["n", text.count(found.n, "common run")],
                *(
                    [["p, after Holm's correction", grids.test_text(comparison)]]
                    if found.p is not None
                    else []
                ),
                ["verdict", comparison.verdict],
            ],
            "columns": [_run_name(run) for run in common],
            "metrics": [
                self._rows.add([text.plain(w) for w in line]) for line in [*lines, ["difference", *gaps]]
            ],
            "links": [[text.plain(row.name), entry] for row, entry in zip(pair, entries, strict=True)],
        }
        return self._push(entry)

    def _push(self, entry: dict[str, Any]) -> int:
        self._entries.append(entry)
        return len(self._entries) - 1

    def _head(self, table: Table, title: str, encoder: str, budget: str) -> dict[str, Any]:
        place = f"{table.key.task} on {table.key.dataset}, {encoder}, {budget}"
        setting = self._tables.add(text.plain(grids.setting(table.key)))
        return {"title": text.plain(title), "place": text.plain(place), "table": setting}

    def _curve(self, key: str) -> list[Any] | None:
        curve = self._sources.curves.get(key)
        if curve is None:
            return None
        axis, values = ([float(f"{number:.4g}") for number in column] for column in curve.T.tolist())
        return [self._axes.add(axis), values]

    def _facts(self, cell: Cell) -> list[int]:
        """Return the sections about a cell's runs."""
        details = [self._sources.details.get(key, {}) for key in cell.keys]
        about = [
            ("Run", False, [_run(*pair) for pair in zip(cell.records, details, strict=True)]),
            ("Data", False, [_data(*pair) for pair in zip(cell.records, details, strict=True)]),
            ("Cost", False, [_cost(record) for record in cell.records]),
            ("Provenance", False, [_provenance(*pair) for pair in zip(cell.records, details, strict=True)]),
            ("Configuration: score", True, [_spec(detail.get("spec", {})) for detail in details]),
        ]
        behind = [
            {a.title: {"step key": a.key, **_spec(a.spec)} for a in self._sources.lineage.ancestors(keys)}
            for keys in (list(map(str, detail.get("inputs", ()))) for detail in details)
        ]
        for title in dict.fromkeys(title for found in behind for title in found):
            about.append((f"Configuration: {title}", True, [found.get(title, {}) for found in behind]))
        return [self._section(*section) for section in about if any(section[2])]

    def _section(self, title: str, folded: bool, runs: Sequence[Facts]) -> int:
        rows = []
        for name in dict.fromkeys(name for facts in runs for name in facts):
            values = [text.plain(facts.get(name, MISSING)) or MISSING for facts in runs]
            same = len(set(values)) == 1
            rows.append(self._rows.add([text.plain(name), *(values[:1] if same else values)]))
        return self._sections.add([title, int(folded), rows])


def _run_name(run: Run) -> str:
    return f"seed {run[0]}" + (f", subset {run[1]}" if run[1] else "")


def _metrics(table: Table, cell: Cell) -> Iterable[list[str]]:
    """Yield one row per metric, the primary one first: name, value of each run, mean."""
    key = table.key
    yield _metric(key.metric, key.unit, key.higher_is_better, cell.values.tolist(), cell.summary)
    for other in cell.secondary:
        yield _metric(other.metric, other.unit, other.higher_is_better, other.values, other.summary)


def _metric(name: str, unit: str, higher: bool, values: Sequence[float], summary: Summary) -> list[str]:
    label = f"{name} ({text.unit_name(unit)} {'↑' if higher else '↓'})"
    return [text.plain(label), *(text.number(v, unit, _MORE) for v in (*values, summary.mean))]


def _summary(cell: Cell, unit: str) -> list[list[str]]:
    """Return what is known of the mean, as pairs of name and value."""
    summary = cell.summary
    pairs = [["mean", summary_text(summary, unit)]]
    pairs.append(["interval", f"95 %, over {summary.kind}" if summary.low is not None else "none"])
    pairs.append(["n", text.count(summary.n, "run")])
    if summary.sd is not None:
        spread = f"{text.number(summary.minimum, unit)} to {text.number(summary.maximum, unit)}"
        pairs.append(["smallest to largest run", spread])
        pairs.append(["standard deviation over runs", text.number(summary.sd, unit, 1)])
    if summary.t_low is not None and summary.t_high is not None:
        t = f"{text.number(summary.t_low, unit)} to {text.number(summary.t_high, unit)}"
        pairs.append(["95 % t interval over runs alone", t])
    if cell.stride_mean is not None:
        pairs.append(["mean on the stride subset", text.number(cell.stride_mean, unit)])
    return pairs


def _run(record: Record, detail: Mapping[str, Any]) -> Facts:
    selection = detail.get("selection", {})
    pretrain_seed = record["pretrain_seed"]
    return {
        "record key": record["key"],
        "computed from": ", ".join(map(str, detail.get("inputs", ()))),
        "overrides of the method": record["config"] or "none",
        "init": record["init"],
        "pretraining data": record["pretrain_data"],
        "pretraining seed": str(pretrain_seed) if pretrain_seed >= 0 else "not recorded",
        "label subset": str(record["subset"]),
        "backbone": record["backbone"],
        "modality of the task": record["modality"],
        "modality of the encoder": record["encoder_modality"],
        "test data seen in pretraining": record["exposure"],
        **{f"checkpoint: {name}": _short(value) for name, value in leaves(selection)},
    }


def _data(record: Record, detail: Mapping[str, Any]) -> Facts:
    parts = {
        part: f"{found.get('n', MISSING)} samples, sha256 {str(found.get('sha256', MISSING))[:16]}"
        for part, found in detail.get("manifests", {}).items()
        if isinstance(found, dict)
    }
    units = f"{record['n_units']:,} ({record['interval_unit'] or 'unit not recorded'})"
    return {**parts, "test units": units, "bootstrap resamples": f"{record['n_replicates']:,}"}


def _cost(record: Record) -> Facts:
    wait = record["data_wait_share"]
    return {
        "time of the cell": duration(_known(record["wall_s"])),
        "of which training": duration(_known(record["train_wall_s"])),
        "samples seen": amount(_known(record["samples_seen"])),
        "samples/s": amount(_known(record["samples_per_s"])),
        "share of time waiting for data": MISSING if wait != wait else f"{100 * wait:.0f} %",
        "peak memory": memory(_known(record["peak_memory_mb"])),
        "pretraining time": duration(_known(record["pretrain_wall_s"])),
        "pretraining samples": amount(_known(record["pretrain_samples_seen"])),
    }


def _known(value: float) -> float | None:
    return None if value != value else value  # NaN = not recorded


def _provenance(record: Record, detail: Mapping[str, Any]) -> Facts:
    made = detail.get("provenance", {})
    facts = {"commit": record["commit"] or "unknown"}
    if record["dirty"]:
        facts["commit"] += " with uncommitted changes"
        facts["digest of the changes"] = str(made["dirty_sha256"])[:16]
    facts |= {
        "digest of the source": record["source_sha256"][:16],
        "device": record["device"],
        "created": record["created"],
        "imported": "yes" if record["imported"] else "",
        "python": str(made.get("python") or ""),
    }
    versions = made.get("versions")
    return facts | {str(k): str(v) for k, v in (versions if isinstance(versions, dict) else {}).items()}


def _spec(spec: Mapping[str, Any]) -> Facts:
    return {name: _word(value) for name, value in leaves(spec)}


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _word(value)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
