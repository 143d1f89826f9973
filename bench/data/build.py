"""Make missing shards in parallel, resume, share the work with other builders, check and repair.

What is missing is read off the folders each time, so a build may be killed at any moment and started again,
and several builds may run on one folder.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from bench.console import leaving_interrupts, warn
from bench.data import shards
from bench.data.producer import Place, Producer, rows_per_clip
from bench.data.shards import Span
from bench.dataset import Arrays, DataSpec, Field, Outcome, Part, Progress
from bench.errors import DataError
from bench.records.claims import STALE_S, Claim, holder

SHARD = 256  # samples at most, and whole clips: few enough to spread a small set over workers
POLL_S = 0.3  # between looks at a shard that another process renders


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A shard that is to be made; see `bench.dataset.Piece`."""

    producer: Producer
    place: Place
    span: Span

    @property
    def name(self) -> str:
        """Folder below the data root."""
        return f"{self.place.folder}/{self.span.name}"

    def warm_up(self) -> None:
        """Compile the producer."""
        self.producer.warm_up()

    def make(self, root: Path) -> Outcome:
        """Make the shard unless it is there or another live process makes it; a flawed one is set aside."""
        place, span = self.place, self.span
        folder = place.under(root)
        fields = stored_fields(self.producer, place)
        if shards.flaw(folder, place, span, fields) is None:
            return "present"
        with Claim(folder / ".claims" / span.name) as claim:
            if not claim.held:
                return "taken"
            if (folder / span.name).is_dir():
                if shards.flaw(folder, place, span, fields) is None:
                    return "present"
                shards.set_aside(folder, span)
            for stale in folder.glob(f".{span.name}.tmp-*"):  # of a killed holder of this claim
                shutil.rmtree(stale, ignore_errors=True)
            done = shards.write(folder, place, span, fields, _clips(self.producer, place, span))
        return "built" if done else "present"


def place_of(spec: DataSpec, part: Part, producer: Producer) -> Place:
    """Where the samples of a part are kept."""
    height, width = spec.size
    return Place(producer=producer.name, source=part.source, split=part.split, height=height, width=width)


def stored_fields(producer: Producer, place: Place) -> dict[str, Field]:
    """Arrays of the shards of a place."""
    return dict(producer.fields(place.source, place.size))


def spans(place: Place, samples: int, producer: Producer) -> list[Span]:
    """Shards that hold the first samples: all of one length but the last, which ends with the last clip."""
    per_clip = rows_per_clip(producer, place.source)
    rows = producer.clips(place.source, place.split, samples) * per_clip
    length = max(1, SHARD // per_clip) * per_clip
    return [Span(first=at, count=min(length, rows - at)) for at in range(0, rows, length)]


def missing_pieces(
    specs: Iterable[DataSpec], root: Path, producer: Producer, *, checked: bool = True
) -> list[Piece]:
    """Shards that are missing (or fail the cheap check) for some data specs; reads only.

    Args:
        specs: what is wanted; parts that occur several times count once, with their largest size.
        root: data folder.
        producer: makes the samples.
        checked: look into each shard; otherwise trust the folder names.
    """
    pieces = []
    for place, samples in _merged(specs, producer).items():
        folder = place.under(root)
        there = shards.present(folder)
        if checked:
            fields = stored_fields(producer, place)
            there = [s for s in there if shards.flaw(folder, place, s, fields) is None]
        for span in spans(place, samples, producer):
            if shards.holder(there, span) is None:
                pieces.append(Piece(producer=producer, place=place, span=span))
    return pieces


def build(
    specs: Iterable[DataSpec],
    root: Path,
    producer: Producer,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> int:
    """Make what is missing for some data specs; damaged shards are set aside first.

    Args:
        specs: what is wanted; checked.
        root: data folder; made if absent.
        producer: makes the samples.
        jobs: processes; 1 makes all in this one.
        on_progress: called with (samples there, samples wanted) at the start and after each shard.

    Returns:
        Samples that this call made.

    Raises:
        DataError: disk full, no permission, or a worker died.
    """
    specs = list(specs)
    _set_aside_damaged(specs, root, producer)
    pieces = missing_pieces(specs, root, producer)
    if not pieces:
        return 0
    _give_back_claims(specs, root, producer)
    wanted = _merged(specs, producer).items()
    total = sum(span.count for place, samples in wanted for span in spans(place, samples, producer))
    report = on_progress or (lambda there, of: None)
    made, told = 0, ""
    producer.warm_up()
    while pieces:
        there = total - sum(piece.span.count for piece in pieces)
        report(there, total)
        outcomes = set()
        with closing(_run(pieces, root, min(jobs, len(pieces)))) as done:
            for piece, outcome in done:
                outcomes.add(outcome)
                made += piece.span.count if outcome == "built" else 0
                if outcome != "taken":
                    there += piece.span.count
                    report(there, total)
        if outcomes == {"taken"}:
            path = _claim(root, pieces[0])
            if (who := holder(path)) and who != told:
                told = who
                warn(f"waits for {who} (claim on {path}) until it ends or shows no life for {STALE_S:.0f} s")
            time.sleep(POLL_S)
        jobs = 1  # for what others are at; no pool has to be started to look again
        pieces = missing_pieces(specs, root, producer, checked=False)
    return made


def _run(pieces: list[Piece], root: Path, jobs: int) -> Generator[tuple[Piece, Outcome]]:
    """Yield pieces as they are done."""
    if jobs == 1:
        yield from ((piece, piece.make(root)) for piece in pieces)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(stop,))
    try:
        with leaving_interrupts():
            futures = {pool.submit(piece.make, root): piece for piece in pieces}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a building process died (out of memory?); run again with fewer jobs, finished shards are kept"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_stop: Event | None = None  # in workers: set when the build is over or given up


def _start_worker(stop: Event) -> None:
    """End with the parent however it ends: a pool would wait for ever."""
    global _stop
    _stop = stop
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def verify(spec: DataSpec, root: Path, producer: Producer) -> list[str]:
    """Check every byte of the shards of a data spec; bad ones are set aside and rebuilt by the next build.

    Returns:
        One line per problem: corrupt shards and where they are now, runs of samples that are not there.
    """
    problems = _set_aside_damaged([spec], root, producer, shards.damage)
    for piece in missing_pieces([spec], root, producer):
        place, span = piece.place, piece.span
        problems.append(f"{place.folder}: samples {span.first} to {span.stop - 1} are not there; build them")
    return problems


def _set_aside_damaged(
    specs: Iterable[DataSpec],
    root: Path,
    producer: Producer,
    compare: Callable[[Path, Span], str | None] = shards.damage_since,
) -> list[str]:
    problems = []
    for place in _merged(specs, producer):
        folder, fields = place.under(root), stored_fields(producer, place)
        for span in shards.present(folder):
            if what := shards.flaw(folder, place, span, fields) or compare(folder, span):
                problems += _moved(folder, span, what)
    return problems


def _give_back_claims(specs: Iterable[DataSpec], root: Path, producer: Producer) -> None:
    """Remove the claims of processes that died, also on shards that they had just put in place."""
    for place in _merged(specs, producer):
        for path in (place.under(root) / ".claims").glob("shard-*"):
            with Claim(path):  # not held, hence left alone, where the owner lives
                pass


def _moved(folder: Path, span: Span, what: str) -> list[str]:
    aside = shards.set_aside(folder, span)
    return (
        [f"{folder / span.name}: {what}; moved to {aside.name}, the next build makes it anew"]
        if aside
        else []
    )


def _merged(specs: Iterable[DataSpec], producer: Producer) -> dict[Place, int]:
    """All places, each with the largest number of samples."""
    largest: dict[Place, int] = {}
    for spec in specs:
        for part in spec.parts:
            place = place_of(spec, part, producer)
            largest[place] = max(part.samples, largest.get(place, 0))
    return largest


def _claim(root: Path, piece: Piece) -> Path:
    return piece.place.under(root) / ".claims" / piece.span.name


def _clips(producer: Producer, place: Place, span: Span) -> Iterator[Arrays]:
    """The clips of a run."""
    per_clip = rows_per_clip(producer, place.source)
    for clip in range(span.first // per_clip, span.stop // per_clip):
        rows = producer.produce(place.source, place.split, clip, place.size)
        if _stop is not None and _stop.is_set():
            raise KeyboardInterrupt
        yield rows
