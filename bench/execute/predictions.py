"""Stored predictions: one npz of chunks in order, written and read with the memory of one chunk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.dataset import Arrays
from bench.errors import DataError
from bench.files import write_atomic

# what zip, deflate and npy raise on damaged bytes; NotImplementedError: an unknown compression or flag
_DAMAGE = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def write_chunks(path: Path, chunks: Iterable[Arrays]) -> None:
    """Write chunks as they come; the file appears when it is whole. Equal chunks give equal bytes.

    Raises:
        DataError: the file cannot be written.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for number, chunk in enumerate(chunks):
                for name, values in chunk.items():
                    entry = zipfile.ZipInfo(f"{number:06d}/{name}.npy")  # its date is a fixed one
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(entry, "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)

    write_atomic(path, write)


def read_chunks(path: Path) -> Iterator[Arrays]:
    """Yield the chunks in order.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            members: dict[str, list[str]] = {}
            for entry in file.files:
                members.setdefault(entry.partition("/")[0], []).append(entry)
            for chunk in sorted(members):
                yield {entry.partition("/")[2]: file[entry] for entry in members[chunk]}
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged ({error}); delete its folder and run again") from error
