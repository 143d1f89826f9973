"""What a training leaves to be looked at: curve, running means, clocks, log and progress."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from bench.errors import StepError
from bench.files import writing


class Meter:
    """Curve, running loss means and clocks; travels with the checkpoint."""

    def __init__(self) -> None:
        self.curve: list[dict[str, float]] = []
        self.sums: dict[str, tuple[float, int]] = {}  # of values since the last point, and how many
        self.seconds = 0.0  # of earlier attempts
        self.waited = 0.0
        self.passes = 0  # images through encoders, see `bench.train.passes`
        self.begun = time.monotonic()
        self.losses: deque[float] = deque(maxlen=5)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        names = ("curve", "sums", "waited", "passes")
        state = {name: getattr(self, name) for name in names}
        return state | {"seconds": self.elapsed(), "losses": list(self.losses)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        names = ("curve", "sums", "waited", "passes", "seconds")
        for name, value in {name: state[name] for name in names}.items():
            setattr(self, name, value)
        self.losses.extend(state["losses"])

    def elapsed(self) -> float:
        """Return seconds spent by all attempts together."""
        return self.seconds + time.monotonic() - self.begun

    def add(self, terms: Mapping[str, float], logged: Mapping[str, float], step: int) -> None:
        """Count the losses of one step, and what is logged beside them, as far as it is finite.

        Raises:
            StepError: a loss is not finite.
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
            if math.isfinite(value):  # no record may hold another one
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
        """Return times and rates.

        Args:
            samples: images read from the data set, of all processes together; a pair is two, two
                augmentations of one image are one.
            fabric: counts the devices.
        """
        total = self.elapsed()
        return {
            "train_wall_s": total,
            "device_s": total * fabric.world_size,
            "samples_seen": float(samples),
            "forward_passes": float(self.passes),
            "samples_per_s": samples / total if total > 0 else 0.0,
            "data_wait_share": self.waited / total if total > 0 else 0.0,
            "peak_memory_mb": _peak_memory_mb(fabric),
        }


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


def log(folder: Path, point: Mapping[str, float]) -> None:
    """Add a point of the curve to the log of a step.

    Raises:
        DataError: disk full, no permission.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    text = "  ".join(f"{name} {value:.5g}" for name, value in point.items())
    path = folder / "log.txt"
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(f"{stamp}  {text}\n")
