from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bench.data import shards
from bench.data.producer import Place
from bench.data.shards import Span
from bench.dataset import Arrays, Field
from bench.errors import DataError

FIELDS = {"rgb": Field(dtype="uint8", shape=(4, 4, 3)), "kp": Field(dtype="float32", shape=(2,))}
PLACE = Place(producer="toy", source="lab", split="train", height=4, width=4)


def rows(first: int, count: int) -> Arrays:
    grid = np.arange(first * 48, (first + count) * 48).reshape(count, 4, 4, 3)
    return {
        "rgb": grid.astype(np.uint8),
        "kp": np.arange(first, first + count)[:, None] * np.ones(2, np.float32),
    }


def clips(span: Span, per_clip: int = 2) -> list[Arrays]:
    found = [rows(i, per_clip) for i in range(span.first, span.stop, per_clip)]
    return [{name: array.astype(FIELDS[name].dtype) for name, array in clip.items()} for clip in found]


def test_a_run_is_held_by_shards_of_its_beginning_that_are_long_enough() -> None:
    there = [Span(first=f, count=c) for f, c in ((0, 12), (12, 5), (12, 8), (24, 12))]
    held = {n: shards.holder(there, Span(first=12, count=n)) for n in (5, 6, 8, 9)}
    assert held == {5: there[1], 6: there[2], 8: there[2], 9: None}
    assert shards.holder(there, Span(first=6, count=6)) is None


def test_round_trip(tmp_path: Path) -> None:
    span = Span(first=6, count=4)
    assert shards.write(tmp_path, PLACE, span, FIELDS, clips(span))
    assert shards.present(tmp_path) == [span]
    assert shards.flaw(tmp_path, PLACE, span, FIELDS) is None
    assert shards.damage(tmp_path, span) is None
    for name, field in FIELDS.items():
        stored = shards.open_array(tmp_path, span, name, field)
        np.testing.assert_array_equal(stored, rows(6, 4)[name])
        np.testing.assert_array_equal(np.load(tmp_path / span.name / f"{name}.npy"), stored)
    with pytest.raises(ValueError, match="read-only"):
        stored[0] = 0


def test_the_second_of_two_writers_loses_without_harm(tmp_path: Path) -> None:
    span = Span(first=0, count=4)
    assert shards.write(tmp_path, PLACE, span, FIELDS, clips(span))
    before = (tmp_path / span.name / "shard.json").stat().st_mtime_ns
    assert not shards.write(tmp_path, PLACE, span, FIELDS, clips(span))
    assert (tmp_path / span.name / "shard.json").stat().st_mtime_ns == before
    assert [p.name for p in tmp_path.iterdir()] == [span.name]


def test_rows_that_do_not_fit_leave_nothing_behind(tmp_path: Path) -> None:
    span = Span(first=0, count=4)
    with pytest.raises(DataError, match="made 2 samples, 4 were wanted"):
        shards.write(tmp_path, PLACE, span, FIELDS, clips(span)[:1])
    wrong = [{**clip, "kp": clip["kp"].astype(np.float64)} for clip in clips(span)]
    with pytest.raises(DataError, match="kp as float64"):
        shards.write(tmp_path, PLACE, span, FIELDS, wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: (d / "kp.npy").unlink(), "kp.npy is missing"),
        (lambda d: os.truncate(d / "rgb.npy", 150), "rgb.npy has 150 bytes instead of"),
        (lambda d: (d / "shard.json").unlink(), "shard.json is missing"),
        (lambda d: (d / "shard.json").write_text('{"schema": 1'), "unreadable"),
        (lambda d: (d / "shard.json").write_text("[]"), "unreadable"),
        (lambda d: edit(d, "count", 5), "other data"),
        (lambda d: edit(d, "place", {}), "other data"),
        (lambda d: edit(d, "arrays", {}), "rgb.npy is not part of it"),
    ],
)
def test_flaws_are_named(tmp_path: Path, harm: object, message: str) -> None:
    span = Span(first=0, count=4)
    shards.write(tmp_path, PLACE, span, FIELDS, clips(span))
    assert callable(harm)
    harm(tmp_path / span.name)
    assert message in str(shards.flaw(tmp_path, PLACE, span, FIELDS))


def edit(folder: Path, key: str, value: object) -> None:
    facts = json.loads((folder / "shard.json").read_text())
    (folder / "shard.json").write_text(json.dumps({**facts, key: value}))


def test_one_changed_byte_is_found(tmp_path: Path) -> None:
    span = Span(first=0, count=4)
    shards.write(tmp_path, PLACE, span, FIELDS, clips(span))
    path = tmp_path / span.name / "rgb.npy"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert shards.flaw(tmp_path, PLACE, span, FIELDS) is None
    assert shards.damage(tmp_path, span) == "rgb.npy has changed (checksum)"
    aside = shards.set_aside(tmp_path, span)
    assert aside is not None and ".corrupt-" in aside.name and not shards.present(tmp_path)
    assert shards.set_aside(tmp_path, span) is None
