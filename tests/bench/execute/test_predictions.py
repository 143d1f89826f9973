from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import DataError
from bench.execute.predictions import read_chunks, write_chunks

RNG = np.random.default_rng(0)
CHUNKS = [{"a": RNG.integers(0, 9, i + 1), "b": RNG.random((2, 3))} for i in range(12)]


def test_chunks_come_back_in_order_and_equal_ones_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        write_chunks(tmp_path / name, iter(CHUNKS))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = list(read_chunks(tmp_path / "one.npz"))
    assert len(found) == len(CHUNKS)
    for one, other in zip(found, CHUNKS, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_damage_anywhere_is_named_and_no_value_changes(tmp_path: Path) -> None:
    """Damage to the list of entries can hide one whole; the record's checksum and the count tell of that."""
    path = tmp_path / "cells.npz"
    write_chunks(path, iter(CHUNKS))
    whole = path.read_bytes()
    known = {(name, values.tobytes()) for chunk in CHUNKS for name, values in chunk.items()}
    named = 0
    flipped = (whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(0, len(whole), 5))
    for content in [*flipped, *(whole[:i] for i in range(0, len(whole), 97))]:
        path.write_bytes(content)
        try:
            found = list(read_chunks(path))
            assert all((name, v.tobytes()) in known for chunk in found for name, v in chunk.items())
        except DataError as error:
            assert str(error).startswith(f"{path} is damaged")
            named += 1
    assert named > len(whole) / 10


def test_an_error_while_predicting_leaves_no_file(tmp_path: Path) -> None:
    def fails():  # type: ignore[no-untyped-def]
        yield CHUNKS[0]
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_chunks(tmp_path / "cells.npz", fails())
    assert not list(tmp_path.iterdir())
