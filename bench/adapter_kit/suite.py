"""Runs all checks of an adapter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.adapter_kit import two_processes
from bench.adapter_kit.datasets import DatasetChecks, parts_of
from bench.adapter_kit.encoders import EncoderChecks
from bench.adapter_kit.finding import Finding, run
from bench.adapter_kit.methods import Stages
from bench.adapter_kit.setting import method_gives, method_stages, prepared, task_cells, task_probes
from bench.adapter_kit.tasks import TaskChecks
from bench.grid import registry
from bench.records.store import Store

__all__ = ("Finding", "check_dataset", "check_encoder", "check_method", "check_task", "failures")


def check_method(name: str, config_dirs: Sequence[str] = ()) -> Iterator[Finding]:
    """Check a method; yields findings as they come.

    Args:
        name: of its YAML.
        config_dirs: where it is found, besides the project.

    Raises:
        ConfigError: no such method, or its YAML is wrong.
    """
    dirs = _folders(config_dirs)
    steps = method_stages(name, dirs)
    if any(step.spec["data"] for step in steps):
        two_processes.ready()
    with tempfile.TemporaryDirectory(prefix="bench-contract-") as folder:
        store = prepared(steps, Path(folder), dirs)
        stages = Stages(name=name, steps=steps, gives=method_gives(name, dirs), store=store, config_dirs=dirs)
        yield from run(stages.checks())


def check_task(name: str, config_dirs: Sequence[str] = ()) -> Iterator[Finding]:
    """Check a task; as `check_method`."""
    dirs = _folders(config_dirs)
    steps = task_cells(name, dirs)
    with tempfile.TemporaryDirectory(prefix="bench-contract-") as folder:
        store = prepared(steps, Path(folder), dirs)
        probes = task_probes(name, dirs)
        yield from run(TaskChecks(steps=steps, store=store, config_dirs=dirs, probes=probes).checks())


def check_dataset(name: str, config_dirs: Sequence[str] = ()) -> Iterator[Finding]:
    """Check a data set; as `check_method`.

    Raises:
        ConfigError: it is made of a user's files, which `bench data check` looks over.
    """
    dirs = _folders(config_dirs)
    specs = parts_of(name, dirs)
    with tempfile.TemporaryDirectory(prefix="bench-contract-") as folder:
        yield from run(DatasetChecks(specs=specs, root=Path(folder), config_dirs=dirs).checks())


def check_encoder(name: str, config_dirs: Sequence[str] = ()) -> Iterator[Finding]:
    """Check an encoder; as `check_method`."""
    dirs = _folders(config_dirs)
    registry.pick(name, "encoder", registry.names("encoder", registry.config_dirs(config_dirs)))
    with tempfile.TemporaryDirectory(prefix="bench-contract-") as folder:
        root = Store(Path(folder)).data
        yield from run(EncoderChecks(name=name, root=root, config_dirs=dirs).checks())


def _folders(config_dirs: Sequence[str]) -> tuple[str, ...]:
    """Return all folders of adapters besides the project's, with whole paths."""
    return tuple(map(str, registry.config_dirs(config_dirs)[1:]))


def failures(findings: Iterator[Finding]) -> list[str]:
    """Return what failed, one line each; for the tests of adapters."""
    return [f"{found.check}: {found.reason}" for found in findings if found.state == "failed"]
