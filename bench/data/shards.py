"""Shards on disk: one folder of raw `.npy` arrays for a run of samples, written whole or not at all.

    <root>/<producer>-64x64px/<source>/<split>/shard-0000256-0256/{rgb,depth,...}.npy shard.json

The name holds the first sample and the number of samples. A shard holds whole clips. `shard.json` lists size
and SHA-256 of every array. Shards begin at multiples of one length. The last one of a data set may be
shorter; when more samples are asked for, a longer one is put beside it. Equal samples are equal bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.producer import Place
from bench.dataset import Arrays, Field
from bench.errors import DataError
from bench.files import quarantine, sha256_file, write_atomic, writing

SCHEMA = 1
FACTS = "shard.json"
COMPARED = ".compared"  # folder beside the shards: sizes and times of those whose checksums were right
_NAME = re.compile(r"shard-(\d{7,})-(\d{4,})")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A run of samples of one place."""

    first: int
    count: int

    @property
    def stop(self) -> int:
        """Position after the last sample."""
        return self.first + self.count

    @property
    def name(self) -> str:
        """Folder of the shard that holds the run."""
        return f"shard-{self.first:07d}-{self.count:04d}"


def present(folder: Path) -> list[Span]:
    """Runs that have a finished shard below a place's folder, in order."""
    if not folder.is_dir():
        return []
    found = [match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted(Span(first=int(match[1]), count=int(match[2])) for match in found)


def holder(there: Iterable[Span], wanted: Span) -> Span | None:
    """Among the shards that are there, one that begins with a wanted run and holds all of it."""
    return next((s for s in there if s.first == wanted.first and s.count >= wanted.count), None)


def write(
    folder: Path, place: Place, span: Span, fields: Mapping[str, Field], clips: Iterable[Arrays]
) -> bool:
    """Write a shard clip by clip and put it in place.

    Args:
        folder: of the place; made if absent.
        place: what the samples are, kept in `shard.json`.
        span: the samples that the clips hold.
        fields: the arrays.
        clips: rows of the arrays, in order.

    Returns:
        False if another process has put an equal shard there meanwhile.

    Raises:
        DataError: disk full, no permission, or the rows are not what `fields` and `span` say.
    """
    temporary = folder / f".{span.name}.tmp-{os.getpid()}-{time.monotonic_ns()}"
    with writing(folder):
        try:
            temporary.mkdir(parents=True)
            facts = {
                "schema": SCHEMA,
                "place": asdict(place),
                "first": span.first,
                "count": span.count,
                "arrays": _write_arrays(temporary, span.count, fields, clips),
            }
            with _synced(temporary / FACTS) as file:
                file.write(json.dumps(facts, indent=1).encode())
            try:
                temporary.rename(folder / span.name)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
            _sync_folder(folder)
        except FileNotFoundError:
            return False  # taken for the remains of a dead process and removed, so another one is at work
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return True


def _write_arrays(
    folder: Path, count: int, fields: Mapping[str, Field], clips: Iterable[Arrays]
) -> dict[str, dict[str, Any]]:
    """Stream rows into one file per field; return size and checksum of each."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(_synced(folder / f"{name}.npy")) for name in fields}
        sums = {name: hashlib.sha256() for name in fields}
        for name, field in fields.items():
            head = _header(field, count)
            files[name].write(head)
            sums[name].update(head)
        done = 0
        for rows in clips:
            for name, field in fields.items():
                array = rows[name]
                if array.dtype != field.dtype or array.shape[1:] != field.shape:
                    raise DataError(
                        f"the producer made {name} as {array.dtype} {array.shape[1:]}, "
                        f"declared is {field.dtype} {field.shape}"
                    )
                data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
                files[name].write(data)
                sums[name].update(data)
            done += len(rows[next(iter(fields))])
        if done != count:
            raise DataError(f"the producer made {done} samples, {count} were wanted")
    return {
        name: {
            "dtype": field.dtype,
            "shape": [count, *field.shape],
            "bytes": (folder / f"{name}.npy").stat().st_size,
            "sha256": sums[name].hexdigest(),
        }
        for name, field in fields.items()
    }


def _header(field: Field, count: int) -> bytes:
    stream = io.BytesIO()
    facts = {"descr": np.dtype(field.dtype).str, "fortran_order": False, "shape": (count, *field.shape)}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.getvalue()


@contextmanager
def _synced(path: Path) -> Iterator[io.BufferedWriter]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flaw(folder: Path, place: Place, span: Span, fields: Mapping[str, Field]) -> str | None:
    """Cheap check of a shard: facts, sizes, shapes, types, producer. Says what is wrong, or None."""
    try:
        facts = json.loads((folder / span.name / FACTS).read_text())
        stored = facts["place"], facts["first"], facts["count"], facts["schema"]
        arrays = {name: (a["dtype"], a["shape"], a["bytes"]) for name, a in facts["arrays"].items()}
    except FileNotFoundError:
        return f"{FACTS} is missing"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{FACTS} is unreadable ({type(error).__name__})"
    if stored != (asdict(place), span.first, span.count, SCHEMA):
        return f"{FACTS} describes other data"
    for name, field in fields.items():
        if name not in arrays:
            return f"{name}.npy is not part of it"
        dtype, shape, size = arrays[name]
        wanted = [span.count, *field.shape]
        length = len(_header(field, span.count)) + int(np.prod(wanted)) * np.dtype(field.dtype).itemsize
        if dtype != field.dtype or shape != wanted or size != length:
            return f"{name}.npy holds {dtype} {shape} instead of {field.dtype} {wanted}"
        try:
            found = (folder / span.name / f"{name}.npy").stat().st_size
        except OSError:
            return f"{name}.npy is missing"
        if found != size:
            return f"{name}.npy has {found} bytes instead of {size}"
    return None


def damage(folder: Path, span: Span) -> str | None:
    """Compare every checksum of a shard that passed `flaw`; says which file differs, or None."""
    facts = json.loads((folder / span.name / FACTS).read_text())
    for name, array in facts["arrays"].items():
        try:
            same = sha256_file(folder / span.name / f"{name}.npy") == array["sha256"]
        except OSError as error:
            return f"{name}.npy cannot be read ({error.strerror})"
        if not same:
            return f"{name}.npy has changed (checksum)"
    return None


def damage_since(folder: Path, span: Span) -> str | None:
    """As `damage`, but compares a shard once, and again only when size or time of one of its files change.

    What was compared is kept in the folder of the place; where that is read-only, for this process.
    """
    place = folder / span.name
    stamps = {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(place.iterdir())}
    mark, text = folder / COMPARED / f"{span.name}.json", json.dumps(stamps)
    if _compared.get(mark) == text:
        return None
    with suppress(OSError):
        if mark.read_text() == text:
            return None
    if what := damage(folder, span):
        return what
    _compared[mark] = text
    with suppress(DataError):
        write_atomic(mark, text, durable=False)
    return None


_compared: dict[Path, str] = {}


def set_aside(folder: Path, span: Span) -> Path | None:
    """Move an unusable shard to `<name>.corrupt-<n>`; None if another process has done so."""
    try:
        with writing(folder):
            return quarantine(folder / span.name)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def open_array(folder: Path, span: Span, name: str, field: Field) -> NDArray[Any]:
    """Map an array of a shard into memory, read-only, (count, ...).

    Raises:
        DataError: the file is missing, cut off or of another type.
    """
    path = folder / span.name / f"{name}.npy"
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened: {error}; run `bench data verify`") from error
    if array.dtype != field.dtype or array.shape != (span.count, *field.shape):
        raise DataError(f"{path} holds {array.dtype} {array.shape}; run `bench data verify`")
    return array.view(np.ndarray)
