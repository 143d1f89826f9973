"""Raw batches in a fixed random order, of samples or of pairs of them, read ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from bench.api import seeded
from bench.dataset import Arrays, Ints
from bench.errors import ConfigError

Wanted = TypeVar("Wanted")
Read = TypeVar("Read")

READ_AHEAD = 2  # batches per thread


class Readable(Protocol):
    """A data set with random access to batches."""

    def __len__(self) -> int: ...

    def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
        """Read rows."""


def order(count: int, seed: int, epoch: int) -> Ints:
    """Permutation of an epoch, (count,)."""
    permutation: Ints = torch.randperm(count, generator=seeded(seed, "order", epoch)).numpy()
    return permutation


def indices(
    count: int,
    batch_size: int,
    steps: int,
    seed: int,
    start_step: int = 0,
    own: range = range(1),
    of: int = 1,
) -> Iterator[tuple[int, Ints]]:
    """Yield the epoch of each step from `start_step` on, and the positions 0..count-1 that it uses.

    An epoch is a permutation whose incomplete end is dropped. With `of` equal parts per batch, those numbered
    `own` come one after the other.

    Raises:
        ConfigError: there are fewer than a batch has.
    """
    per_epoch = count // batch_size if batch_size > 0 else 0
    if per_epoch < 1:
        raise ConfigError(
            f"a batch of {batch_size} cannot be drawn from {count} samples; use a smaller batch"
        )
    epoch, shuffled = -1, np.arange(0)
    for step in range(start_step, steps):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            shuffled = order(count, seed, epoch)
        first, size = step % per_epoch * batch_size, batch_size // of
        for part in own:
            yield epoch, shuffled[first + part * size : first + (part + 1) * size]


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
    drawn = indices(len(chosen), batch_size, steps, seed, start_step, own, of)
    wanted = (chosen[positions] for _, positions in drawn)
    yield from _ahead(lambda positions: dataset.batch(positions, fields), wanted, workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Rows of a data set that belong together in twos."""

    rows: Ints  # (M, 2)
    kind: Ints  # (M,)
    ordered: bool = False  # the first comes first


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPairs:
    """A raw batch of pairs."""

    first: Arrays
    second: Arrays
    kind: Ints  # (N,)


def pair_loader(
    dataset: Readable,
    fields: Sequence[str],
    pairs: Pairs,
    batch_size: int,
    steps: int,
    seed: int,
    start_step: int = 0,
    workers: int = 1,
    own: range = range(1),
    of: int = 1,
) -> Iterator[RawPairs]:
    """Yield raw batches of `batch_size` pairs, twice as many images; see `loader` for what is not listed.

    Args:
        dataset: source of the rows.
        fields: arrays to read of both.
        pairs: what an epoch passes through once. Which of the two comes first is drawn anew for each epoch e,
            from (seed, "pair", e), unless they are ordered.
        batch_size: pairs per step, at most as many as there are.
        steps: of the whole training.
        seed: of the run.
        start_step: first step that is wanted.
        workers: reading threads.
        own: which parts of each batch are wanted.
        of: parts per batch.

    Raises:
        ConfigError: there are fewer pairs than a batch has.
    """

    def directed() -> Iterator[tuple[Ints, Ints]]:
        epoch, turned = -1, np.zeros(0, bool)
        for now, positions in indices(len(pairs.rows), batch_size, steps, seed, start_step, own, of):
            if now != epoch:
                epoch, chance = now, torch.rand(len(pairs.rows), generator=seeded(seed, "pair", now))
                turned = (chance < 0.5).numpy() & (not pairs.ordered)
            rows = pairs.rows[positions]
            rows = np.where(turned[positions, None], rows[:, ::-1], rows)
            yield rows, pairs.kind[positions]

    def read(wanted: tuple[Ints, Ints]) -> RawPairs:
        rows, kind = wanted
        first, second = (dataset.batch(rows[:, k], fields) for k in (0, 1))
        return RawPairs(first=first, second=second, kind=kind)

    yield from _ahead(read, directed(), workers)


def _ahead(read: Callable[[Wanted], Read], wanted: Iterator[Wanted], workers: int) -> Iterator[Read]:
    """Read what is wanted, in order, some of it before it is asked for."""
    if workers < 1:
        yield from map(read, wanted)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        pending: deque[Future[Read]] = deque()
        for one in wanted:
            pending.append(pool.submit(read, one))
            if len(pending) > READ_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
