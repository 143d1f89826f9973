"""Which steps go into which array: of one kind, with equal resources, waiting for the same job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.grid.plan import Step

ASKED = ("nodes", "gpus", "cpus", "mem", "hours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """Steps that are submitted with one call of sbatch."""

    steps: tuple[Step, ...]
    after: str  # key of the stage that has to be done first; "" = none
    resources: Mapping[str, float]


def arrays(
    stages: Mapping[str, Step], cells: Mapping[str, Step], busy: Collection[str], limit: int
) -> list[Array]:
    """Return what to submit, in an order in which everything comes after what it waits for.

    Args:
        stages: pretraining stages without a record, by key. Those without training are left to the cells.
        cells: score steps without a record, by key.
        busy: keys of the steps that are queued or running.
        limit: tasks per array at most.
    """
    groups: dict[tuple[str, str, tuple[float, ...]], list[Step]] = {}
    trained = {key: step for key, step in stages.items() if step.spec["train"]}
    for step in (*trained.values(), *cells.values()):
        if step.key not in busy:
            waits = [s.key for s in step.ancestors() if s.key in trained and s.key != step.key]
            asked = tuple(float(step.resources[name]) for name in ASKED)
            groups.setdefault((step.kind, waits[-1] if waits else "", asked), []).append(step)
    found = []
    for (_, after, asked), steps in groups.items():
        resources = dict(zip(ASKED, asked, strict=True))
        for first in range(0, len(steps), limit):
            part = tuple(steps[first : first + limit])
            found.append(Array(steps=part, after=after, resources=resources))
    return found
