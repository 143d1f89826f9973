"""Draws what is not drawn yet; large reports share the work among processes.

A process gets its share of plots on standard input and answers on standard output, so that nothing is forked
from a process that may hold threads. It imports this module, hence no pandas here.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.files import write_atomic
from bench.report.drawn import KINDS, Drawn, digest, read_index, write_index
from bench.report.figure import Plot

_PER_PROCESS = 16  # plots that are worth the start of a process
_MOST = 8  # processes


def draw(plot: Plot, folder: Path) -> Drawn:
    """Draw and write one plot."""
    from bench.report import canvas, layout  # load Matplotlib, which an unchanged report does not need

    drawn = Drawn(name=plot.name, title=plot.title, caption=plot.caption)
    with canvas.settings():
        for kind in KINDS:
            write_atomic(drawn.paths(folder)[kind], layout.draw(plot, kind))
    return drawn


def draw_all(found: Sequence[Plot], folder: Path, processes: int | None = None) -> list[Drawn]:
    """Draw all plots that are not in the folder yet, and remove those of earlier reports.

    Args:
        found: what to draw.
        folder: gets the files.
        processes: how many share the work; None = as many as pay off on this machine.

    Returns:
        One entry per plot.

    Raises:
        DataError: the files cannot be written.
    """
    marks = [digest(plot) for plot in found]
    known = read_index(folder)
    fresh = {mark: plot for mark, plot in zip(marks, found, strict=True) if mark not in known}
    known.update(zip(fresh, _draw_fresh(list(fresh.values()), folder, processes), strict=True))
    write_index(folder, {mark: known[mark] for mark in marks})
    return [known[mark] for mark in marks]


def _draw_fresh(found: Sequence[Plot], folder: Path, processes: int | None) -> list[Drawn]:
    """Draw in this process and in others; each takes every n-th plot."""
    count = processes or min(_MOST, _cores(), len(found) // _PER_PROCESS)
    if count <= 1:
        return [draw(plot, folder) for plot in found]
    shares = [found[i::count] for i in range(count)]
    with ExitStack() as stack:
        started = [stack.enter_context(_start(folder)) for _ in shares[1:]]
        for process, share in zip(started, shares[1:], strict=True):
            stack.callback(process.kill)  # does nothing to one that has ended
            _send(process, share)
        results = [[draw(plot, folder) for plot in shares[0]]]
        results += [_receive(p, share, folder) for p, share in zip(started, shares[1:], strict=True)]
    return [results[i % count][i // count] for i in range(len(found))]


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


def _send(process: subprocess.Popen[bytes], share: Sequence[Plot]) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(list(share), process.stdin)
        process.stdin.close()
    except OSError:  # it has died; `_receive` draws its share
        process.kill()


def _receive(process: subprocess.Popen[bytes], share: Sequence[Plot], folder: Path) -> list[Drawn]:
    """Return what a process has drawn; the share of one that failed is drawn here, with a proper error."""
    assert process.stdout is not None
    answer = process.stdout.read()
    if process.wait() != 0:
        return [draw(plot, folder) for plot in share]
    drawn: list[Drawn] = pickle.loads(answer)
    return drawn


def main() -> None:
    """Draw the plots that stand on standard input, as the child process of a report."""
    share: list[Plot] = pickle.load(sys.stdin.buffer)
    pickle.dump([draw(plot, Path(sys.argv[1])) for plot in share], sys.stdout.buffer)
