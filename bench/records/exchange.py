"""Records from and to other people: what a store exports, and what is put into one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.console import warn
from bench.errors import DataError, VersionError
from bench.files import write_atomic
from bench.grid.keys import step_slug
from bench.grid.plan import BEST_OF, Plan
from bench.grid.request import Words
from bench.records.provenance import is_dirty
from bench.records.record import IMPORTED, read_record
from bench.records.record_set import Record, RecordSet, check_record, read_json, read_set, unique
from bench.records.store import Store

NEEDED = "name a store, a file of `bench export`, or a record.json"


class _NoRecord(DataError):
    """A file of something else."""


@dataclass(kw_only=True)
class Imported:
    """What came of an import."""

    records: list[Record] = field(default_factory=list)  # that were put into the store
    known: int = 0  # were there already, with the same metrics
    problems: list[str] = field(default_factory=list)  # what was left out, and why

    @property
    def added(self) -> list[str]:
        """Return the keys of the records that were put into the store."""
        return [str(record["key"]) for record in self.records]


def grid_of(words: Words) -> dict[str, Any]:
    """Return the words of a grid for a record set, which does not tell the folders of a machine."""
    return {**asdict(words), "config_dirs": []}


def export(store: Store, plan: Plan | None, grid: Mapping[str, Any]) -> RecordSet:
    """Collect the score records of a store, or of a plan's cells.

    Raises:
        DataError: there is none, or one is damaged.
    """
    wanted = None if plan is None else {cell.step.key for cell in plan.cells if cell.step}
    paths = [p for p in sorted((store.root / "score").glob("*/record.json")) if ".corrupt-" not in str(p)]
    records = []
    for path in paths:
        if wanted is None or path.parent.name.rpartition("-")[2] in wanted:
            try:
                records.append(read_record(path))
            except VersionError as error:
                warn(f"{error}; skipped")
    if not records:
        raise DataError(f"store {store.root} holds no score record of those asked for; nothing was exported")
    return RecordSet(records=unique(records), grid=grid)


def import_records(sources: Sequence[Path], store: Store) -> Imported:
    """Put score records into a store; each is checked, none replaces another.

    Args:
        sources: record sets, single records, or folders that hold such files.
        store: gets them; a record counts there as one that was computed.

    Raises:
        DataError: a source is missing or unusable as a whole (nothing was imported), or the store cannot be
            written.
    """
    outcome = Imported()
    there = {path.parent.name.rpartition("-")[2]: path for path in store.root.glob("score/*/record.json")}
    found = [(record, source) for source in sources for record, source in _records(source, outcome)]
    for record, source in found:
        try:
            check_record(record, f"{source.name}: record {_key(record)}")
            if record["kind"] != "score":
                raise DataError(
                    f"{source.name}: record {_key(record)} is of kind {record['kind']}, not score"
                )
            if known := there.get(record["key"]):
                _compare(record, known, source)
                outcome.known += 1
                continue
            there[record["key"]] = _put(record, _folder(record, store, source), source)
            outcome.records.append(record)
        except DataError as error:
            outcome.problems.append(f"{error}; not imported")
    return outcome


def _records(source: Path, outcome: Imported) -> Iterator[tuple[Any, Path]]:
    if not source.is_dir():
        body = read_json(source)
        if not isinstance(body, dict) or not body.keys() & {"records", "schema"}:
            raise _NoRecord(f"{source}: holds no records; {NEEDED}")
        for record in read_set(source).records if "records" in body else (body,):
            yield record, source
        return
    others = ("pretrain", "finetune", "features", "probe", "predict")  # of a store; only scores are imported
    paths = {*source.rglob("record.json"), *source.glob("*.json"), *source.glob("*.json.gz")}
    without: list[str] = []
    kept = sorted(
        path for path in paths if path.parent.parent.name not in others and not path.name.startswith(".")
    )
    for path in kept:
        try:
            yield from _records(path, outcome)
        except _NoRecord as error:
            without.append(path.name)
            outcome.problems.append(f"{error}; not imported")
        except DataError as error:
            outcome.problems.append(f"{error}; not imported")
    if len(without) == len(kept):
        there = without or sorted(path.name for path in source.iterdir())
        held = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise DataError(f"{source}: holds no records ({held or 'it is empty'}); {NEEDED}")


def _key(record: Any) -> str:
    return str(record.get("key"))[:40] if isinstance(record, dict) else "?"


def slug_of(labels: Mapping[str, Any]) -> str:
    """Return the readable name of a cell, as `Step.slug` is, from the labels of its record.

    Raises:
        KeyError: a label is missing.
        ValueError: the seed is no number.
    """
    words = [str(labels[name]) for name in ("method", "encoder", "task", "setting")]
    probe = str(labels["protocol"]).rpartition("-")[0]  # "linear" of "linear-2"; "" and "best of ..." train
    if probe and not probe.startswith(BEST_OF):
        words.append(probe)
    return step_slug(words, int(labels["seed"]))


def _folder(record: Record, store: Store, source: Path) -> Path:
    """Return where the store looks for a score record."""
    try:
        slug = slug_of(record["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{source.name}: record {record['key']} lacks the label {error}, or it has the wrong type"
        ) from error
    return store.root / "score" / f"{slug}-{record['key']}"


def _compare(record: Record, known: Path, source: Path) -> None:
    """Make sure that a record tells what the one of the store does, wherever it was computed.

    Raises:
        DataError: other metrics.
    """
    here, there = (_values(one) for one in (read_record(known), record))
    other = next((name for name in (*here, *there) if here.get(name) != there.get(name)), None)
    if other is not None:
        raise DataError(
            f"{source.name}: record {record['key']} differs from that of this store ({known.parent.name}: "
            f"{other} {here.get(other)}, there {there.get(other)}), which is kept"
        )


def _values(record: Record) -> dict[str, Any]:
    return {str(m.get("name")): m.get("value") for m in record["metrics"] if isinstance(m, dict)}


def _put(record: Record, folder: Path, source: Path) -> Path:
    mark = {"source": source.name[:80], "imported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    write_atomic(folder / IMPORTED, json.dumps(mark, indent=1))
    write_atomic(folder / "record.json", json.dumps(record, indent=1, sort_keys=True, allow_nan=False))
    return folder / "record.json"


def origins(records: Iterable[Record]) -> list[str]:
    """Return where records come from, one line per commit and device."""
    found: dict[tuple[str, str], int] = {}
    for record in records:
        made = record["provenance"]
        dirty = " with uncommitted changes" if is_dirty(made) else ""
        place = str(made.get("commit") or "unknown")[:12] + dirty, str(made.get("device") or "unknown device")
        found[place] = found.get(place, 0) + 1
    return [f"{count} of commit {commit} on {device}" for (commit, device), count in sorted(found.items())]
