"""Live progress: a line that renews itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from bench.console import is_terminal, live_line, warn
from bench.grid.plan import Plan, Step
from bench.records.store import Store


class Progress:
    """Tells what runs, what is done, and how long the rest may take.

    Args:
        plan: the grid.
        store: where running steps leave their position.
        total: number of jobs.
    """

    def __init__(self, plan: Plan, store: Store, total: int) -> None:
        self.store = store
        self.done = 0
        self.total = total
        self.begun = time.monotonic()
        self.starts: dict[str, float] = {}
        cells = [c for c in plan.cells if c.step]
        known = sum(1 for c in cells if c.step and store.done(c.step))
        warn(f"{len(cells)} cells, {known} done; {total} jobs to run")
        self._line = live_line() if is_terminal() else None
        if self._line:
            self._task = self._line.add_task("", total=total)
            self._line.start()

    def started(self, step: Step) -> None:
        """Note that a job begins."""
        self.starts[step.key] = time.monotonic()

    def ended(self, step: Step, result: str) -> None:
        """Note that a job is over, with a plain line."""
        self.done += 1
        seconds = time.monotonic() - self.starts.get(step.key, self.begun)
        self.say(f"[{self.done}/{self.total}] {result:<7} {seconds:6.1f} s  {step.kind} {step.slug}")

    def tick(self, running: Sequence[Step], queued: int) -> None:
        """Renew the live line."""
        if self._line:
            words = " | ".join([f"{queued} queued", *map(self._position, running)])
            self._line.update(self._task, completed=self.done, description=words)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        if self._line:
            self._line.print(f"bench: {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            warn(text)

    def close(self) -> None:
        """Remove the live line."""
        if self._line:
            self._line.stop()

    def _position(self, step: Step) -> str:
        """Return where a running step, or the fine-tuning behind a cell, stands."""
        for candidate in (step, *step.ancestors()):
            try:
                at = json.loads((self.store.folder(candidate) / "progress.json").read_bytes())
            except (OSError, ValueError):
                continue
            return f"{candidate.slug} {at['step']}/{at['steps']} loss {at['loss']:.3g}"
        return step.slug
