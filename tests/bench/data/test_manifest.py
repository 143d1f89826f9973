from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench.data import manifest
from bench.errors import DataError

IDS = ["d_dense/train/00000-0-0", "d_dense/train/00001-0-0", "wild_rgb/pretrain/00000-0-0"]


def test_round_trip_and_hash_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "train.txt"
    digest = manifest.write(path, IDS)
    assert manifest.read(path) == IDS
    assert digest == manifest.sha256(IDS) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest != manifest.sha256(IDS[::-1])
    with pytest.raises(DataError, match="has changed"):
        manifest.read(path, expected="0" * 64)


@pytest.mark.parametrize("bad", [["a", "b", "a"], ["a", ""], ["a\nb"], [" a"]])
def test_bad_ids_are_refused(bad: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError):
        manifest.write(tmp_path / "m.txt", bad)
    assert not list(tmp_path.iterdir())


def test_duplicates_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    path.write_text("a\nb\na\n")
    with pytest.raises(DataError, match='"a" is listed 2 times'):
        manifest.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        manifest.read(tmp_path / "none.txt")


def test_positions_name_the_unknown_id() -> None:
    assert manifest.positions(IDS[::-1], IDS) == [2, 1, 0]
    with pytest.raises(DataError, match=r'"d_dense/train/00009-0-0".*Did you mean'):
        manifest.positions(["d_dense/train/00009-0-0"], IDS)
