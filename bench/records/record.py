"""The record of a step: one JSON file, validated when written and when read.

A record is immutable and self-contained. It holds no NaN, no paths, no user or host names. `digest` covers
everything else in the file, so that truncation and edits are noticed.

Score records (`kind: score`, one per leaderboard cell) have these entries:

| entry      | content                                                                                   |
|------------|-------------------------------------------------------------------------------------------|
| labels     | task, dataset, method, init, pretrain_data, backbone, setting (as in published tables),   |
|            | encoder, encoder_kind, encoder_modality, fraction ("1/10"), seed, subset, preset, track,  |
|            | mode, protocol; modality (of the task), pretrain_seed, config (overrides of the method),  |
|            | uses (what the method used beyond colour pictures, "none", or "depth, 2D joints", ...),   |
|            | minimum_effect (in the unit of the primary metric; smaller differences are ties);         |
|            | weights: {weights, weights_sha256, licence, trained_on, ...} of rows that load some       |
| metrics    | list of {name, value, unit, higher_is_better}; the primary metric first                   |
| bounds     | {floor, ceiling: {metric: value}}, as far as the task defines them; records made before    |
|            | there were bounds have no such entry                                                      |
| interval   | {unit, n_units, n_samples, replicates: primary metric on bootstrap resamples of the units}|
| curve      | list of {progress (0..1], step, metric value on the validation part} of the fine-tuning   |
| selection  | {rule, step, value}                                                                       |
| manifests  | {train, val, test: {n, sha256}}                                                           |
| exposure   | "none", or which test data pretraining has seen; or `FINE_TUNED` and the data: no table   |
| inputs     | keys of the steps it was computed from                                                    |
| files      | {name: sha256} of the files beside the record                                             |
| cost       | {wall_s, train_wall_s, samples_seen, forward_passes, samples_per_s, peak_memory_mb, ...}  |
| provenance | {commit, dirty_sha256, source_sha256, versions, device, python, created}                  |
| spec       | the resolved spec whose hash is the key                                                   |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from bench.errors import DataError, VersionError
from bench.files import canonical, sha256_text, write_atomic

SCHEMA = 1
FINE_TUNED = "fine-tuning: "  # begins the exposure of records whose network was fine-tuned on its test data
IMPORTED = "imported.json"  # beside a record that others have computed
KINDS = ("pretrain", "finetune", "features", "probe", "predict", "score")

_COMMON: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "kind": str,
    "key": str,
    "labels": dict,
    "inputs": list,
    "files": dict,
    "cost": dict,
    "provenance": dict,
    "spec": dict,
    "digest": str,
}
_BY_KIND: dict[str, dict[str, type | tuple[type, ...]]] = {
    "pretrain": {"curve": list, "facts": dict, "manifests": dict},
    "finetune": {"curve": list, "selection": dict, "manifests": dict},
    "features": {"facts": dict, "manifests": dict},
    "probe": {"curve": list, "selection": dict, "manifests": dict},
    "predict": {"manifests": dict},
    "score": {
        "metrics": list,
        "interval": dict,
        "curve": list,
        "selection": dict,
        "manifests": dict,
        "exposure": str,
    },
}
_METRIC: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "value": (int, float),
    "unit": str,
    "higher_is_better": bool,
}


def seal(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with its schema number and digest added.

    Raises:
        DataError: an entry is missing, of the wrong type, or not a finite number.
    """
    where = f"record {body.get('key')}"
    try:
        # through JSON, so that the digest covers what a reader will see: text keys, lists for tuples
        record = dict(json.loads(canonical({"schema": SCHEMA, **body})))
        record["digest"] = sha256_text(canonical(record))
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: holds what no record may, e.g. NaN or infinity ({error})") from error
    validate(record, where)
    return record


def _check(entries: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    for name, kind in schema.items():
        if name not in entries:
            raise DataError(f'{where}: entry "{name}" is missing')
        if not isinstance(entries[name], kind) or (isinstance(entries[name], bool) and kind is not bool):
            raise DataError(f'{where}: entry "{name}" has the wrong type')


def validate(record: Any, where: str) -> None:
    """Check schema and digest of a record.

    Raises:
        DataError: says which entry is wrong.
        VersionError: of another schema.
        ValueError: it holds NaN or infinity.
    """
    _check_entries(record, where)
    body = {name: value for name, value in record.items() if name != "digest"}
    if sha256_text(canonical(body)) != record["digest"]:
        raise DataError(f"{where}: its digest does not match its content (edited or damaged)")


def _check_entries(record: Any, where: str) -> None:
    if not isinstance(record, dict):
        raise DataError(f"{where}: is not a JSON object")
    if "schema" not in record:
        raise DataError(f"{where}: is not a record")
    if record["schema"] != SCHEMA:
        raise VersionError(f"{where}: is of schema {record['schema']!r}, this version reads {SCHEMA}")
    _check(record, _COMMON, where)
    if record["kind"] not in KINDS:
        raise DataError(f'{where}: unknown kind "{record["kind"]}"')
    _check(record, _BY_KIND[record["kind"]], where)
    if record["kind"] == "score" and not record["metrics"]:
        raise DataError(f"{where}: holds no metric")
    for metric in record.get("metrics", ()):
        if not isinstance(metric, dict):
            raise DataError(f"{where}: a metric is not a JSON object")
        _check(metric, _METRIC, where)
    _check_bounds(record.get("bounds", {}), where)


def _check_bounds(bounds: Any, where: str) -> None:
    """Make sure that bounds are numbers by metric, by `floor` and `ceiling`."""
    parts = bounds.items() if isinstance(bounds, dict) else [("", None)]
    for name, values in parts:
        numbers = isinstance(values, dict) and all(type(v) in (int, float) for v in values.values())
        if name not in ("floor", "ceiling") or not numbers:
            raise DataError(f'{where}: entry "bounds" does not hold numbers of floor and ceiling')


def read_record(path: Path) -> dict[str, Any]:
    """Read and validate one record.

    Raises:
        DataError: unreadable, truncated, or edited.
        VersionError: of another schema.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"record {path} cannot be read ({error.strerror})") from error
    return parse_record(raw, f"record {path}")


def parse_record(raw: bytes, where: str) -> dict[str, Any]:
    """Return the record that a file holds, validated.

    Args:
        raw: content of the file.
        where: what to call it in messages.

    Raises:
        DataError: truncated or edited.
        VersionError: of another schema.
    """
    record = _sealed(raw)
    if record is not None:
        _check_entries(record, where)
        return record
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON (truncated or damaged)") from error
    try:
        validate(record, where)
    except (ValueError, TypeError) as error:  # NaN literals pass the JSON reader
        raise DataError(f"{where}: holds NaN, infinity or entries of a wrong type") from error
    return dict(record)


def _sealed(raw: bytes) -> dict[str, Any] | None:
    """Return a record whose digest is that of its content.

    Only a fast way to say yes, in a fifth of the time: None where it is not, and also where `orjson` writes
    content otherwise than `canonical`, e.g. 1e16 for 1e+16.
    """
    try:
        record = orjson.loads(raw)
        if not isinstance(record, dict):
            return None
        body = {name: value for name, value in record.items() if name != "digest"}
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return record if hashlib.sha256(text).hexdigest() == record.get("digest") else None


def write_record(path: Path, body: Mapping[str, Any]) -> dict[str, Any]:
    """Seal and write a record atomically; return it."""
    record = seal(body)
    write_atomic(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False))
    return record
