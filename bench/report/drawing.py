"""Which plots a report has, and drawing them; large reports share the work among processes.

A process gets its share of jobs on standard input and answers on standard output, so that nothing is forked
from a process that may hold threads.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.files import write_atomic
from bench.report.cells import Row
from bench.report.drawn import Drawn, digest, read_index, write_index
from bench.report.palette import Look
from bench.report.stats import Floats
from bench.report.tables import Group, Table

_PER_PROCESS = 8  # plots that are worth the start of a process
_MOST = 8  # processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One plot to draw."""

    table: Table  # with what the plot shows, and no replicates
    curves: Mapping[str, Floats] | None  # of a convergence plot; None = data efficiency
    fractions: bool  # data efficiency over fractions, or else over shots
    style: Mapping[str, Look]


def plan(tables: Sequence[Table], curves: Mapping[str, Floats], style: Mapping[str, Look]) -> Iterator[Job]:
    """Yield the plots of all tables: data efficiency, then one convergence plot per encoder."""
    for table in tables:
        light = _without_replicates(table)
        for fractions in (True, False):
            yield Job(table=light, curves=None, fractions=fractions, style=style)
        for group in light.groups:
            keys = [k for row in (*group.rows, *group.incomplete) for c in row.cells.values() for k in c.keys]
            found = {key: curves[key] for key in keys if key in curves}
            yield Job(table=replace(light, groups=(group,)), curves=found, fractions=False, style=style)


def _without_replicates(table: Table) -> Table:
    def light(row: Row) -> Row:
        return replace(row, cells={b: replace(c, replicates=None) for b, c in row.cells.items()})

    def part(group: Group) -> Group:
        rows, incomplete = tuple(map(light, group.rows)), tuple(map(light, group.incomplete))
        return replace(group, rows=rows, incomplete=incomplete, best={}, ties={})

    return replace(table, groups=tuple(map(part, table.groups)), comparisons=())


def draw(job: Job, folder: Path) -> Drawn | None:
    """Draw and write one plot; None where there is nothing to show."""
    from bench.report import canvas, plots  # load Matplotlib, which an unchanged report does not need

    with canvas.settings():
        if job.curves is None:
            plot = plots.efficiency(job.table, job.style, job.fractions)
        else:
            plot = plots.convergence(job.table, job.table.groups[0], job.curves, job.style)
        if plot is None:
            return None
        drawn = Drawn(name=plot.name, title=plot.title, caption=plot.caption)
        for kind, path in drawn.paths(folder).items():
            write_atomic(path, partial(canvas.save, plot.figure, kind=kind))
    return drawn


def draw_all(jobs: Sequence[Job], folder: Path, processes: int | None = None) -> list[Drawn | None]:
    """Draw all plots that are not in the folder yet, and remove those of earlier reports.

    Args:
        jobs: what to draw.
        folder: gets the files.
        processes: how many share the work; None = as many as pay off on this machine.

    Returns:
        One entry per job, None where it has nothing to show.

    Raises:
        DataError: the files cannot be written.
    """
    marks = [digest(job) for job in jobs]
    known = read_index(folder)
    fresh = {mark: job for mark, job in zip(marks, jobs, strict=True) if mark not in known}
    known.update(zip(fresh, _draw_fresh(list(fresh.values()), folder, processes), strict=True))
    write_index(folder, {mark: known[mark] for mark in marks})
    return [known[mark] for mark in marks]


def _draw_fresh(jobs: Sequence[Job], folder: Path, processes: int | None) -> list[Drawn | None]:
    count = processes or min(_MOST, _cores(), len(jobs) // _PER_PROCESS)
    if count <= 1:
        return [draw(job, folder) for job in jobs]
    shares = [jobs[i::count] for i in range(count)]
    results: list[Drawn | None] = [None] * len(jobs)
    with ExitStack() as stack:
        started = [stack.enter_context(_start(folder)) for _ in shares]
        for process, share in zip(started, shares, strict=True):
            stack.callback(process.kill)  # does nothing to one that has ended
            _send(process, share)
        for i, (process, share) in enumerate(zip(started, shares, strict=True)):
            results[i::count] = _receive(process, share, folder)
    return results


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(folder: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [sys.executable, "-c", "from bench.report.drawing import main; main()", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _send(process: subprocess.Popen[bytes], share: Sequence[Job]) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(list(share), process.stdin)
        process.stdin.close()
    except OSError:  # it has died; `_receive` draws its share
        process.kill()


def _receive(process: subprocess.Popen[bytes], share: Sequence[Job], folder: Path) -> list[Drawn | None]:
    """Return what a process has drawn; the share of one that failed is drawn here, with a proper error."""
    assert process.stdout is not None
    answer = process.stdout.read()
    if process.wait() != 0:
        return [draw(job, folder) for job in share]
    drawn: list[Drawn | None] = pickle.loads(answer)
    return drawn


def main() -> None:
    """Draw the jobs that stand on standard input, as the child process of a report."""
    share: list[Job] = pickle.load(sys.stdin.buffer)
    pickle.dump([draw(job, Path(sys.argv[1])) for job in share], sys.stdout.buffer)
