"""Networks that follow a trained one slowly (momentum encoders, exponential moving averages)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from bench.errors import ConfigError


class MomentumCopy(nn.Module):
    """A copy of a network whose weights are running means of the network's (MoCo, arXiv:1911.05722, Eq. 2).

    Its parameters are frozen. Buffers are its own: batch norm keeps statistics of what the copy has seen,
    they are never averaged. Whoever trains the network calls `follow` in `before_step`.
    """

    def __init__(self, online: nn.Module) -> None:
        """Start with the weights and buffers of a network, which is not kept."""
        super().__init__()
        self.network = copy.deepcopy(online).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """Return what the copy makes of inputs, without gradient."""
        return self.network(*inputs)

    @torch.no_grad()
    def follow(self, online: nn.Module, momentum: float) -> None:
        """Move the weights towards those of the network: momentum * own + (1 - momentum) * online.

        Args:
            online: of the same structure.
            momentum: share of the own weights, 0..1.

        Raises:
            ConfigError: a momentum outside 0..1.
        """
        if not 0.0 <= momentum <= 1.0:
            raise ConfigError(f"momentum copy: momentum {momentum} must lie within 0..1")
        for own, other in zip(self.network.parameters(), online.parameters(), strict=True):
            own.lerp_(other, 1.0 - momentum)

    @torch.no_grad()
    def restart(self, online: nn.Module) -> None:
        """Take over weights and buffers, e.g. after the network has loaded published ones."""
        self.network.load_state_dict(online.state_dict())


def rising_momentum(start: float, step: int, total_steps: int) -> float:
    """Return a momentum that rises from `start` to 1 along half a cosine (BYOL, arXiv:2006.07733, Sec. 3.2).

    Args:
        start: at step 0, 0..1.
        step: 0-based; `Context.step`, so that a restart changes nothing.
        total_steps: where 1 is reached.
    """
    return 1.0 - (1.0 - start) * (math.cos(math.pi * step / total_steps) + 1.0) / 2.0
