"""Device, precision and threads of a step, through Lightning Fabric."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric

from bench.provenance import cpu_name


def make_fabric(spec: Mapping[str, Any], accelerator: str) -> Fabric:
    """Return the Fabric that a step runs on, with the numerical settings that its spec fixes.

    On a CPU the number of threads is part of the spec: it changes the last bits of sums.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Fabric advises on hardware that is there but not asked for
        fabric = Fabric(accelerator=accelerator, devices=1, precision=spec["precision"])
    if fabric.device.type == "cpu":
        torch.set_num_threads(int(spec["cpu_threads"]))
    else:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return fabric


def device_name(fabric: Fabric) -> str:
    """Return what the step ran on, for its record."""
    if fabric.device.type == "cuda":
        return str(torch.cuda.get_device_name(fabric.device))
    return cpu_name()
