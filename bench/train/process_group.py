"""Several processes that train together: what they exchange, and which parts of a batch each works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor
from torch.autograd import Function

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.errors import ConfigError


class DistributedGroup(ProcessGroup):
    """All processes of a training, one per device, joined by `torch.distributed` (NCCL, or gloo on CPUs)."""

    def __init__(self, fabric: Fabric) -> None:
        self.rank, self.world_size = fabric.global_rank, fabric.world_size
        self._device = fabric.device

    def all_gather(self, x: Tensor) -> Tensor:
        return _gather(x.detach())

    def all_gather_with_grad(self, x: Tensor) -> Tensor:
        joined: Tensor = _Join.apply(x)
        return joined

    def all_reduce(self, x: Tensor) -> Tensor:
        return _sum(x.detach())

    def any(self, flag: bool) -> bool:
        return bool(self.all_reduce(torch.tensor(int(flag), device=self._device)))


def summed(x: Tensor) -> Tensor:
    """Return the sum over all processes; the gradient of every process reaches all of them."""
    found: Tensor = _Sum.apply(x)
    return found


def _gather(x: Tensor) -> Tensor:
    rows = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, x.contiguous())
    return torch.cat(rows)


def _sum(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


# torch's own differentiable collectives have changed place and name with its versions
class _Join(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return _gather(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        first = dist.get_rank() * int(ctx.rows)
        return _sum(gradient)[first : first + int(ctx.rows)]


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _sum(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def process_group(fabric: Fabric) -> ProcessGroup:
    """Return the processes of a Fabric that was launched."""
    return DistributedGroup(fabric) if fabric.world_size > 1 else SINGLE_PROCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchParts:
    """The parts of every batch that this process works on, one after the other."""

    own: range = range(1)
    of: int = 1


def batch_parts(world: ProcessGroup, batch: int, groups: int) -> BatchParts:
    """Cut batches for the processes that share them.

    Args:
        world: all processes of the training.
        batch: samples per optimiser step, all processes together.
        groups: parts of a batch with a batch norm and negatives of their own; 1 = the batch as a whole.

    Raises:
        ConfigError: the batch cannot be cut evenly.
    """
    if groups > 1 and groups % world.world_size:
        raise ConfigError(
            f"{groups} groups of a batch cannot be spread evenly over {world.world_size} processes; choose "
            "resources.nodes x resources.gpus so that it divides train.batch_groups"
        )
    parts = max(groups, world.world_size)
    if batch % parts:
        raise ConfigError(
            f"a batch of {batch} cannot be cut into {parts} equal parts; change preset.pretrain.batch, "
            "train.batch_groups or resources.nodes x resources.gpus"
        )
    each = parts // world.world_size
    return BatchParts(own=range(world.rank * each, (world.rank + 1) * each), of=parts)
