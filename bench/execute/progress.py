"""Live progress: a line that renews itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.plan import Plan, Step
from bench.store import Store


class Progress:
    """Tells what runs, what is done, and how long the rest may take.

    Args:
        plan: the grid.
        store: where running steps leave their position.
        total: number of jobs, shards included.
    """

    def __init__(self, plan: Plan, store: Store, total: int) -> None:
        self.store = store
        self.total = total
        self.done = 0
        self.begun = time.monotonic()
        self.starts: dict[str, float] = {}
        self.live = sys.stderr.isatty()
        cells = [c for c in plan.cells if c.step]
        known = sum(1 for c in cells if c.step and store.done(c.step))
        self._say(f"{len(cells)} cells, {known} done; {total} jobs to run")

    def started(self, name: str, step: Step | None) -> None:
        """Note that a job begins."""
        self.starts[name] = time.monotonic()

    def ended(self, name: str, step: Step | None, result: str) -> None:
        """Note that a job is over, with a plain line for steps."""
        self.done += 1
        seconds = time.monotonic() - self.starts.get(name, self.begun)
        if step is not None:
            self._say(f"[{self.done}/{self.total}] {result:<7} {seconds:6.1f} s  {step.kind} {step.slug}")
        elif self.done % 8 == 0 and not self.live:
            self._say(f"[{self.done}/{self.total}] rendering")

    def tick(self, running: Sequence[Any], queued: int) -> None:
        """Renew the live line."""
        if not self.live:
            return
        parts = [text for job in running if (text := self._position(job.step))]
        spent = time.monotonic() - self.begun
        left = f", about {spent / self.done * (self.total - self.done):.0f} s left" if self.done else ""
        line = f"{self.done}/{self.total} jobs{left}, {queued} queued | {' | '.join(parts)}"
        sys.stderr.write(f"\r\033[K{line[:140]}")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the cursor on a fresh line."""
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _position(self, step: Step) -> str:
        """Return where a running step, or the fine-tuning behind a cell, stands."""
        for candidate in (step, *step.ancestors()):
            try:
                at = json.loads((self.store.folder(candidate) / "progress.json").read_text())
            except (OSError, ValueError):
                continue
            return f"{candidate.slug} {at['step']}/{at['steps']} loss {at['loss']:.3g}"
        return step.slug

    def _say(self, text: str) -> None:
        self.close()
        print(f"bench: {text}", file=sys.stderr, flush=True)
