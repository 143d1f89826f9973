"""Learning-rate schedules, pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.errors import ConfigError, nearest
from bench.grid.schema import SCHEDULES


def learning_rate(train: Mapping[str, Any], step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of one optimiser step.

    Args:
        train: a resolved recipe: `lr`, `steps`, `schedule`; where they apply `warmup` (share of all steps),
            `milestones` (shares of all steps) and `gamma`.
        step: 0-based step of this stage.
        steps_per_epoch: optimiser steps per pass over the data, for the schedules that change per epoch.

    Raises:
        ConfigError: unknown schedule.

    Sources: `cos_epoch` HCMoCo (arXiv:2203.13815, released recipe: from lr to lr/1000, per epoch 1..E);
    `cos_moco` MoCo v2 (arXiv:2003.04297, per epoch 0..E-1); `cos_warm_step` MAE (arXiv:2111.06377, per step
    with linear warm-up); `cos_warm_lars` PixPro (arXiv:2011.10043, released recipe: the warm-up starts from
    lr/100); `poly` power 0.9 per step (HRNet segmentation, arXiv:1908.07919).
    """
    lr, steps = float(train["lr"]), int(train["steps"])
    epochs = max(1, math.ceil(steps / max(1, steps_per_epoch)))
    epoch = step // max(1, steps_per_epoch)
    warm = round(float(train.get("warmup", 0.0)) * steps)
    match train["schedule"]:
        case "constant":
            return lr
        case "cos_epoch":
            low = lr * 1e-3
            return low + (lr - low) * (1 + math.cos(math.pi * (epoch + 1) / epochs)) / 2
        case "cos_moco":
            return lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        case "cos_warm_lars":
            if step < warm:
                return lr * (0.01 + 0.99 * step / warm)
            return lr * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
        case "cos_warm_step":
            if step < warm:
                return lr * (step + 1) / (warm + 1)
            return lr * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
        case "poly":
            return lr * math.pow(1 - step / steps, 0.9)
        case "steps":
            return lr * float(train["gamma"]) ** sum(step >= float(m) * steps for m in train["milestones"])
        case other:
            raise ConfigError(f'unknown schedule "{other}".{nearest(str(other), SCHEDULES)}')
