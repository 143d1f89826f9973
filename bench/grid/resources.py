"""What steps ask a machine for: `resources` of presets, methods and tasks. Never part of a key.

A method's apply to its stages, a task's to the cells of that task; what they leave out is the preset's. Only
stages of pretraining are spread over several GPUs or nodes; a cell takes one device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from bench.settings import Count, NotNegative, Positive, Whole, convert


class Resources(Struct, kw_only=True, forbid_unknown_fields=True):
    """A `resources` section."""

    nodes: Count = 1
    gpus: Whole = 0  # per node; a process for each of them
    cpus: Count = 1  # per process
    mem: Positive = 4.0  # GB per node
    hours: Positive = 1.0  # wall time of one attempt
    checkpoint_s: NotNegative = 20.0  # at most this much work is repeated after a kill
    data_workers: Whole = 0  # reading threads per training
    features_gb: NotNegative = 20.0  # of frozen features in a store; beyond, they are computed in each pass


DEFAULTS: Mapping[str, Any] = msgspec.structs.asdict(Resources())


def check_resources(section: Any, where: str) -> None:
    """Check a `resources` section; all keys may be left out.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value that is not a fitting number.
    """
    convert(section, Resources, f"{where}: resources")


def on_one_device(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a step asks for that is never spread over processes: at most one GPU of one node."""
    return {**resources, "nodes": 1, "gpus": min(1, resources["gpus"])}


def is_resource(key: str) -> bool:
    """Say whether a dotted key of a request belongs to a `resources` section, which no label names."""
    group, *words = key.split(".")
    place = 0 if group == "preset" else 1
    return group in ("preset", "method", "task") and words[place : place + 1] == ["resources"]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
