"""Several processes that train together: what they exchange, and which parts of a batch each works on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

from bench.api import ALONE, Peers
from bench.errors import ConfigError


class Processes(Peers):
    """All processes of a training, one per device, joined by `torch.distributed` (NCCL, or gloo on CPUs)."""

    def __init__(self, fabric: Fabric) -> None:
        self.rank, self.ranks = fabric.global_rank, fabric.world_size
        self._fabric = fabric

    def gather(self, x: Tensor) -> Tensor:
        return self._rows(x.detach(), sync_grads=False)

    def join(self, x: Tensor) -> Tensor:
        return self._rows(x, sync_grads=True)

    def total(self, x: Tensor) -> Tensor:
        return summed(x.detach())

    def any(self, flag: bool) -> bool:
        return bool(self.total(torch.tensor(int(flag), device=self._fabric.device)))

    def _rows(self, x: Tensor, *, sync_grads: bool) -> Tensor:
        parts = self._fabric.all_gather(x, sync_grads=sync_grads)
        assert isinstance(parts, Tensor)
        return parts.flatten(0, 1)


def summed(x: Tensor) -> Tensor:
    """Return the sum over all processes; the gradient of every process reaches all of them."""
    found: Tensor = all_reduce(x.contiguous())  # type: ignore[no-untyped-call]  # torch's
    return found


def peers(fabric: Fabric) -> Peers:
    """Return the processes of a Fabric that was launched."""
    return Processes(fabric) if fabric.world_size > 1 else ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The parts of every batch that this process works on, one after the other."""

    own: range = range(1)
    of: int = 1


def share(world: Peers, batch: int, groups: int) -> Share:
    """Cut batches for the processes that share them.

    Args:
        world: all processes of the training.
        batch: samples per optimiser step, all processes together.
        groups: parts of a batch with a batch norm and negatives of their own; 1 = the batch as a whole.

    Raises:
        ConfigError: the batch cannot be cut evenly.
    """
    if groups > 1 and groups % world.ranks:
        raise ConfigError(
            f"{groups} groups of a batch cannot be spread evenly over {world.ranks} processes; choose "
            "resources.nodes x resources.gpus so that it divides train.groups"
        )
    parts = max(groups, world.ranks)
    if batch % parts:
        raise ConfigError(
            f"a batch of {batch} cannot be cut into {parts} equal parts; change preset.pretrain.batch, "
            "train.groups or resources.nodes x resources.gpus"
        )
    each = parts // world.ranks
    return Share(own=range(world.rank * each, (world.rank + 1) * each), of=parts)
