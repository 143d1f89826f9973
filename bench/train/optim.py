"""Optimisers from recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from bench.errors import ConfigError, nearest

FUSED = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}  # a quarter of timm's time on a CPU
OPTIONS = {"weight_decay": float, "lr_scale": float, "schedule": str}

Group = Callable[[str, nn.Parameter], Mapping[str, Any]]


def parameter_groups(module: nn.Module, weight_decay: float, group: Group) -> list[dict[str, Any]]:
    """Collect the trainable parameters that share all options.

    Args:
        module: what is trained.
        weight_decay: of parameters that do not say otherwise.
        group: how a parameter departs from the recipe; see `bench.api.Task.group`.

    Raises:
        ConfigError: an unknown option.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        options = {"weight_decay": weight_decay, "lr_scale": 1.0, "schedule": "", **group(name, parameter)}
        for key in options:
            if key not in OPTIONS:
                raise ConfigError(f'{name}: unknown option "{key}" of group().{nearest(key, OPTIONS)}')
        found.setdefault(tuple(options.values()), {**options, "params": []})["params"].append(parameter)
    return list(found.values())


def build_optimizer(module: nn.Module, train: Mapping[str, Any], group: Group) -> torch.optim.Optimizer:
    """Build the optimiser of a resolved recipe; the loop sets the rates per step.

    `sgd` and `adamw` are torch's own in their fused forms, all others timm's (`lars`, `lamb`, `adam`, ...).

    Raises:
        ConfigError: unknown optimiser, or nothing to train.
    """
    groups = parameter_groups(module, float(train["weight_decay"]), group)
    if not groups:
        raise ConfigError("there is nothing to train: no parameter requires a gradient")
    lr, name = float(train["lr"]), str(train["optimizer"])
    betas = tuple(float(b) for b in train["betas"])
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=float(train["momentum"]), fused=True)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), fused=True)
    from timm.optim._optim_factory import get_optimizer_class, get_optimizer_info, list_optimizers

    known = [str(found) for found in list_optimizers()]
    if name not in known:
        raise ConfigError(f'unknown optimizer "{name}".{nearest(name, [*FUSED, *known])}')
    defaults = get_optimizer_info(name)
    options: dict[str, Any] = {"lr": lr}
    if defaults.has_betas:
        options["betas"] = betas
    if defaults.has_momentum:
        options["momentum"] = float(train["momentum"])
    make: Any = get_optimizer_class(name, bind_defaults=True)
    optimizer: torch.optim.Optimizer = make(groups, **options)
    return optimizer
