"""Further processes for the long parts of large reports: reading thousands of records, drawing many plots.

A process gets its work on standard input and answers on standard output, so that nothing is forked from a
process that may hold threads, and the user's main module is not run again.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

MOST = 8  # processes, this one counted
WORTH = 4  # times as many items as are taken at once pay for the start of a process

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Context manager; processes start when a work is long enough for them, and end with it.

    Args:
        most: processes to use, this one counted; None = the cores of this machine.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = min(MOST, _cores()) if most is None else most
        self._started: list[subprocess.Popen[bytes]] = []
        self._preparing: dict[subprocess.Popen[bytes], Thread] = {}

    def __enter__(self) -> Workers:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        for process in self._started:
            self._end(process)

    def share(
        self,
        function: Callable[[Sequence[Item], Path], list[Result]],
        items: Sequence[Item],
        folder: Path,
        size: int,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Result]:
        """Return what a function makes of all items; whichever process is free takes the next few.

        Args:
            function: of a module, so that other processes find it by its name; one result per item.
            items: its first argument, or some of it.
            folder: its second argument.
            size: how many items a process takes at once; `WORTH` times as many are worth a further one.
            meanwhile: other work that this process has to do anyway; done first.
        """
        self._start(min(self.most - 1, len(items) // (WORTH * size)))
        starts = range(0, len(items), size)
        waiting = deque(starts)
        found: dict[int, list[Result]] = {}

        def feed(process: subprocess.Popen[bytes]) -> None:
            if process in self._preparing:
                self._preparing.pop(process).join()
            while (start := _take(waiting)) is not None:
                _send(process, function, items[start : start + size], folder)
                answer = _receive(process)
                if answer is None:  # its work is done in this process, which may then show why
                    waiting.append(start)
                    return
                found[start] = answer

        feeders = [Thread(target=feed, args=(process,), daemon=True) for process in self._started]
        for feeder in feeders:
            feeder.start()
        try:
            if meanwhile:
                meanwhile()
            while len(found) < len(starts):
                if (start := _take(waiting)) is not None:
                    found[start] = function(items[start : start + size], folder)
                else:
                    for feeder in feeders:
                        feeder.join()
        finally:  # after an error, too, no feeder goes on
            waiting.clear()
            for feeder in feeders:
                feeder.join()
        return [result for start in starts for result in found[start]]

    def prepare(self, function: Callable[[], object]) -> None:
        """Let processes that have been started call a function of a module while this one goes on."""

        def call(process: subprocess.Popen[bytes]) -> None:
            _send(process, function)
            _receive(process)

        for process in self._started:
            if process not in self._preparing:
                self._preparing[process] = Thread(target=call, args=(process,), daemon=True)
                self._preparing[process].start()

    def _start(self, count: int) -> None:
        for process in [p for p in self._started if p.poll() is not None]:
            self._end(process)
            self._started.remove(process)
        while len(self._started) < count:
            self._started.append(_start())

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()  # does nothing to one that has ended
        preparing = self._preparing.pop(process, None)
        if preparing:
            preparing.join()  # it reads what is closed now
        process.communicate()


ALONE = Workers(1)


def _take(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start() -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH", ""))))
    return subprocess.Popen(
        [sys.executable, "-c", "from bench.report.workers import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _send(process: subprocess.Popen[bytes], *words: Any) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(words, process.stdin)
        process.stdin.flush()
    except OSError:  # it has died, which is noticed when its answer is wanted
        process.kill()


def _receive(process: subprocess.Popen[bytes]) -> Any:
    """Return the answer of a process; None if it has died."""
    assert process.stdout is not None
    try:
        return pickle.load(process.stdout)
    except (EOFError, OSError, pickle.UnpicklingError):
        return None


def main() -> None:
    """Work on what stands on standard input until it ends, as a child process of a report."""
    gc.disable()  # hardly anything is garbage that counting references does not see
    while True:
        try:
            function, *words = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(function(*words), sys.stdout.buffer)
        sys.stdout.buffer.flush()
