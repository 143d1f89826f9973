"""Record sets: records of a grid in one file, to be sent to others or kept as a baseline.

One JSON object: `format`, `grid` (the words of the grid, {} = not told), `records` (sealed, as in a store;
one per line), and `digest`, which covers everything else. A set is no substitute for a store: it holds what
tables and comparisons need, and no weights. A name that ends in `.gz` is compressed (to a third).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import DataError, VersionError
from bench.files import canonical, sha256_text, write_atomic
from bench.grid.keys import step_key
from bench.records.record import validate

FORMAT = 1
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSet:
    """Records with the words of the grid that they are of."""

    records: tuple[Record, ...]  # by key
    grid: Mapping[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Record]:
        """Return the records of a kind."""
        return [record for record in self.records if record["kind"] == kind]


def write_set(path: Path, found: RecordSet) -> None:
    """Write a record set atomically; equal records give equal bytes.

    Raises:
        DataError: the file cannot be written.
    """
    records = sorted(found.records, key=lambda record: (record["kind"], record["key"]))
    body = {"format": FORMAT, "grid": dict(found.grid), "records": records}
    digest = sha256_text(canonical(body))
    lines = ",\n".join(canonical(record) for record in records)
    head = f'"digest":"{digest}","format":{FORMAT},\n"grid":{canonical(dict(found.grid))}'
    text = f'{{{head},\n"records":[\n{lines}\n]}}\n'.encode()
    write_atomic(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def read_set(path: Path) -> RecordSet:
    """Read and check a record set.

    Raises:
        DataError: missing, truncated, edited, of another format, or a record is damaged or stands twice.
    """
    body = read_json(path)
    if not isinstance(body, dict) or "records" not in body:
        raise DataError(f"{path}: is not a record set; `bench export` writes one")
    if body.get("format") != FORMAT:
        raise VersionError(f"{path}: is of format {body.get('format')!r}, this version reads {FORMAT}")
    records, grid = body["records"], body.get("grid")
    if not isinstance(records, list) or not isinstance(grid, dict):
        raise DataError(f"{path}: its records or its grid have the wrong type")
    for i, record in enumerate(records):
        check_record(record, f"{path}: record {i + 1}")
    keys = [record["key"] for record in records]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise DataError(f"{path}: holds {len(twice)} records twice, e.g. {twice[0]}")
    content = {name: value for name, value in body.items() if name != "digest"}
    if sha256_text(canonical(content)) != body.get("digest"):
        raise DataError(f"{path}: its digest does not match its content (edited or damaged)")
    return RecordSet(records=tuple(records), grid=grid)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: missing, unreadable, truncated, or with NaN.
    """

    def refuse(word: str) -> Any:
        raise DataError(f"{path}: holds {word}, which no record may")

    try:
        body = path.read_bytes()
        return json.loads(gzip.decompress(body) if path.suffix == ".gz" else body, parse_constant=refuse)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not what gzip wrote (truncated or damaged)") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON (truncated or damaged)") from error


def check_record(record: Any, where: str) -> None:
    """Check schema and digest of a record, and that its key is the hash of what it was computed from.

    Raises:
        DataError: says what is wrong.
    """
    try:
        validate(record, where)
        key = step_key(record["kind"], record["spec"], record["inputs"])
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: holds NaN or entries of a wrong type") from error
    if record["key"] != key:
        raise DataError(f"{where}: its key {record['key']} is not the hash of its spec and inputs ({key})")


def unique(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return records without exact repeats, in their order."""
    return tuple({record["digest"]: record for record in records}.values())
