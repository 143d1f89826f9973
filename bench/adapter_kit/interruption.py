"""Trainings that are stopped on their way, as by Ctrl-C, and go on from their checkpoint."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any, TypeVar

from lightning_fabric import Fabric

from bench.adapter_kit.finding import ContractViolation
from bench.api import Batch, Draws
from bench.train import loop
from bench.train.loop import fit
from bench.train.run import Outcome, Run, TrainModule

T = TypeVar("T", bound=TrainModule)


def trained(make: Callable[[], tuple[T, Run]], fabric: Fabric, stop_after: int = 0) -> tuple[T, Outcome]:
    """Train to the end.

    Args:
        make: returns a new module, as it is before its first step, and its run; all in the same folder.
        fabric: what trains.
        stop_after: steps after which the first module is told to save and leave, and a second one goes on;
            0 = never.

    Raises:
        ContractViolation: it did not leave.
    """
    if stop_after:
        trainee, run = make()
        try:
            fit(trainee, _stopping(run, stop_after), fabric)
        except KeyboardInterrupt:
            pass
        else:
            raise ContractViolation("the training did not stop when it was told to")
        finally:
            loop.stop.clear()
    trainee, run = make()
    with redirect_stderr(io.StringIO()):  # it would say that it goes on
        return trainee, fit(trainee, run, fabric)


def _stopping(run: Run, steps: int) -> Run:
    left = steps

    def prepare(raw: Any, draws: Draws) -> Batch:
        nonlocal left
        left -= 1
        if not left:
            loop.stop.set()
        return run.prepare(raw, draws)

    return replace(run, prepare=prepare)
