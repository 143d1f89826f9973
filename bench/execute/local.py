"""The local executor: one or more processes work through a plan; the death of one takes no other along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

from bench.console import leaving_interrupts, warn
from bench.errors import BenchError, ConfigError, DataError, StepError
from bench.execute import plans
from bench.execute.data_jobs import prepare, specs_of_step
from bench.execute.job import ensure, install_signals, quiet_threads
from bench.execute.progress import Progress
from bench.execute.site import RunContext
from bench.files import canonical
from bench.grid.plan import Plan, Step
from bench.grid.request import Request
from bench.grid.resources import cores
from bench.records.claims import STALE_S, died
from bench.records.store import CLAIM, Store

T = TypeVar("T")

POLL_S = 1.0  # between looks at work that another process has claimed


@dataclass(kw_only=True)
class Job:
    """What a worker does: bring a step to `done`."""

    name: str
    rank: int  # lower first
    run: Callable[..., str]
    arguments: tuple[Any, ...]
    step: Step
    needs: set[str] = field(default_factory=set)
    not_before: float = 0.0
    beside: bool = False  # whether other jobs ran while it did
    suspect: bool = False  # its process died beside others, so it runs alone before it is blamed
    waits_for: str = ""  # who has claimed its work, as was told last


@dataclass(kw_only=True)
class Outcome:
    """What came of a run."""

    computed: int = 0  # steps brought to `done` by this run
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
        ConfigError: an adapter cannot be imported, or refuses its settings; nothing was computed.
        DataError: the store or the data folder cannot be written.
        KeyboardInterrupt: interrupted; finished work and checkpoints are kept.
    """
    begun = time.monotonic()
    plans.keep(request, store)
    outcome = Outcome(failed=plans.barred(plan, store))
    todo = _jobs(plan, store, request)
    if todo:
        quiet_threads()
        worker = _checked([job.step for job in todo], request.config_dirs)
        try:
            install_signals()
            todo = _with_data(todo, store, jobs, request.config_dirs, outcome)
        except BaseException:
            worker.end()
            raise
        count = min(jobs or default_jobs(), len(todo))
        _run(todo, store, outcome, count, Progress(plan, store, len(todo)), [worker])
    outcome.seconds = time.monotonic() - begun
    return outcome


def _checked(steps: list[Step], config_dirs: tuple[str, ...]) -> _Worker:
    """Let a worker check all adapters, which this process need not import; return the worker.

    Raises:
        ConfigError: an adapter cannot be imported, refuses its settings, or ends the process.
        AssetError: the code of one has changed since the grid was planned.
    """
    worker = _Worker()
    try:
        for line in worker.check(steps, config_dirs):
            warn(line)
    except BrokenProcessPool as error:
        _, code = worker.end()
        raise ConfigError(f"an adapter was imported, and {_how(code)}") from error
    except BaseException:
        worker.ask_to_leave()
        worker.end()
        raise
    return worker


def _with_data(
    todo: list[Job], store: Store, jobs: int | None, dirs: tuple[str, ...], outcome: Outcome
) -> list[Job]:
    """Render what is missing; return the jobs whose data is there. The others have failed."""
    specs = {canonical(spec): spec for job in todo for spec in specs_of_step(job.step)}
    try:
        prepare(list(specs.values()), store.data, jobs, dirs)
        return todo
    except BenchError:  # one by one, to tell which
        unready: dict[str, str] = {}
        for text, spec in specs.items():
            try:
                prepare([spec], store.data, jobs, dirs)
            except BenchError as error:
                unready[text] = str(error)
    ready = []
    for job in todo:
        reasons = [unready[text] for spec in specs_of_step(job.step) if (text := canonical(spec)) in unready]
        if reasons:
            outcome.failed[job.name] = reasons[0]
        else:
            ready.append(job)
    return ready


def default_jobs() -> int:
    """Return one process per core; one where there is a GPU, which a single training can fill."""
    return 1 if Path("/dev/nvidia0").exists() else cores()


def _jobs(plan: Plan, store: Store, request: Request) -> list[Job]:
    """List what is missing: pretraining stages, cells. Ranked so that stages start first."""
    site = RunContext(store=str(store.root), config_dirs=request.config_dirs)
    stages, missing = plans.left(plan, store)
    return [
        Job(
            name=step.key,
            rank=rank,
            run=ensure,
            arguments=(step, site),
            needs={s.key for s in step.ancestors() if s.key in stages and s.key != step.key},
            step=step,
        )
        for rank, steps in enumerate((stages, missing))
        for step in steps.values()
    ]


_busy = threading.Event()  # in workers: set while a job runs


def _work(run: Callable[..., str], *arguments: Any) -> str:
    """Run a job in a worker."""
    _busy.set()
    try:
        return run(*arguments)
    except SystemExit as error:
        raise StepError(f"the code called sys.exit({error.code!r})") from error
    finally:
        _busy.clear()


class _Worker:
    """A process that runs one job at a time.

    It is a pool of its own: a pool of several ends all of them when one dies, and does not tell which did.
    All are forked from a server that has imported what jobs need, once and for all.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["bench.execute.server", "bench.execute.kinds"])
        with leaving_interrupts():  # until `server` knows what to do with them
            forkserver.ensure_running()
        words = (dict(os.environ),)
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start_worker, initargs=words)
        self._process: Any = None

    def check(self, steps: list[Step], config_dirs: tuple[str, ...]) -> list[str]:
        """Check all adapters of some steps; return what is to be said."""
        return self._submit(_check, steps, config_dirs).result()

    def submit(self, job: Job) -> Future[str]:
        """Start a job."""
        return self._submit(_work, job.run, *job.arguments)

    def _submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        future = self._pool.submit(function, *arguments)
        (self._process,) = (self._pool._processes or {}).values()
        return future

    def ask_to_leave(self) -> None:
        """Let the process save a checkpoint and leave."""
        if self._process is not None:
            with suppress(OSError, ValueError):
                self._process.terminate()

    def end(self) -> tuple[int, int | None]:
        """Wait for the end of the process; return its number and its exit code."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        return (self._process.pid, self._process.exitcode) if self._process is not None else (0, None)


def _check(steps: list[Step], config_dirs: tuple[str, ...]) -> list[str]:
    from bench.execute.ready import check_adapters

    return check_adapters(steps, config_dirs)


def _start_worker(environment: Mapping[str, str]) -> None:
    """Prepare a worker: it saves a checkpoint on SIGTERM and dies with its parent."""
    os.environ.clear()  # of the time when the server started
    os.environ.update(environment)
    install_signals(idle=lambda: not _busy.is_set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent passes it on as SIGTERM

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(
    todo: list[Job],
    store: Store,
    outcome: Outcome,
    count: int,
    progress: Progress,
    started: Sequence[_Worker] = (),
) -> None:
    """Keep `count` workers busy, first those that have been started, until nothing can run any more."""
    waiting = {job.name: job for job in sorted(todo, key=lambda j: j.rank)}
    running: dict[Future[str], tuple[Job, _Worker]] = {}
    idle = list(started)
    install_signals()
    try:
        while waiting or running:
            _drop_blocked(waiting, outcome)
            for job in _ready(waiting, [job for job, _ in running.values()], count):
                del waiting[job.name]
                progress.started(job.step)
                worker = idle.pop() if idle else _Worker()
                for other, _ in running.values():
                    other.beside = job.beside = True
                running[worker.submit(job)] = job, worker
            if not running:
                time.sleep(0.2)
                continue
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            progress.tick([job.step for job, _ in running.values()], len(waiting))
            for future in done:
                job, worker = running.pop(future)
                try:
                    _settle(job, _result(future), store, outcome, waiting, progress)
                    idle.append(worker)
                except BrokenProcessPool:
                    _bury(job, *worker.end(), store, outcome, waiting, progress)
    except BaseException:
        for worker in (*idle, *(worker for _, worker in running.values())):
            worker.ask_to_leave()
        raise
    finally:
        progress.close()
        for worker in (*idle, *(worker for _, worker in running.values())):
            worker.end()


def _result(future: Future[str]) -> str:
    """Return what came of a job; an unforeseen error counts as the failure of its step.

    Raises:
        BrokenProcessPool: the process died.
        DataError: the store cannot be written.
    """
    try:
        return future.result()
    except (DataError, BrokenProcessPool):
        raise
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _ready(waiting: Mapping[str, Job], running: Sequence[Job], count: int) -> list[Job]:
    """Return the jobs that may start now: needs fulfilled, a worker free, lower ranks first.

    A suspect runs alone, and when nothing else can.
    """
    unfinished = waiting.keys() | {job.name for job in running}
    now = time.monotonic()
    ready = [job for job in waiting.values() if job.not_before <= now and not job.needs & unfinished]
    if any(job.suspect for job in running):
        return []
    if others := [job for job in ready if not job.suspect]:
        return others[: max(0, count - len(running))]
    return [] if running else ready[:1]


def _drop_blocked(waiting: dict[str, Job], outcome: Outcome) -> None:
    """Take out the jobs of which an input failed."""
    for job in list(waiting.values()):
        if failed := [need for need in job.needs if need in outcome.failed]:
            del waiting[job.name]
            reason = outcome.failed[failed[0]].removeprefix("blocked: ")
            outcome.failed[job.name] = f"blocked: {reason}"


def _settle(
    job: Job, result: str, store: Store, outcome: Outcome, waiting: dict[str, Job], progress: Progress
) -> None:
    if result == "busy":
        job.not_before = time.monotonic() + POLL_S
        waiting[job.name] = job
        if (who := store.holder(job.step)) and who != job.waits_for:
            job.waits_for = who
            progress.say(f"waits for {who}; it is taken over after {STALE_S:.0f} s without a sign of life")
        return
    if result == "done":
        outcome.computed += 1
    else:
        outcome.failed[job.name] = store.why(job.step) or result
    progress.ended(job.step, result)


def _bury(
    job: Job,
    number: int,
    code: int | None,
    store: Store,
    outcome: Outcome,
    waiting: dict[str, Job],
    progress: Progress,
) -> None:
    """Decide about a job whose process died: again and alone if others ran beside it, else it has failed."""
    how = _how(code)
    if job.beside:
        job.beside, job.suspect = False, True
        waiting[job.name] = job
        progress.say(f"{job.step.slug}: {how}; it will be run again, alone")
        return
    error = StepError(how)
    chain = (*job.step.ancestors(), job.step)
    at_work = (s for s in chain if died(store.folder(s) / CLAIM, number))
    step = next(at_work, job.step)
    with store.claim(step):  # of the dead process
        store.fail(step, error)
    outcome.failed[job.name] = store.why(job.step)
    progress.ended(job.step, "failed")


def _how(code: int | None) -> str:
    """Say how a process ended, from its exit code."""
    if code is None or code >= 0:
        return f"its process left in the middle of the work, with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "its process was killed (SIGKILL), most likely for want of memory; try fewer --jobs"
    return f"its process died of {name}"
