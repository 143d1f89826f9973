"""Score records to one long data frame.

Nothing but `<store>/score/*/record.json` is read. A record that is truncated, edited or incomplete is named
in `Records.problems` and left out.

Columns of `Records.runs`:

| columns                                                 | content                                          |
|---------------------------------------------------------|--------------------------------------------------|
| key                                                     | of the score step                                |
| preset, track, mode, protocol                           | what a table never mixes                         |
| task, modality, published, dataset                      | `published`: task name in the published numbers  |
| method, init, pretrain_data, backbone, setting, config  | `config`: what was overridden in the method      |
| encoder, encoder_kind, encoder_modality, uses           | `uses`: beyond colour pictures; "" = not said    |
| weights                                                 | what a row of given weights says of them         |
| fraction, budgets                                       | `budgets`: kind of it, fractions or shots        |
| seed, subset, pretrain_seed                             | `pretrain_seed` -1 = not recorded                |
| metric, value, unit, higher_is_better, primary          |                                                  |
| floor, ceiling                                          | of the metric; NaN where not recorded            |
| minimum_effect                                          | of the primary metric, 0 where not recorded      |
| exposure, test_set                                      | `test_set`: manifest hash, unit, number of units |
| interval_unit, n_units, n_samples, n_replicates         |                                                  |
| wall_s ... pretrain_device_s                            | cost, NaN where not recorded                     |
| commit, dirty, source_sha256, device, created, imported | provenance                                       |
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import DataError
from bench.records.provenance import is_dirty
from bench.records.record import FINE_TUNED, IMPORTED, parse_record
from bench.report import budget
from bench.report.text import count, listed, plain

Floats = NDArray[np.float64]

SCRATCH = "scratch"  # the method without pretraining
SETTING = ("preset", "track", "mode", "protocol")
TABLE = (  # what all numbers of a table share
    *SETTING, "task", "dataset", "metric", "unit", "higher_is_better", "minimum_effect", "test_set",
    "budgets",
)  # fmt: skip
PLACE = (*SETTING, "task", "dataset", "test_set", "minimum_effect", "encoder")  # begins rows of CSV files
REQUIRED = ("preset", "track", "mode", "protocol", "task", "dataset", "method", "encoder")
OPTIONAL = (
    "fraction", "modality", "published", "init", "pretrain_data", "backbone", "setting", "config",
    "encoder_kind", "encoder_modality", "uses",
)  # fmt: skip
COSTS = (
    "wall_s", "train_wall_s", "samples_seen", "samples_per_s", "data_wait_share", "peak_memory_mb",
    "pretrain_wall_s", "pretrain_samples_seen", "pretrain_forward_passes", "device_s", "pretrain_device_s",
)  # fmt: skip
COLUMNS = (
    "key", *REQUIRED, *OPTIONAL, "budgets", "weights", "seed", "subset", "pretrain_seed", "metric", "value",
    "unit", "higher_is_better", "floor", "ceiling", "primary", "minimum_effect", "exposure", "test_set",
    "interval_unit", "n_units", "n_samples", "n_replicates", *COSTS, "commit", "dirty", "source_sha256",
    "device", "created", "imported",
)  # fmt: skip
DETAILS = ("selection", "manifests", "inputs", "provenance", "spec")  # what `Records.details` keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All that reporting knows."""

    runs: pd.DataFrame  # `COLUMNS`, one row per record and metric; the primary one of a record first
    curves: Mapping[str, Floats]  # by key, (P, 2): progress in (0, 1], ascending, and validation metric
    replicates: Mapping[str, Floats]  # by key, (B,): primary metric on resampled test units
    details: Mapping[str, Mapping[str, Any]]  # by key: entries `DETAILS` of the record, as they stand there
    problems: tuple[str, ...]  # one line per record or folder that was left out


def load(store_root: Path, select: Collection[str] | None = None) -> Records:
    """Read the score records of a store.

    Args:
        store_root: the store.
        select: keys of the records wanted, None = all; the folders of others are not opened.

    Raises:
        DataError: the store has no score records at all.
    """
    paths, problems = _paths(store_root, select)
    kept: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    replicates, curves = {}, {}
    for path in paths:
        where = f"record {path.relative_to(store_root).as_posix()}"
        try:
            record = _read(path, where)
            labels, metrics = _labels(record, where), _metrics(record, where)
            drawn, curve = _replicates(record, where), _curve(record, where)
        except DataError as error:
            problems.append(f"{error}; left out")
            continue
        key = labels["key"]
        if key in kept:
            said = "a copy of" if kept[key]["digest"] == record["digest"] else "differs from"
            problems.append(f"{where}: {said} another record of {key}; left out")
            continue
        kept[key] = {name: record[name] for name in (*DETAILS, "digest") if name in record}
        labels |= {"n_replicates": len(drawn), "imported": (path.parent / IMPORTED).is_file()}
        rows += [{**labels, **metric, "primary": i == 0} for i, metric in enumerate(metrics)]
        replicates[key] = drawn
        if len(curve):
            curves[key] = curve
    return Records(
        runs=pd.DataFrame(rows, columns=list(COLUMNS)),
        curves=curves,
        replicates=replicates,
        details={k: {name: v for name, v in found.items() if name != "digest"} for k, found in kept.items()},
        problems=tuple(problems),
    )


def _paths(store_root: Path, select: Collection[str] | None) -> tuple[list[Path], list[str]]:
    """Return the records to read, in a fixed order, and what to say about folders that were set aside."""
    paths = sorted((store_root / "score").glob("*/record.json"), key=str)
    if not paths:
        raise DataError(
            f"store {store_root} holds no score records (score/*/record.json); finish a `bench run` with "
            "this store first, or name another one (--store DIR)"
        )
    if select is not None:
        return [path for path in paths if path.parent.name.rpartition("-")[2] in select], []
    aside = [path.parent.name for path in paths if ".corrupt-" in path.parent.name]
    said = f"{count(len(aside), 'folder')} set aside as corrupt, not read ({listed(aside, limit=2)})"
    return [path for path in paths if ".corrupt-" not in path.parent.name], [said] if aside else []


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from error
    record = parse_record(raw, where)
    if record["kind"] != "score":
        raise DataError(f'{where}: is of kind "{record["kind"]}", not score')
    if record["exposure"].startswith(FINE_TUNED):
        raise DataError(f"{where}: was fine-tuned on its test data ({record['exposure']}), no table shows it")
    return record


def _labels(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return what all metrics of a record share, by column."""
    labels, interval = record["labels"], record["interval"]
    for name in (*REQUIRED, "seed", "subset"):
        if not plain(str(labels.get(name, ""))) or labels[name] is None:
            raise DataError(f'{where}: label "{name}" is missing')
    whole = {name: labels.get(name, -1) for name in ("seed", "subset", "pretrain_seed")}
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(f'{where}: label "{name}" is not a whole number')
    texts = {name: str(labels.get(name) or "") for name in (*REQUIRED, *OPTIONAL)}
    try:  # shots stand in the setting alone
        labelled = budget.parse(texts["fraction"] or texts["setting"])
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    effect = _number(labels.get("minimum_effect") or 0.0, where)
    if not 0 <= effect < math.inf:
        raise DataError(f'{where}: label "minimum_effect" is negative')
    sizes = {name: int(_number(interval.get(name) or 0, where)) for name in ("n_units", "n_samples")}
    unit = str(interval.get("unit", ""))
    test = record["manifests"].get("test")
    sha = str(test.get("sha256", "")) if isinstance(test, dict) else ""
    cost = {name: _number(record["cost"].get(name), where) for name in COSTS}
    made = record["provenance"]
    texts |= {"fraction": labelled.label, "budgets": labelled.kind}
    texts |= {name: str(made.get(name) or "") for name in ("commit", "source_sha256", "device", "created")}
    return {
        **texts,
        **whole,
        **sizes,
        **cost,
        "key": str(record["key"]),
        "weights": _weights(labels.get("weights")),
        "minimum_effect": effect,
        "interval_unit": unit,
        "exposure": record["exposure"],
        "test_set": f"{sha[:8]}/{unit}/{sizes['n_units']}",
        "dirty": is_dirty(made),
    }


def _weights(told: Any) -> str:
    """Return what a record says of the weights that its method loaded, in words."""
    if not isinstance(told, Mapping):
        return ""
    text = {str(key): plain(str(value)) for key, value in told.items()}
    words = [
        text.get("weights", ""),
        f"sha256 {text['weights_sha256'][:12]}" if "weights_sha256" in text else "",
        f"layout {text['weights_layout']}" if "weights_layout" in text else "",
        f"licence {text.get('licence') or 'unknown'}",
        f"trained on {text.get('trained_on') or 'unknown data'}",
        f"input mean {text['weights_mean']}, std {text['weights_std']}" if "weights_mean" in text else "",
        f"{text['parameters']} parameters" if "parameters" in text else "",
        f"{text['gmacs']} GMACs per image" if "gmacs" in text else "",
    ]
    return ", ".join(filter(None, words))


def _number(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: {str(value)[:40]!r} stands where a number is expected")
    return float(value)


def _metrics(record: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the metrics of a record with their floors and ceilings, by column."""
    bounds = record.get("bounds", {})
    found: list[dict[str, Any]] = []
    for metric in record["metrics"]:
        name, value = metric["name"], float(metric["value"])
        if not math.isfinite(value):
            raise DataError(f'{where}: metric "{name}" is not a finite number')
        ends = {end: _number(bounds.get(end, {}).get(name), where) for end in ("floor", "ceiling")}
        own = {column: metric[column] for column in ("unit", "higher_is_better")}
        found.append({"metric": name, "value": value, **own, **ends})
    return found


def _replicates(record: Mapping[str, Any], where: str) -> Floats:
    try:
        drawn = np.asarray(record["interval"].get("replicates") or [], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: its replicates are not a list of numbers") from error
    if drawn.ndim != 1 or not np.isfinite(drawn).all():
        raise DataError(f"{where}: its replicates are not a list of finite numbers")
    return drawn


def _curve(record: Mapping[str, Any], where: str) -> Floats:
    try:
        points = [(float(p["progress"]), float(p["value"])) for p in record["curve"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: a point of its curve lacks a number for progress or value") from error
    return np.array(sorted(points, key=lambda point: point[0]), dtype=np.float64).reshape(-1, 2)


def provenance(runs: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return seeds, commits, devices, configurations, dates, imports and keys, sorted, without repeats.

    Args:
        runs: one row per record.
    """
    dates = sorted(set(runs["created"].str[:10]) - {""})
    imported = int(runs["imported"].sum())
    return {
        "seeds": tuple(map(str, sorted(set(runs["seed"])))),
        "commits": tuple(sorted(set(commits(runs)))),
        "devices": tuple(sorted(set(runs["device"]) - {""})),
        "configurations": tuple(sorted(set(runs["config"]) - {""})),
        "dates": tuple(dict.fromkeys((dates[0], dates[-1]))) if dates else (),
        "imported": (f"{imported} of {len(runs)} records",) if imported else (),
        "record keys": tuple(sorted(runs["key"])),
    }


def commits(runs: pd.DataFrame) -> pd.Series[str]:
    """Return the commit of each run in short, and whether there were changes besides."""
    known = runs["commit"].str[:12].replace("", "unknown commit")
    return known + runs["dirty"].map({True: " with uncommitted changes", False: ""})


def tuples(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of a frame as named tuples, as `itertuples` does, which takes thrice as long."""
    if frame.empty:
        return []
    columns = (values for _, values in frame.items())
    return [*map(_row(tuple(frame.columns))._make, zip(frame.index, *columns, strict=True))]


@cache
def _row(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", ("Index", *columns), rename=True)  # named at run time


def grouped(rows: Iterable[Any], *names: str) -> dict[Any, list[Any]]:
    """Group the named tuples of a frame, in their order, by attributes: one, or several as a tuple.

    Much faster than a frame for each group, where there are hundreds of small ones.
    """
    found: dict[Any, list[Any]] = {}
    place = attrgetter(*names)
    for row in rows:
        found.setdefault(place(row), []).append(row)
    return found


def stack(keys: Sequence[str], replicates: Mapping[str, Floats]) -> Floats | None:
    """Return the replicates of some records, (S, B), or None where one has none."""
    drawn = [replicates[key] for key in keys]
    size = min(map(len, drawn))
    return np.stack([values[:size] for values in drawn]) if size else None


def common_curves(curves: Sequence[Floats]) -> tuple[Floats, Floats] | None:
    """Return progress (P,) and values (S, P) of seeds where all of them have been; None where nowhere.

    Args:
        curves: of each seed, (P, 2): progress, ascending, and value.
    """
    if not curves:
        return None
    low, high = max(curve[0, 0] for curve in curves), min(curve[-1, 0] for curve in curves)
    grid = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    grid = grid[(grid >= low) & (grid <= high)]
    if not grid.size:
        return None
    return grid, np.stack([np.interp(grid, curve[:, 0], curve[:, 1]) for curve in curves])


def with_kinds(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the column `budgets`, the kind of the budget in `fraction`; empty frames stay as they are."""
    kinds = [budget.parse(label).kind for label in frame["fraction"]] if len(frame) else []
    return frame.assign(budgets=kinds) if kinds else frame
