"""Module and optimiser on their device: takes steps, saves and restores itself; alone or among processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bench.api import SINGLE_PROCESS, Batch, Context, Draws, seeded
from bench.console import warn
from bench.errors import StepError
from bench.train.batch_norm import GhostBatchNormStatistics, join_batch_norm
from bench.train.checkpoint import load_checkpoint, reject_checkpoints, save_checkpoint
from bench.train.meter import Meter
from bench.train.optim import build_optimizer
from bench.train.passes import Passes
from bench.train.process_group import process_group
from bench.train.run import Run, TrainModule
from bench.train.schedule import learning_rate
from bench.train.seeding import seeded_layers

Numbers = dict[str, float]


class Trainer:
    """Trains one module; all processes of a Fabric call the same methods."""

    def __init__(self, trainee: TrainModule, run: Run, fabric: Fabric) -> None:
        self.trainee, self.run, self.fabric = trainee, run, fabric
        self.world = process_group(fabric)
        together = int(run.train.get("batch_groups", 1)) == 1
        self.group = self.world if together else SINGLE_PROCESS
        if self.group.world_size > 1:
            join_batch_norm(trainee, fabric.device)
        self.passes = Passes(trainee)
        self.optimizer = build_optimizer(trainee, run.train, trainee.group)
        self.shapes = _shapes(trainee)
        self.module, self.wrapped = fabric.setup(trainee, self.optimizer)
        self.statistics = GhostBatchNormStatistics(trainee, 1 if together else run.parts.of)

    @property
    def leads(self) -> bool:
        """Say whether this process writes what all of them have in common."""
        return self.world.rank == 0

    def draws(self, stream: str, step: int, part: int) -> Draws:
        """Return the source of random numbers of a step for a part of its batch."""
        return Draws(generator=seeded(self.run.seed, stream, step), part=part, parts=self.run.parts.of)

    def advance(self, parts: Sequence[Batch], step: int) -> tuple[Numbers, Numbers]:
        """Take one optimiser step, unless a loss is not finite.

        Args:
            parts: this process's, in the order of its share.
            step: 0-based.

        Returns:
            Loss terms and logged values, means over all parts of the batch.
        """
        run, trainee = self.run, self.trainee
        rate = learning_rate(run.train, step, run.steps_per_epoch)
        for group in self.optimizer.param_groups:
            own = float(run.train["lr"]) if group["schedule"] == "constant" else rate
            group["lr"] = own * group["lr_scale"]
        contexts = [self._context(step, part) for part in run.parts.own]
        self.passes.rows = 0
        trainee.before_step(contexts[0])
        self.optimizer.zero_grad(set_to_none=True)
        with self.statistics.step(self.world):
            outs = [self._part(batch, ctx, len(parts)) for batch, ctx in zip(parts, contexts, strict=True)]
        if (clip := float(run.train["clip"])) > 0:
            nn.utils.clip_grad_norm_(trainee.parameters(), clip)
        values, logged = self._means(outs)
        if math.isfinite(sum(values.values())):
            self.wrapped.step()
            trainee.after_step(contexts[-1])
        return values, logged

    def _context(self, step: int, part: int) -> Context:
        return Context(
            step=step,
            total_steps=int(self.run.train["steps"]),
            draws=self.draws("step", step, part),
            group=self.group,
            world=self.world,
        )

    def _part(self, batch: Batch, ctx: Context, parts: int) -> dict[str, dict[str, Tensor]]:
        """Run one part forth and back; the gradients of a step are exchanged with its last part."""
        last = ctx.draws.part == self.run.parts.own[-1]
        alone: AbstractContextManager[None] = nullcontext()
        if self.world.world_size > 1:
            alone = self.fabric.no_backward_sync(self.module, enabled=not last)
        self.trainee.ctx = ctx
        words: tuple[int | str, ...] = ("layers", ctx.step, *([ctx.draws.part] if ctx.draws.part else []))
        with alone:
            with self.statistics.part(), seeded_layers(self.fabric.device, self.run.seed, *words):
                out: dict[str, dict[str, Tensor]] = self.module(batch)
            self.fabric.backward(torch.stack(list(out["terms"].values())).sum() / parts)
        return out

    def _means(self, outs: Sequence[dict[str, dict[str, Tensor]]]) -> tuple[Numbers, Numbers]:
        """Average over the parts of all processes, with one wait for the device."""
        names = [(kind, name) for kind in ("terms", "logged") for name in outs[0][kind]]
        first = next(iter(outs[0]["terms"].values()))
        rows = [torch.stack([out[kind][name].detach().to(first) for kind, name in names]) for out in outs]
        own = torch.stack(rows).mean(0) if len(rows) > 1 else rows[0]
        numbers = (self.world.all_reduce(own) / self.world.world_size).tolist()
        found: dict[str, Numbers] = {"terms": {}, "logged": {}}
        for (kind, name), number in zip(names, numbers, strict=True):
            found[kind][name] = number
        return found["terms"], found["logged"]

    def check_shapes(self) -> None:
        """Make sure that a checkpoint will fit a new module, and that the optimiser knows all parameters.

        Raises:
            StepError: a step has added, removed or resized a parameter or buffer.
        """
        found = _shapes(self.trainee)
        for name in {**self.shapes, **found}:
            was, now = (shapes.get(name, "absent") for shapes in (self.shapes, found))
            if was != now:
                raise StepError(
                    f"{name} was {was} before the training and is {now} after a step, so that it is neither "
                    "trained nor resumed; create it in __init__ with the shape that it keeps"
                )

    def save(self, step: int, meter: Meter) -> None:
        """Write a checkpoint after `step` steps, which all processes have taken."""
        self.check_shapes()
        if self.leads:
            state = {"module": self.trainee.state_dict(), "optimizer": self.optimizer.state_dict()}
            save_checkpoint(self.run.folder, step, {**state, "meter": meter.state()})

    def restore(self, meter: Meter) -> int:
        """Load the newest checkpoint, if any, into all processes; return how many steps are done."""
        loaded = load_checkpoint(self.run.folder) if self.leads else None
        if self.world.world_size > 1:
            loaded = self.fabric.broadcast(loaded)
        if loaded is None:
            return 0
        step, body = loaded
        fresh = copy.deepcopy(self.trainee.state_dict())
        try:
            self.trainee.load_state_dict(body["module"])
            self.optimizer.load_state_dict(body["optimizer"])
            meter.restore(body["meter"])
        except (RuntimeError, ValueError, KeyError):  # the code has changed since: nothing of it may stay
            self.trainee.load_state_dict(fresh)
            if self.leads:
                reject_checkpoints(self.run.folder)
            return 0
        if self.leads:
            warn(f"{self.run.folder.name}: goes on from step {step}")
        return step


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...] | str]:
    """Return the shapes of all that a checkpoint holds."""
    state = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    return {n: "without shape" if is_lazy(v) else tuple(v.shape) for n, v in state.items()}
