from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
from bench.data.renderer import Arrays
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from bench.data.loader import loader
from bench.errors import ConfigError


class Squares:
    """Sample i is i squared; even batches are slow, so that threads finish out of turn."""

    def __init__(self, count: int, pause_s: float = 0.0) -> None:
        self.count, self.pause_s, self.reads = count, pause_s, 0

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
        self.reads += 1
        time.sleep(self.pause_s * (self.reads % 2))
        rows = np.asarray(indices)
        return {"sample_id": rows, **{name: rows**2 for name in fields}}


def seen(*arguments: object, **options: object) -> list[list[int]]:
    return [batch["sample_id"].tolist() for batch in loader(*arguments, **options)]  # type: ignore[arg-type]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 30), st.integers(0, 3))
def test_epochs_are_permutations_without_their_incomplete_end(
    n: int, size: int, steps: int, seed: int
) -> None:
    if size > n:
        with pytest.raises(ConfigError, match="use a smaller batch"):
            seen(Squares(n), ["x"], size, steps, seed)
        return
    batches = seen(Squares(n), ["x"], size, steps, seed, workers=0)
    assert len(batches) == steps and all(len(b) == size for b in batches)
    per_epoch = n // size
    for first in range(0, steps, per_epoch):
        rows = [i for b in batches[first : first + per_epoch] for i in b]
        assert len(set(rows)) == len(rows) and set(rows) <= set(range(n))


def test_resuming_at_any_step_goes_on_exactly() -> None:
    whole = seen(Squares(23), ["x"], 4, 20, 7)
    for start in range(21):
        assert seen(Squares(23), ["x"], 4, 20, 7, start_step=start) == whole[start:]
    assert whole[:5] != whole[5:10]  # epochs differ
    assert whole != seen(Squares(23), ["x"], 4, 20, 8)


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_of_a_batch_come_in_turn_and_make_the_batch(workers: int) -> None:
    whole = seen(Squares(23), ["x"], 6, 9, 7, start_step=2)
    for own in (range(3), range(1), range(1, 3)):
        parts = seen(Squares(23), ["x"], 6, 9, 7, start_step=2, workers=workers, own=own, of=3)
        assert parts == [batch[2 * part : 2 * part + 2] for batch in whole for part in own]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_workers_do_not_change_the_order(workers: int) -> None:
    assert seen(Squares(23, 0.002), ["x"], 4, 20, 7, workers=workers) == seen(Squares(23), ["x"], 4, 20, 7)


def test_rows_restrict_the_samples() -> None:
    rows = [3, 5, 8, 13, 21]
    batches = seen(Squares(23), ["x"], 2, 6, 0, rows=rows)
    assert {i for b in batches for i in b} <= set(rows)
    assert all(len({*batches[k], *batches[k + 1]}) == 4 for k in range(0, 6, 2))


def test_the_next_batch_is_read_while_one_is_in_use() -> None:
    data = Squares(100)
    stream = loader(data, ["x"], 10, 50, 0, workers=1)
    next(stream)
    time.sleep(0.1)
    assert data.reads == 3
    stream.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_errors_of_the_data_reach_the_caller() -> None:
    class Broken(Squares):
        def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(islice(loader(Broken(10), ["x"], 2, 5, 0), 1))
