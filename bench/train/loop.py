"""The training loop, one for pretraining and fine-tuning, with exact resume."""

from __future__ import annotations

import copy
import json
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.api import Batch, Context, Draws, StepOutput, seeded
from bench.errors import StepError
from bench.files import writing
from bench.store import warn
from bench.train.checkpoint import load_checkpoint, reject_checkpoints, save_checkpoint
from bench.train.optim import build_optimizer
from bench.train.schedule import learning_rate
from bench.train.seeding import seeded_layers

PROGRESS_S = 1.0

stop = threading.Event()  # set by a signal: save a checkpoint after the current step and leave
save = threading.Event()  # set by a signal: save a checkpoint after the current step and go on
active = threading.Event()  # a loop runs in this process and will look at `stop`


class Trainee(nn.Module):
    """What the loop trains: one step that returns loss terms, and hooks around it."""

    ctx: Context  # of the current step

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        """Return the loss terms of one batch."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Run a step in the plain dicts that Fabric can pass through its wrappers."""
        out = self.step(batch, self.ctx)
        floors = {f"floor_{n}": torch.as_tensor(v) for n, v in out.lower_bounds.items()}
        return {"terms": {n: t.float() for n, t in out.terms.items()}, "logged": {**out.scalars, **floors}}

    def before_step(self, ctx: Context) -> None:
        """Run before the forward pass."""

    def after_step(self, ctx: Context) -> None:
        """Run after the optimiser step."""

    def no_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Say whether a parameter is left out of weight decay."""
        return False


@dataclass(kw_only=True)
class Run:
    """Everything that one training needs besides the module."""

    train: Mapping[str, Any]  # resolved recipe: optimizer, lr, batch, steps, schedule, ...
    seed: int
    folder: Path  # of the step: checkpoints, log and progress are written there
    steps_per_epoch: int
    batches: Callable[[int], Iterator[Any]]  # raw batches from a step on
    prepare: Callable[[Any, Draws], Batch]  # raw -> augmented batch on the device
    evaluate_at: Sequence[int] = ()  # after how many steps
    evaluate: Callable[[], Mapping[str, float]] | None = None
    checkpoint_s: float = 20.0  # at most this much work is repeated after a kill


@dataclass(kw_only=True)
class Outcome:
    """What a training leaves behind besides the trained module."""

    curve: list[dict[str, float]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)


class _Meter:
    """Curve, running loss means and clocks; travels with the checkpoint."""

    def __init__(self) -> None:
        self.curve: list[dict[str, float]] = []
        self.sums: dict[str, tuple[float, int]] = {}  # of values since the last point, and how many
        self.seconds = 0.0  # of earlier attempts
        self.waited = 0.0
        self.begun = time.monotonic()
        self.losses: deque[float] = deque(maxlen=5)

    def state(self) -> dict[str, Any]:
        names = ("curve", "sums", "waited")
        state = {name: getattr(self, name) for name in names}
        return state | {"seconds": self.elapsed(), "losses": list(self.losses)}

    def restore(self, state: Mapping[str, Any]) -> None:
        names = ("curve", "sums", "waited", "seconds")
        for name, value in {name: state[name] for name in names}.items():
            setattr(self, name, value)
        self.losses.extend(state["losses"])

    def elapsed(self) -> float:
        """Return seconds spent by all attempts together."""
        return self.seconds + time.monotonic() - self.begun

    def add(self, terms: Mapping[str, float], logged: Mapping[str, float], step: int) -> None:
        """Count the losses of one step, and what is logged beside them.

        Raises:
            StepError: one of them is not finite.
        """
        total = sum(terms.values())
        if not math.isfinite(total):
            bad = (
                ", ".join(f"{n}={v:g}" for n, v in terms.items() if not math.isfinite(v)) or f"sum={total:g}"
            )
            before = ", ".join(f"{v:.4g}" for v in self.losses) or "none"
            raise StepError(f"loss is not finite at step {step} ({bad}); losses before: {before}")
        self.losses.append(total)
        for name, value in {**{f"loss_{name}": v for name, v in terms.items()}, **logged}.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value, count + 1

    def point(self, step: int, steps: int) -> dict[str, float]:
        """Close the running means and return them as a point of the curve."""
        point = {"step": float(step), "progress": step / steps}
        point |= {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        self.curve.append(point)
        return point

    def cost(self, samples: int, fabric: Fabric) -> dict[str, float]:
        total = self.elapsed()
        return {
            "train_wall_s": total,
            "samples_seen": float(samples),
            "samples_per_s": samples / total if total > 0 else 0.0,
            "data_wait_share": self.waited / total if total > 0 else 0.0,
            "peak_memory_mb": _peak_memory_mb(fabric),
        }


def fit(trainee: Trainee, run: Run, fabric: Fabric) -> Outcome:
    """Train to the end, going on from the newest checkpoint in the folder of the step.

    Raises:
        StepError: a loss is not finite; names the step and the last losses.
        KeyboardInterrupt: `stop` was set; a checkpoint was written.
    """
    active.set()
    try:
        return _train(trainee, run, fabric)
    finally:
        active.clear()


def _train(trainee: Trainee, run: Run, fabric: Fabric) -> Outcome:
    steps = int(run.train["steps"])
    trainer = _Trainer(trainee, run, fabric)
    meter = _Meter()
    first = trainer.restore(meter)
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainee.train()
    batches = run.batches(first)
    saved = shown = time.monotonic()
    for step in range(first, steps):
        wait = time.monotonic()
        batch = run.prepare(next(batches), trainer.draws("augment", step))
        meter.waited += time.monotonic() - wait
        meter.add(*trainer.advance(batch, step), step)
        done = step + 1
        if done in run.evaluate_at:
            _evaluate(trainee, run, meter.point(done, steps))
        now = time.monotonic()
        if now - shown > PROGRESS_S or done == steps:
            shown = now
            show_progress(run.folder, done, steps, meter.losses[-1])
        if done < steps and (now - saved > run.checkpoint_s or stop.is_set() or save.is_set()):
            save.clear()
            trainer.save(done, meter)
            saved = time.monotonic()
            if stop.is_set():
                raise KeyboardInterrupt
    return Outcome(curve=meter.curve, cost=meter.cost(steps * int(run.train["batch"]), fabric))


def points(steps: int, count: int) -> tuple[int, ...]:
    """Return `count` evenly spaced step numbers that end with `steps`."""
    count = min(count, steps)
    return tuple(sorted({round(steps * (i + 1) / count) for i in range(count)}))


class _Trainer:
    """Module and optimiser on their device: takes steps, saves and restores itself."""

    def __init__(self, trainee: Trainee, run: Run, fabric: Fabric) -> None:
        self.trainee, self.run, self.fabric = trainee, run, fabric
        self.optimizer = build_optimizer(trainee, run.train, trainee.no_decay)
        self.module, self.wrapped = fabric.setup(trainee, self.optimizer)

    def draws(self, stream: str, step: int) -> Draws:
        """Return the source of random numbers of a step."""
        return Draws(generator=seeded(self.run.seed, stream, step))

    def advance(self, batch: Batch, step: int) -> tuple[dict[str, float], dict[str, float]]:
        """Take one optimiser step, unless a loss is not finite; return loss terms and logged values."""
        run, trainee = self.run, self.trainee
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(run.train, step, run.steps_per_epoch)
        ctx = Context(step=step, total_steps=int(run.train["steps"]), draws=self.draws("step", step))
        trainee.ctx = ctx
        trainee.before_step(ctx)
        self.optimizer.zero_grad(set_to_none=True)
        with seeded_layers(self.fabric.device, run.seed, "layers", step):
            out: dict[str, dict[str, Tensor]] = self.module(batch)
        terms, logged = out["terms"], out["logged"]
        losses = torch.stack(list(terms.values()))
        self.fabric.backward(losses.sum())
        if (clip := float(run.train["clip"])) > 0:
            nn.utils.clip_grad_norm_(trainee.parameters(), clip)
        beside = [value.detach().to(losses) for value in logged.values()]
        numbers = torch.stack([*losses.detach().unbind(), *beside]).tolist()  # one wait for the device
        values = dict(zip(terms, numbers[: len(terms)], strict=True))
        if math.isfinite(sum(values.values())):
            self.wrapped.step()
            trainee.after_step(ctx)
        return values, dict(zip(logged, numbers[len(terms) :], strict=True))

    def save(self, step: int, meter: _Meter) -> None:
        """Write a checkpoint after `step` steps."""
        state = {"module": self.trainee.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_checkpoint(self.run.folder, step, {**state, "meter": meter.state()})

    def restore(self, meter: _Meter) -> int:
        """Load the newest checkpoint, if any; return how many steps are done."""
        loaded = load_checkpoint(self.run.folder)
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
            reject_checkpoints(self.run.folder)
            return 0
        warn(f"{self.run.folder.name}: goes on from step {step}")
        return step


def _evaluate(trainee: Trainee, run: Run, point: dict[str, float]) -> None:
    """Add the validation metrics to a point of the curve and log it."""
    if run.evaluate is not None:
        point.update(run.evaluate())
        trainee.train()
    _log(run.folder, point)


def _peak_memory_mb(fabric: Fabric) -> float:
    """Return the peak memory of this training on a GPU, of the whole process so far on a CPU."""
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def show_progress(folder: Path, step: int, steps: int, loss: float) -> None:
    """Leave the current position for whoever watches; it is not flushed, and losing it costs nothing."""
    temporary = folder / ".progress"
    with suppress(OSError):
        temporary.write_text(json.dumps({"step": step, "steps": steps, "loss": round(loss, 4)}))
        temporary.replace(folder / "progress.json")


def _log(folder: Path, point: Mapping[str, float]) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    text = "  ".join(f"{name} {value:.5g}" for name, value in point.items())
    path = folder / "log.txt"
    with writing(path), path.open("a") as file:
        file.write(f"{stamp}  {text}\n")
