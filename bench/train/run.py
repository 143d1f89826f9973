"""What the training loop is given, and what it returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Batch, Context, Draws, StepOutput
from bench.errors import StepError
from bench.train.process_group import BatchParts

NAME = re.compile(r"[A-Za-z0-9_.+-]+")


class TrainModule(nn.Module):
    """What the loop trains: one step that returns loss terms, and hooks around it."""

    ctx: Context  # of the current step

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        """Return the loss terms of one batch."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Run a step in the plain dicts that Fabric can pass through its wrappers."""
        out = self.step(batch, self.ctx)
        check_terms(out.terms)
        floors = {f"lower_bound_{n}": v for n, v in out.lower_bounds.items()}
        logged = {n: torch.as_tensor(v) for n, v in {**out.scalars, **floors}.items()}
        _check_names(out.terms, logged)
        return {"terms": {n: t.float() for n, t in out.terms.items()}, "logged": logged}

    def before_step(self, ctx: Context) -> None:
        """Run before the forward pass."""

    def after_step(self, ctx: Context) -> None:
        """Run after the optimiser step."""

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        """Say how a parameter departs from the recipe; see `bench.api.Task.group`."""
        return {}


def check_terms(terms: Mapping[str, Any]) -> None:
    """Make sure that there is something to minimise.

    Raises:
        StepError: no term, one that is no scalar tensor, or none that follows from a parameter.
    """
    if not terms:
        raise StepError("the step gives no loss term")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            found = f"of shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise StepError(f'loss term "{name}" is {found}, not a scalar tensor; e.g. take its mean')
    if torch.is_grad_enabled() and not any(term.requires_grad for term in terms.values()):
        raise StepError(f"no loss term ({', '.join(terms)}) depends on a parameter; is one detached?")


def _check_names(terms: Mapping[str, Any], logged: Mapping[str, Tensor]) -> None:
    """Make sure that the curve can hold what a step gives: a number per column, each of its own name.

    Raises:
        StepError: a name that is no word, one that the curve has already, or a value that is no scalar.
    """
    for name in (*terms, *logged):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise StepError(f"{name!r} cannot name a value of a step; take letters, digits, _ . + and -")
    for name, value in logged.items():
        if value.ndim:
            raise StepError(f'scalar "{name}" is of shape {tuple(value.shape)}; e.g. take its mean')
        if name in ("step", "progress", *(f"loss_{term}" for term in terms)):
            raise StepError(f'scalar "{name}": the curve has a column of that name; choose another one')


@dataclass(kw_only=True)
class Run:
    """Everything that one training needs besides the module."""

    train: Mapping[str, Any]  # resolved recipe: optimizer, lr, batch, steps, schedule, ...
    seed: int
    folder: Path  # of the step: checkpoints, log and progress are written there
    steps_per_epoch: int
    batches: Callable[[int], Iterator[Any]]  # from a step on, its own raw parts of each batch in turn
    prepare: Callable[[Any, Draws], Batch]  # raw -> augmented part of a batch on the device
    images: int = 1  # per row of a batch; 2 where rows are pairs
    parts: BatchParts = field(default_factory=BatchParts)  # which parts of each batch are this process's
    evaluate_at: Sequence[int] = ()  # after how many steps
    evaluate: Callable[[], Mapping[str, float]] | None = None
    checkpoint_s: float = 20.0  # at most this much work is repeated after a kill


@dataclass(kw_only=True)
class Outcome:
    """What a training leaves behind besides the trained module."""

    curve: list[dict[str, float]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
