from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.report.drawing import import_drawing

from bench.errors import DataError
from bench.files import write_atomic
from bench.report import reading, workers
from bench.report.frame import load, tabulate
from bench.report.reading import Entry, read, read_entries
from bench.report.workers import Workers

Make = Callable[..., Any]
Store = Callable[..., Path]


def test_processes_read_the_same_records_in_the_same_order(
    make_world: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0}))
    (root / "score" / "cell-broken").mkdir()
    (root / "score" / "cell-broken" / "record.json").write_text("{")
    alone = load(root)
    monkeypatch.setattr(reading, "CHUNK", 1)
    with Workers(2) as two:
        shared = tabulate(read(root, None, two))
        assert len(two._started) == 1
    assert alone.frame.equals(shared.frame) and alone.curves.equals(shared.curves)
    assert alone.problems == shared.problems and "cell-broken" in alone.problems[0]
    assert alone.details == shared.details and alone.replicates.keys() == shared.replicates.keys()
    assert all((alone.replicates[key] == drawn).all() for key, drawn in shared.replicates.items())


def test_processes_serve_several_works_and_end_also_when_killed(make_world: Make, store: Store) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0}))
    paths = sorted(root.glob("score/*/record.json"))
    keys = [entry.key for entry in read_entries(paths, root) if isinstance(entry, Entry)]
    assert len(keys) == len(paths) >= 4
    with Workers(2) as two:
        for order in (1, -1):
            found = two.share(read_entries, paths[::order], root, 1)
            assert [entry.key for entry in found if isinstance(entry, Entry)] == keys[::order]
        two.prepare(import_drawing)
        assert len(two.share(read_entries, paths, root, 1)) == len(paths)
        process = two._started[0]
        assert process.poll() is None
        two.prepare(import_drawing)
        process.kill()
        process.wait()
        assert len(two.share(read_entries, paths, root, 1)) == len(paths)
        assert two._started[0] is not process
        process = two._started[0]
        assert process.poll() is None
    assert process.poll() is not None


def test_small_works_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_start", lambda: pytest.fail("started a process"))
    with Workers(8) as many:
        assert many.share(_lengths, [], tmp_path, 2) == []
        assert many.share(_lengths, ["a", "bc", "d"], tmp_path, 2) == [1, 2, 1]


def test_an_error_of_a_share_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Workers(2) as two, pytest.raises(DataError, match="cannot write"):
        two.share(_write, ["a", "b", "c"], tmp_path / "file", 1)


def _lengths(words: Sequence[str], folder: Path) -> list[int]:
    return [len(word) for word in words]


def _write(names: Sequence[str], folder: Path) -> list[None]:
    return [write_atomic(folder / name, name) for name in names]
