"""The record of a step: one JSON file, validated when written and when read.

A record is immutable and self-contained. It holds no NaN, no paths, no user or host names. `digest` covers
everything else in the file, so that truncation and edits are noticed.

Score records (`kind: score`, one per leaderboard cell) have these entries:

| entry      | content                                                                                   |
|------------|-------------------------------------------------------------------------------------------|
| labels     | task, dataset, method, init, pretrain_data, backbone, setting (as in published tables),   |
|            | encoder, encoder_kind, encoder_modality, fraction ("1/10"), seed, subset, preset, track,  |
|            | mode, protocol; modality (of the task), pretrain_seed, config (overrides of the method),  |
|            | minimum_effect (in the unit of the primary metric; smaller differences are ties)          |
| metrics    | list of {name, value, unit, higher_is_better}; the primary metric first                   |
| interval   | {unit, n_units, n_samples, replicates: primary metric on bootstrap resamples of the units}|
| curve      | list of {progress (0..1], step, metric value on the validation part} of the fine-tuning   |
| selection  | {rule, step, value}                                                                       |
| manifests  | {train, val, test: {n, sha256}}                                                           |
| exposure   | "none", or which test data pretraining has seen                                           |
| inputs     | keys of the steps it was computed from                                                    |
| files      | {name: sha256} of the files beside the record                                             |
| cost       | {wall_s, train_wall_s, samples_seen, samples_per_s, data_wait_share, peak_memory_mb, ...} |
| provenance | {commit, dirty_sha256, source_sha256, versions, device, python, created}                  |
| spec       | the resolved spec whose hash is the key                                                   |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import DataError
from bench.files import canonical, sha256_text, write_atomic

SCHEMA = 1
IMPORTED = "imported.json"  # beside a record that others have computed
_DIGEST = re.compile(rb'"digest":"([0-9a-f]{64})",?')
KINDS = ("pretrain", "finetune", "predict", "score")

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
        ValueError: it holds NaN or infinity.
    """
    if not isinstance(record, dict):
        raise DataError(f"{where}: is not a JSON object")
    if record.get("schema") != SCHEMA:
        raise DataError(f"{where}: schema {record.get('schema')!r}, this version reads {SCHEMA}")
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
    body = {name: value for name, value in record.items() if name != "digest"}
    if sha256_text(canonical(body)) != record["digest"]:
        raise DataError(f"{where}: its digest does not match its content (edited or damaged)")


def read_record(path: Path) -> dict[str, Any]:
    """Read and validate one record.

    Raises:
        DataError: unreadable, truncated, edited, or of another schema.
    """
    try:
        raw = path.read_bytes()
        record = json.loads(raw)
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"record {path} is unreadable ({type(error).__name__})") from error
    if untouched(raw, record):
        return dict(record)
    try:
        validate(record, f"record {path}")
    except ValueError as error:  # NaN literals pass the JSON reader
        raise DataError(f"record {path} holds NaN or infinity") from error
    return dict(record)


def untouched(raw: bytes, record: Any) -> bool:
    """Say whether a file, without its layout, is the canonical text that its digest was taken of.

    Only a fast way to say yes, in a fifth of the time of `validate`: the digest vouches for content that was
    validated when it was sealed. Texts with escapes, whose canonical form may differ, are left to `validate`.

    Args:
        raw: the file as `write_record` lays it out.
        record: what JSON makes of it.
    """
    if b"\\" in raw or not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return False
    text = b"".join(line.lstrip(b" ") for line in raw.split(b"\n")).replace(b'": ', b'":')
    found = _DIGEST.search(text)
    if not found or record.get("digest") != found[1].decode():
        return False
    body = text[: found.start()] + text[found.end() :]
    return hashlib.sha256(body).hexdigest() == found[1].decode()


def write_record(path: Path, body: Mapping[str, Any]) -> dict[str, Any]:
    """Seal and write a record atomically; return it."""
    record = seal(body)
    write_atomic(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False))
    return record
