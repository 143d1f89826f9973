"""The local executor: this process, or a pool of processes, works through a plan."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import BenchError, StepError
from bench.execute import plans
from bench.execute.data_jobs import specs_of_step
from bench.execute.job import ensure, install_signals, quiet_threads
from bench.execute.progress import Progress
from bench.execute.site import Site
from bench.files import canonical
from bench.plan import Plan, Step
from bench.request import Request
from bench.resources import cores
from bench.store import Store

POLL_S = 1.0  # between looks at work that another process has claimed
ATTEMPTS = 2  # of a job whose process dies


@dataclass(kw_only=True)
class Job:
    """Something a worker does: render a shard, or bring a step to `done`."""

    name: str
    rank: int  # lower first
    run: Callable[..., str]
    arguments: tuple[Any, ...]
    needs: set[str] = field(default_factory=set)
    step: Step | None = None
    attempts: int = 0
    not_before: float = 0.0


@dataclass(kw_only=True)
class Outcome:
    """What came of a run."""

    computed: int = 0  # steps brought to `done` by this run
    rendered: int = 0  # samples rendered by this run
    failed: dict[str, str] = field(default_factory=dict)  # key -> reason
    seconds: float = 0.0


def execute(request: Request, plan: Plan, store: Store, jobs: int | None = None) -> Outcome:
    """Run the missing steps of a plan; a failed step never stops the others.

    Args:
        request: kept in the store, so that `bench status` knows what was asked for.
        plan: what to run.
        store: where results go.
        jobs: processes; None = one per core on a CPU, one on a GPU. Never changes a number.

    Raises:
        DataError: the store or the data folder cannot be written.
        KeyboardInterrupt: interrupted; finished work and checkpoints are kept.
    """
    begun = time.monotonic()
    plans.keep(request, store)
    outcome = Outcome()
    todo = _jobs(plan, store, request)
    if todo:
        count = min(jobs or default_jobs(), len(todo))
        quiet_threads()
        _run(todo, store, outcome, count, Progress(plan, store, len(todo)))
    outcome.seconds = time.monotonic() - begun
    return outcome


def default_jobs() -> int:
    """Return one process per core; one where there is a GPU, which a single training can fill."""
    return 1 if Path("/dev/nvidia0").exists() else cores()


def _jobs(plan: Plan, store: Store, request: Request) -> list[Job]:
    """List what is missing: shards, pretraining stages, cells. Ranked so that stages start first."""
    site = Site(store=str(store.root), config_dirs=request.config_dirs)
    stages, missing = plans.left(plan, store)
    jobs: list[Job] = []
    shards: dict[str, set[str]] = {}
    for rank, steps in ((0, stages), (2, missing)):
        for step in steps.values():
            for spec in specs_of_step(step):
                text = canonical(spec)
                if text not in shards:
                    shards[text] = {job.name for job in _shard_jobs(jobs, spec, store, rank)}
    for rank, steps in ((1, stages), (3, missing)):
        for step in steps.values():
            needs = {s.key for s in step.ancestors() if s.key in stages and s.key != step.key}
            for spec in specs_of_step(step):
                needs |= shards[canonical(spec)]
            jobs.append(
                Job(name=step.key, rank=rank, run=ensure, arguments=(step, site), needs=needs, step=step)
            )
    return jobs


def _shard_jobs(jobs: list[Job], spec: Mapping[str, Any], store: Store, rank: int) -> list[Job]:
    """Add the shards that a data spec lacks, unless another spec already asked for them."""
    from bench.data.build import missing_pieces
    from bench.data.synthetic import Synthetic

    known = {job.name: job for job in jobs}
    found = []
    for piece in missing_pieces([spec], store.data, Synthetic()):
        name = f"{piece.place.folder}/{piece.span.name}"
        job = known.get(name) or Job(name=name, rank=rank, run=_render, arguments=(str(store.data), piece))
        if name not in known:
            jobs.append(job)
        found.append(job)
    return found


def _render(root: str, piece: Any) -> str:
    from bench.data.build import build_piece
    from bench.data.synthetic import Synthetic

    return "busy" if build_piece(Path(root), Synthetic(), piece) == "taken" else "done"


class _Inline:
    """Runs a job at once, in this process."""

    def submit(self, run: Callable[..., str], *arguments: Any) -> Future[str]:
        future: Future[str] = Future()
        try:
            future.set_result(run(*arguments))
        except BenchError as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_: Any) -> None:
        """Nothing to end."""


_busy = threading.Event()  # in workers: set while a job runs


def _work(run: Callable[..., str], *arguments: Any) -> str:
    """Run a job in a worker."""
    _busy.set()
    try:
        return run(*arguments)
    finally:
        _busy.clear()


def _pool(count: int) -> ProcessPoolExecutor | _Inline:
    install_signals()
    if count == 1:
        return _Inline()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))


def _start_worker(parent: int) -> None:
    """Prepare a worker: it saves a checkpoint on SIGTERM and dies with its parent."""
    install_signals(idle=lambda: not _busy.is_set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent passes it on as SIGTERM

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(todo: list[Job], store: Store, outcome: Outcome, count: int, progress: Progress) -> None:
    """Keep `count` workers busy until nothing can run any more."""
    waiting = {job.name: job for job in sorted(todo, key=lambda j: j.rank)}
    running: dict[Future[str], Job] = {}
    if any(job.step is None for job in todo):
        _warm_up()
    pool = _pool(count)
    try:
        while waiting or running:
            _drop_blocked(waiting, outcome)
            for job in _ready(waiting, running, 1 if isinstance(pool, _Inline) else count):
                del waiting[job.name]
                progress.started(job.name, job.step)
                running[pool.submit(_work, job.run, *job.arguments)] = job
            if not running:
                time.sleep(0.2)
                continue
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            progress.tick([j for j in running.values() if j.step], len(waiting))
            for future in done:
                job = running.pop(future)
                try:
                    _settle(job, future.result(), store, outcome, waiting, progress)
                except BrokenProcessPool:
                    _retry([job, *running.values()], store, outcome, waiting)
                    running.clear()
                    pool = _pool(count)
                    break
    except BaseException:
        _stop(pool)
        raise
    finally:
        progress.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _ready(waiting: Mapping[str, Job], running: Mapping[Future[str], Job], count: int) -> list[Job]:
    """Return the jobs that may start now: needs fulfilled, a worker free, lower ranks first."""
    unfinished = waiting.keys() | {job.name for job in running.values()}
    now = time.monotonic()
    ready = [job for job in waiting.values() if job.not_before <= now and not job.needs & unfinished]
    return ready[: max(0, count - len(running))]


def _drop_blocked(waiting: dict[str, Job], outcome: Outcome) -> None:
    """Take out the jobs of which an input failed, and the shards that nobody needs any more."""
    for job in list(waiting.values()):
        if failed := [need for need in job.needs if need in outcome.failed]:
            del waiting[job.name]
            reason = outcome.failed[failed[0]].removeprefix("blocked: ")
            outcome.failed[job.name] = f"blocked: {reason}"
    wanted = {need for job in waiting.values() for need in job.needs}
    for job in [j for j in waiting.values() if j.step is None and j.name not in wanted]:
        del waiting[job.name]


def _settle(
    job: Job, result: str, store: Store, outcome: Outcome, waiting: dict[str, Job], progress: Progress
) -> None:
    if result == "busy":
        job.not_before = time.monotonic() + POLL_S
        waiting[job.name] = job
        return
    if job.step is None:
        outcome.rendered += job.arguments[1].span.count
    elif result == "done":
        outcome.computed += 1
    else:
        failed = store.first_failed(job.step)
        outcome.failed[job.name] = f"{failed.slug}: {store.failure(failed)['message']}" if failed else result
    progress.ended(job.name, job.step, result)


def _retry(lost: list[Job], store: Store, outcome: Outcome, waiting: dict[str, Job]) -> None:
    """Queue the jobs of a broken pool again; one that keeps killing its process fails."""
    for job in lost:
        job.attempts += 1
        if job.attempts < ATTEMPTS:
            waiting[job.name] = job
            continue
        error = StepError("its process was killed twice, most likely for want of memory; try --jobs 1")
        outcome.failed[job.name] = str(error)
        if job.step is not None:
            store.fail(job.step, error)


def _stop(pool: ProcessPoolExecutor | _Inline) -> None:
    """Ask the workers to save a checkpoint and leave."""
    if isinstance(pool, ProcessPoolExecutor):
        for process in list((pool._processes or {}).values()):
            with suppress(OSError):
                process.terminate()


def _warm_up() -> None:
    """Compile the renderer once, before several workers would do it side by side."""
    from bench.data.synthetic import Synthetic

    Synthetic().warm_up()
