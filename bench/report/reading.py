"""Records for reports, checked and flat. Other processes that read import this module, hence no pandas.

Nothing but `<store>/score/*/record.json` is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.provenance import is_dirty
from bench.record import IMPORTED, parse_record
from bench.report import budget
from bench.report.text import count, listed, plain
from bench.report.workers import ALONE, Workers

CHUNK = 250  # records that a process reads at once

REQUIRED = ("preset", "track", "mode", "protocol", "task", "dataset", "method", "encoder")
OPTIONAL = (
    "fraction",     "modality", "published", "init", "pretrain_data", "backbone", "setting", "config",
    "encoder_kind", "encoder_modality",
)  # fmt: skip
COSTS = (
    "wall_s", "train_wall_s", "samples_seen", "samples_per_s", "data_wait_share", "peak_memory_mb",
    "pretrain_wall_s", "pretrain_samples_seen", "pretrain_samples_per_s", "device_s", "pretrain_device_s",
)  # fmt: skip
DETAILS = ("selection", "manifests", "inputs", "provenance", "spec")  # entries of `Entry.details`


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What `Loaded` needs of one record."""

    digest: str
    labels: dict[str, Any]  # what all its metrics share, by column
    metrics: list[dict[str, Any]]  # by column; the primary one first
    curve: list[tuple[float, int, float]]  # progress, step, value
    replicates: NDArray[np.float64]
    details: dict[str, Any]

    @property
    def key(self) -> str:
        """Return the key of the score step."""
        return str(self.labels["key"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The records of a store."""

    entries: list[Entry]  # of different keys
    problems: tuple[str, ...]  # one line per record or folder that was left out


def read(
    store_root: Path,
    select: Collection[str] | None = None,
    workers: Workers = ALONE,
    meanwhile: Callable[[], object] | None = None,
) -> Read:
    """Read the score records of a store.

    Args:
        store_root: the store.
        select: keys of the records wanted, None = all; the folders of others are not opened.
        workers: processes that share the work.
        meanwhile: what this process does first while others read; see `Workers.share`.

    Raises:
        DataError: the store has no score records at all.
    """
    paths, problems = _paths(store_root, select)
    kept: dict[str, Entry] = {}
    entries = workers.share(read_entries, paths, store_root, CHUNK, meanwhile)
    for path, found in zip(paths, entries, strict=True):
        if isinstance(found, str):
            problems.append(f"{found}; left out")
            continue
        first = kept.setdefault(found.key, found)
        if first is not found:
            said = "a copy of" if found.digest == first.digest else "differs from"
            problems.append(f"{_name(path, store_root)}: {said} another record of {found.key}; left out")
    return Read(entries=list(kept.values()), problems=tuple(problems))


def _paths(store_root: Path, select: Collection[str] | None) -> tuple[list[Path], list[str]]:
    """Return the records to read, in a fixed order, and what to say about folders that were set aside."""
    paths = sorted((store_root / "score").glob("*/record.json"), key=str)
    if not paths:
        raise DataError(
            f"store {store_root} holds no score records (score/*/record.json); finish a `bench run` with "
            "this store first, or name another one (--store DIR)"
        )
    if select is not None:
        wanted = frozenset(select)
        return [path for path in paths if path.parent.name.rpartition("-")[2] in wanted], []
    aside = [path.parent.name for path in paths if ".corrupt-" in path.parent.name]
    if not aside:
        return paths, []
    said = f"{count(len(aside), 'folder')} set aside as corrupt, not read ({listed(aside, limit=2)})"
    return [path for path in paths if ".corrupt-" not in path.parent.name], [said]


def _name(path: Path, store_root: Path) -> str:
    """Return what to call a record in messages."""
    return f"record {path.as_posix().removeprefix(store_root.as_posix() + '/')}"  # `relative_to` is slow


def read_entries(paths: Sequence[Path], store_root: Path) -> list[Entry | str]:
    """Read some records; a text says what is wrong with one."""
    found: list[Entry | str] = []
    for path in paths:
        try:
            found.append(_entry(path, _name(path, store_root)))
        except DataError as error:
            found.append(str(error))
    return found


def _entry(path: Path, where: str) -> Entry:
    record = _read(path, where)
    labels, drawn = _labels(record, where), _replicates(record, where)
    imported = (path.parent / IMPORTED).is_file()
    metrics = [_metric(metric, where) for metric in record["metrics"]]
    return Entry(
        digest=record["digest"],
        labels={**labels, "key": str(record["key"]), "n_replicates": len(drawn), "imported": imported},
        metrics=[{**metric, "primary": i == 0} for i, metric in enumerate(metrics)],
        curve=_curve(record, where),
        replicates=drawn,
        details={name: record[name] for name in DETAILS if name in record},
    )


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from error
    record = parse_record(raw, where)
    if record["kind"] != "score":
        raise DataError(f'{where}: is of kind "{record["kind"]}", not score')
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
    texts["fraction"] = texts["fraction"] or texts["setting"]  # shots stand in the setting alone
    try:
        budget.parse(texts["fraction"])
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
    if math.isnan(cost["pretrain_samples_per_s"]) and cost["pretrain_wall_s"] > 0:
        cost["pretrain_samples_per_s"] = cost["pretrain_samples_seen"] / cost["pretrain_wall_s"]
    made = record["provenance"]
    texts |= {name: str(made.get(name) or "") for name in ("commit", "source_sha256", "device", "created")}
    return {
        **texts,
        **whole,
        **sizes,
        **cost,
        "minimum_effect": effect,
        "interval_unit": unit,
        "exposure": record["exposure"],
        "test_set": f"{sha[:8]}/{unit}/{sizes['n_units']}",
        "dirty": is_dirty(made),
    }


def _number(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: {str(value)[:40]!r} stands where a number is expected")
    return float(value)


def _metric(metric: Any, where: str) -> dict[str, Any]:
    try:
        value = _number(metric["value"], where)
        if not math.isfinite(value):
            raise DataError(f'{where}: metric "{metric["name"]}" is not a finite number')
        return {
            "metric": str(metric["name"]),
            "value": value,
            "unit": str(metric["unit"]),
            "higher_is_better": bool(metric["higher_is_better"]),
        }
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: a metric lacks name, value, unit or direction") from error


def _replicates(record: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    try:
        drawn = np.asarray(record["interval"].get("replicates") or [], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: its replicates are not a list of numbers") from error
    if drawn.ndim != 1 or not np.isfinite(drawn).all():
        raise DataError(f"{where}: its replicates are not a list of finite numbers")
    return drawn


def _curve(record: Mapping[str, Any], where: str) -> list[tuple[float, int, float]]:
    try:
        return [(float(p["progress"]), int(p["step"]), float(p["value"])) for p in record["curve"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: a point of its curve lacks a number for progress, step or value"
        ) from error
