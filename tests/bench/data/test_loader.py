from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from bench.data.loader import Pairs, loader, pair_loader
from bench.dataset import Arrays
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
    class ContractViolation(Squares):
        def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(islice(loader(ContractViolation(10), ["x"], 2, 5, 0), 1))


PAIRS = Pairs(rows=np.array([[i, i + 1 + k] for k in (0, 1) for i in range(10)]), kind=np.repeat([0, 1], 10))


def paired(
    size: int, steps: int, seed: int = 0, data: Squares | None = None, **options: Any
) -> list[list[tuple[int, int, int]]]:
    """Return (first, second, kind) of the pairs of each batch."""
    batches = pair_loader(data or Squares(23), ["x"], PAIRS, size, steps, seed, **options)
    found = []
    for batch in batches:
        assert (batch.first["x"] == batch.first["sample_id"] ** 2).all()
        rows = (batch.first["sample_id"], batch.second["sample_id"], batch.kind)
        found.append(list(zip(*(values.tolist() for values in rows), strict=True)))
    return found


def test_an_epoch_passes_once_through_all_pairs_in_either_direction() -> None:
    known = {
        (*sorted(rows), kind): tuple(rows)
        for rows, kind in zip(PAIRS.rows.tolist(), PAIRS.kind.tolist(), strict=True)
    }
    turned = []
    for epoch in range(30):
        seen = [pair for batch in paired(5, 120)[4 * epoch : 4 * epoch + 4] for pair in batch]
        assert sorted((min(a, b), max(a, b), kind) for a, b, kind in seen) == sorted(known)
        turned.append({(min(a, b), kind) for a, b, kind in seen if a > b})
    assert len({frozenset(some) for some in turned}) == 30  # drawn anew in each epoch
    assert 0.4 < sum(map(len, turned)) / (30 * 20) < 0.6


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_pairs_resume_exactly_whoever_reads_them(workers: int) -> None:
    whole = paired(3, 20, 7)
    assert whole != paired(3, 20, 8)
    for start in (0, 1, 6, 7, 19, 20):
        again = paired(3, 20, 7, Squares(23, 0.001), start_step=start, workers=workers)
        assert again == whole[start:]


def test_parts_of_a_batch_of_pairs_make_the_batch() -> None:
    whole = paired(6, 9, 7)
    for own in (range(3), range(1, 3)):
        parts = paired(6, 9, 7, own=own, of=3)
        assert parts == [batch[2 * part : 2 * part + 2] for batch in whole for part in own]


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match="a batch of 21 cannot be drawn from 20"):
        paired(21, 1)
