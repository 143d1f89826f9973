"""Manifests: one sample id per line. Their SHA-256 names a selection of data in every record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.errors import DataError, nearest
from bench.files import sha256_text, write_atomic


def text_of(ids: Iterable[str]) -> str:
    """Return the content of a manifest: one id per line, in order, with a final line break.

    Raises:
        DataError: an id appears twice, is empty or holds a line break.
    """
    listed = list(ids)
    _check(listed, "the list of samples")
    return "".join(f"{name}\n" for name in listed)


def sha256(ids: Iterable[str]) -> str:
    """Return the SHA-256 of a manifest, equal to that of its file."""
    return sha256_text(text_of(ids))


def write(path: Path, ids: Iterable[str]) -> str:
    """Write a manifest atomically and return its SHA-256.

    Raises:
        DataError: duplicate ids, or the file cannot be written.
    """
    text = text_of(ids)
    write_atomic(path, text)
    return sha256_text(text)


def read(path: Path, *, expected: str | None = None) -> list[str]:
    """Read a manifest.

    Args:
        path: the file.
        expected: SHA-256 that the file must have, if known.

    Raises:
        DataError: the file is missing, changed, or lists an id twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"manifest {path} cannot be read: {error}") from error
    if expected is not None and sha256_text(text) != expected:
        raise DataError(
            f"manifest {path} has changed: its SHA-256 is not {expected[:16]}...; restore the file"
        )
    ids = text.splitlines()
    _check(ids, str(path))
    return ids


def positions(ids: Sequence[str], known: Sequence[str]) -> list[int]:
    """Find each id in a data set's list of ids.

    Raises:
        DataError: an id is unknown or listed twice.
    """
    _check(ids, "the manifest")
    place = {name: i for i, name in enumerate(known)}
    unknown = [name for name in ids if name not in place]
    if unknown:
        hint = nearest(unknown[0], known) if len(known) <= 2000 else ""
        raise DataError(
            f'{len(unknown)} ids are not in the data set, the first is "{unknown[0]}".{hint[:200]}'
        )
    return [place[name] for name in ids]


def _check(ids: Sequence[str], where: str) -> None:
    if len(set(ids)) != len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise DataError(f'{where}: the id "{name}" is listed {count} times; ids must be unique')
    for name in ids:
        if not name or "\n" in name or "\r" in name or name != name.strip():
            raise DataError(
                f"{where}: {name!r} is not an id (empty, or with blanks or line breaks around it)"
            )
