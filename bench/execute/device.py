"""Device, precision and threads of a step, through Lightning Fabric."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from bench.execute.site import ALONE, WorldInfo
from bench.records.provenance import cpu_name


def make_fabric(spec: Mapping[str, Any], accelerator: str, team: WorldInfo = ALONE) -> Fabric:
    """Return the Fabric that a step runs on, with the numerical settings that its spec fixes.

    On a CPU the number of threads is part of the spec: it changes the last bits of sums.

    Args:
        spec: of the step.
        accelerator: cpu, cuda or auto.
        team: the processes that train together; all of them call this.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fabric advises on hardware that is there but not asked for
        fabric = Fabric(
            accelerator=accelerator,
            devices=team.per_node,
            num_nodes=team.nodes,
            strategy="auto" if team.size == 1 else _ddp(),
            precision=spec["precision"],
        )
        if team.size > 1:
            fabric.launch()
    if fabric.device.type == "cpu":
        torch.set_num_threads(int(spec["cpu_threads"]))
    else:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return fabric


def _ddp() -> DDPStrategy:
    """Return a strategy that leaves buffers alone during training.

    What is written into them keeps them equal: joined statistics, memories of gathered rows.
    """
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    return DDPStrategy(**options)


def device_name(fabric: Fabric) -> str:
    """Return what the step ran on, for its record."""
    name = str(torch.cuda.get_device_name(fabric.device)) if fabric.device.type == "cuda" else cpu_name()
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"
