"""The training loop, one for pretraining and fine-tuning, with exact resume."""

from __future__ import annotations

import threading
import time

import torch
from lightning_fabric import Fabric

from bench.train.meter import Meter, log, show_progress
from bench.train.run import Outcome, Run, TrainModule
from bench.train.trainer import Trainer

PROGRESS_S = 1.0

stop = threading.Event()  # set by a signal: save a checkpoint after the current step and leave
save = threading.Event()  # set by a signal: save a checkpoint after the current step and go on
active = threading.Event()  # a loop runs in this process and will look at `stop`


def fit(trainee: TrainModule, run: Run, fabric: Fabric) -> Outcome:
    """Train to the end, going on from the newest checkpoint in the folder of the step.

    All processes of the Fabric call it together; the first one writes.

    Raises:
        StepError: a loss is not finite; names the step and the last losses.
        KeyboardInterrupt: `stop` was set, in one process or in all; a checkpoint was written.
    """
    active.set()
    try:
        return _train(trainee, run, fabric)
    finally:
        active.clear()


def _train(trainee: TrainModule, run: Run, fabric: Fabric) -> Outcome:
    steps = int(run.train["steps"])
    trainer = Trainer(trainee, run, fabric)
    meter = Meter()
    first = trainer.restore(meter)
    meter.passes *= trainer.leads  # what is saved is of all processes
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainee.train()
    batches = run.batches(first)
    saved = shown = time.monotonic()
    for step in range(first, steps):
        wait = time.monotonic()
        draws = [trainer.draws("augment", step, part) for part in run.parts.own]
        parts = [run.prepare(next(batches), drawn) for drawn in draws]
        meter.waited += time.monotonic() - wait
        meter.add(*trainer.advance(parts, step), step)
        meter.passes += trainer.passes.rows
        done = step + 1
        if step == first:
            trainer.check_shapes()
        if done in run.evaluate_at:
            _evaluate(trainee, run, meter.point(done, steps), write=trainer.leads)
        now = time.monotonic()
        if trainer.leads and (now - shown > PROGRESS_S or done == steps):
            shown = now
            show_progress(run.folder, done, steps, meter.losses[-1])
        leave, keep = trainer.world.any(stop.is_set()), trainer.world.any(save.is_set())
        if done < steps and (now - saved > run.checkpoint_s or leave or keep):
            save.clear()
            _sum_passes(meter, trainer, fabric)
            trainer.save(done, meter)
            saved = time.monotonic()
            if leave:
                raise KeyboardInterrupt
    seen = steps * int(run.train["batch"]) * run.images
    _sum_passes(meter, trainer, fabric)
    return Outcome(curve=meter.curve, cost=meter.cost(seen, fabric))


def _sum_passes(meter: Meter, trainer: Trainer, fabric: Fabric) -> None:
    """Let the first process have the count of all."""
    total = trainer.world.all_reduce(torch.tensor(meter.passes, device=fabric.device))
    meter.passes = int(total) * trainer.leads


def points(steps: int, count: int) -> tuple[int, ...]:
    """Return `count` evenly spaced step numbers that end with `steps`."""
    count = min(count, steps)
    return tuple(sorted({round(steps * (i + 1) / count) for i in range(count)}))


def _evaluate(trainee: TrainModule, run: Run, point: dict[str, float], *, write: bool) -> None:
    """Add the validation metrics to a point of the curve and log it."""
    if run.evaluate is not None:
        point.update(run.evaluate())
        trainee.train()
    if write:
        log(run.folder, point)
