"""Render missing shards in parallel, resume, share the work with other builders, check and repair.

What is missing is read off the folders each time, so a build may be killed at any moment and started again,
and several builds may run on one folder.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Literal

from bench.claims import STALE_S, Claim, holder
from bench.console import warn
from bench.data import points, shards
from bench.data.renderer import Arrays, Field, Renderer, rows_per_clip, sample_ids
from bench.data.shards import Span
from bench.data.spec import DataSpec, Part, Place, parse
from bench.errors import ConfigError, DataError, nearest

Outcome = Literal["built", "present", "taken"]
Progress = Callable[[int, int], object]  # samples there, samples wanted

SHARD = 256  # samples at most, and whole clips: few enough to spread a small set over workers
POLL_S = 0.3  # between looks at a shard that another process renders


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A shard that is to be rendered."""

    place: Place
    span: Span


def stored_fields(renderer: Renderer, size: int) -> dict[str, Field]:
    """Arrays of a shard: the renderer's, and the annotated points."""
    return {**renderer.fields(size), **points.FIELDS}


def check(spec: DataSpec, renderer: Renderer) -> None:
    """Make sure that this renderer draws what the spec means.

    Raises:
        ConfigError: unknown domain or split.
        DataError: the renderer has another version.
    """
    if spec.version != renderer.version:
        raise DataError(
            f"the data spec asks for version {spec.version} of the generator, installed is "
            f"{renderer.version}; update the spec (configs/dataset) or install the matching release"
        )
    for part in spec.parts:
        place = part.place
        if place.domain not in renderer.domains():
            raise ConfigError(f'unknown domain "{place.domain}".{nearest(place.domain, renderer.domains())}')
        known = renderer.splits(place.domain)
        if place.split not in known:
            raise ConfigError(
                f'domain {place.domain} has no split "{place.split}".{nearest(place.split, known)}'
            )


def spans(part: Part, renderer: Renderer) -> list[Span]:
    """Shards that hold a part: all of one length but the last, which ends with the part's last clip."""
    place, per_clip = part.place, rows_per_clip(renderer, part.place.domain)
    rows = renderer.clips(place.domain, place.split, part.samples) * per_clip
    length = max(1, SHARD // per_clip) * per_clip
    return [Span(first=at, count=min(length, rows - at)) for at in range(0, rows, length)]


def missing_pieces(
    specs: Iterable[Mapping[str, Any]], root: Path, renderer: Renderer, *, checked: bool = True
) -> list[Piece]:
    """Shards that are missing (or fail the cheap check) for a list of data specs; reads only.

    Args:
        specs: plain data specs; parts that occur several times count once, with their largest size.
        root: data folder.
        renderer: source of the samples.
        checked: look into each shard; otherwise trust the folder names.
    """
    pieces = []
    for part in _merged(specs, renderer):
        folder = part.place.under(root)
        there = shards.present(folder)
        if checked:
            fields = stored_fields(renderer, part.place.size)
            there = [s for s in there if shards.flaw(folder, part.place, s, fields) is None]
        for span in spans(part, renderer):
            if shards.holder(there, span) is None:
                pieces.append(Piece(place=part.place, span=span))
    return pieces


def build(
    specs: Iterable[Mapping[str, Any]],
    root: Path,
    renderer: Renderer,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> int:
    """Render what is missing for a list of data specs; damaged shards are set aside first.

    Args:
        specs: plain data specs.
        root: data folder; made if absent.
        renderer: source of the samples; picklable when `jobs` > 1.
        jobs: processes; 1 renders in this one.
        on_progress: called with (samples there, samples wanted) at the start and after each shard.

    Returns:
        Samples that this call rendered.

    Raises:
        ConfigError: a spec is wrong.
        DataError: disk full, no permission, a worker died, or the renderer does not fit the spec.
    """
    specs = list(specs)
    _set_aside_damaged(specs, root, renderer)
    pieces = missing_pieces(specs, root, renderer)
    if not pieces:
        return 0
    _give_back_claims(specs, root, renderer)
    total = sum(span.count for part in _merged(specs, renderer) for span in spans(part, renderer))
    report = on_progress or (lambda there, wanted: None)
    rendered, told = 0, ""
    renderer.warm_up()
    while pieces:
        there = total - sum(piece.span.count for piece in pieces)
        report(there, total)
        outcomes = set()
        with closing(_run(pieces, root, renderer, min(jobs, len(pieces)))) as done:
            for piece, outcome in done:
                outcomes.add(outcome)
                rendered += piece.span.count if outcome == "built" else 0
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
        pieces = missing_pieces(specs, root, renderer, checked=False)
    return rendered


def _run(pieces: list[Piece], root: Path, renderer: Renderer, jobs: int) -> Generator[tuple[Piece, Outcome]]:
    """Yield pieces as they are done."""
    if jobs == 1:
        yield from ((piece, build_piece(root, renderer, piece)) for piece in pieces)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(stop,))
    try:
        futures = {pool.submit(build_piece, root, renderer, piece): piece for piece in pieces}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a rendering process died (out of memory?); run again with fewer jobs, finished shards are kept"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_stop: Event | None = None  # in workers: set when the build is over or given up


def _start_worker(stop: Event) -> None:
    """Leave interrupts to the parent, and end with it however it ends: a pool would wait for ever."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def verify(spec: Mapping[str, Any], root: Path, renderer: Renderer) -> list[str]:
    """Check every byte of the shards of a data spec; bad ones are set aside and rebuilt by the next build.

    Returns:
        One line per problem: corrupt shards and where they are now, runs of samples that are not rendered.
    """
    problems = _set_aside_damaged([spec], root, renderer, shards.damage)
    for piece in missing_pieces([spec], root, renderer):
        place, span = piece.place, piece.span
        problems.append(f"{place.folder}: samples {span.first} to {span.stop - 1} are not there; build them")
    return problems


def _set_aside_damaged(
    specs: Iterable[Mapping[str, Any]],
    root: Path,
    renderer: Renderer,
    compare: Callable[[Path, Span], str | None] = shards.damage_since,
) -> list[str]:
    problems = []
    for part in _merged(specs, renderer):
        folder = part.place.under(root)
        fields = stored_fields(renderer, part.place.size)
        for span in shards.present(folder):
            what = shards.flaw(folder, part.place, span, fields) or compare(folder, span)
            if what:
                problems += _moved(folder, span, what)
    return problems


def _give_back_claims(specs: Iterable[Mapping[str, Any]], root: Path, renderer: Renderer) -> None:
    """Remove the claims of processes that died, also on shards that they had just put in place."""
    for part in _merged(specs, renderer):
        for path in (part.place.under(root) / ".claims").glob("shard-*"):
            with Claim(path):  # not held, hence left alone, where the owner lives
                pass


def _moved(folder: Path, span: Span, what: str) -> list[str]:
    aside = shards.set_aside(folder, span)
    return (
        [f"{folder / span.name}: {what}; moved to {aside.name}, the next build renders it anew"]
        if aside
        else []
    )


def _merged(specs: Iterable[Mapping[str, Any]], renderer: Renderer) -> list[Part]:
    """All parts, each place once with the largest number of samples."""
    largest: dict[Place, int] = {}
    for spec in map(parse, specs):
        check(spec, renderer)
        for part in spec.parts:
            largest[part.place] = max(part.samples, largest.get(part.place, 0))
    return [Part(place=place, samples=samples) for place, samples in largest.items()]


def build_piece(root: Path, renderer: Renderer, piece: Piece) -> Outcome:
    """Render one shard unless it is there or another live process renders it; a flawed one is set aside."""
    place, span = piece.place, piece.span
    folder = place.under(root)
    fields = stored_fields(renderer, place.size)
    if shards.flaw(folder, place, span, fields) is None:
        return "present"
    with Claim(_claim(root, piece)) as claim:
        if not claim.held:
            return "taken"
        if (folder / span.name).is_dir():
            if shards.flaw(folder, place, span, fields) is None:
                return "present"
            shards.set_aside(folder, span)
        for stale in folder.glob(f".{span.name}.tmp-*"):  # of a killed holder of this claim
            shutil.rmtree(stale, ignore_errors=True)
        done = shards.write(folder, place, span, fields, _clips(renderer, place, span))
    return "built" if done else "present"


def _claim(root: Path, piece: Piece) -> Path:
    return piece.place.under(root) / ".claims" / piece.span.name


def _clips(renderer: Renderer, place: Place, span: Span) -> Iterator[Arrays]:
    """Rendered clips of a run with their annotated points."""
    per_clip = rows_per_clip(renderer, place.domain)
    ids = sample_ids(renderer, place.domain, place.split, span.stop)
    from bench.synth.labels import chart24  # loads scipy, which planning does not need

    for clip in range(span.first // per_clip, span.stop // per_clip):
        rows = renderer.render(place.domain, place.split, clip, size=place.size, seed=place.seed)
        names = ids[clip * per_clip : (clip + 1) * per_clip]
        if _stop is not None and _stop.is_set():
            raise KeyboardInterrupt
        yield {**rows, **points.annotate(chart24(rows["fid"]), rows["uv"], names, place.seed)}
