"""Raw batches in a fixed random order, read ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bench.api import seeded
from bench.data.renderer import Arrays
from bench.errors import ConfigError

READ_AHEAD = 2  # batches per thread


class Readable(Protocol):
    """A data set with random access to batches."""

    def __len__(self) -> int: ...

    def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
        """Read rows."""


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Permutation of an epoch, (count,)."""
    permutation: NDArray[np.int64] = torch.randperm(count, generator=seeded(seed, "order", epoch)).numpy()
    return permutation


def indices(
    rows: NDArray[np.int64],
    batch_size: int,
    steps: int,
    seed: int,
    start_step: int = 0,
    own: range = range(1),
    of: int = 1,
) -> Iterator[NDArray[np.int64]]:
    """Rows of each step from `start_step` on. An epoch is a permutation whose incomplete end is dropped.

    With `of` equal parts per batch, those numbered `own` come one after the other.

    Raises:
        ConfigError: there are fewer rows than a batch has.
    """
    per_epoch = len(rows) // batch_size if batch_size > 0 else 0
    if per_epoch < 1:
        raise ConfigError(
            f"a batch of {batch_size} cannot be drawn from {len(rows)} samples; use a smaller batch"
        )
    epoch, shuffled = -1, rows
    for step in range(start_step, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            shuffled = rows[order(len(rows), seed, epoch)]
        first, size = step % per_epoch * batch_size, batch_size // of
        for part in own:
            yield shuffled[first + part * size : first + (part + 1) * size]


def loader(
    dataset: Readable,
    fields: Sequence[str],
    batch_size: int,
    steps: int,
    seed: int,
    start_step: int = 0,
    workers: int = 1,
    rows: ArrayLike | None = None,
    own: range = range(1),
    of: int = 1,
) -> Iterator[Arrays]:
    """Yield the raw batches of the steps `start_step` to `steps - 1`, or parts of them.

    Args:
        dataset: source of the rows.
        fields: arrays to read.
        batch_size: samples per step, at most the number of rows.
        steps: of the whole training; which samples a step sees does not depend on where one starts.
        seed: of the run; the order of epoch e follows from (seed, "order", e).
        start_step: first step that is wanted, for resuming.
        workers: reading threads. They work ahead while the current batch is in use and never change the
            order; 0 reads when asked.
        rows: positions that take part; all if absent.
        own: which parts of each batch are wanted.
        of: parts per batch, which they divide evenly.

    Raises:
        ConfigError: there are fewer rows than a batch has.
    """
    chosen = np.arange(len(dataset)) if rows is None else np.asarray(rows, np.int64)
    wanted = indices(chosen, batch_size, steps, seed, start_step, own, of)
    if workers < 1:
        for positions in wanted:
            yield dataset.batch(positions, fields)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        pending: deque[Future[Arrays]] = deque()
        for positions in wanted:
            pending.append(pool.submit(dataset.batch, positions, fields))
            if len(pending) > READ_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
