"""Trains the stages of methods and writes the state of this process: one of those of `torchrun`, or alone.

In double precision, so that what remains of a difference is not rounding that training has magnified.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.adapters.sources import ROOT
from bench.data.opening import open_dataset
from bench.encoders import fields_of
from bench.errors import StepError
from bench.execute.device import make_fabric
from bench.execute.pretraining import PretrainModule, build_method, make_run
from bench.execute.site import ALONE, WorldInfo
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store
from bench.train.loop import fit

TOLERANCE = 1e-7  # relative, of states in double precision
LOSS_TOLERANCE = 1e-6  # of losses, which are kept as float32
State = dict[str, torch.Tensor]


def train_stages(
    stages: Sequence[Step], root: Path, groups: int, team: WorldInfo = ALONE, config_dirs: Sequence[str] = ()
) -> None:
    """Train stages one after the other, each batch as a whole or cut into groups; write their states.

    Args:
        stages: of one method or several; each goes on from its input.
        root: of a store with the data; gets `<stage>-<groups>-<rank>-of-<size>.pt`.
        groups: parts of each batch that count as batches of their own.
        team: which process of how many this is.
        config_dirs: where adapters are found besides.
    """
    states: dict[str, State] = {}
    for step in stages:
        previous = states[step.inputs[0].key] if step.inputs else {}
        states[step.key], curve = _train(step, groups, root, team, previous, tuple(config_dirs))
        torch.save({"state": states[step.key], "curve": curve}, file(root, step, groups, team))


def file(root: Path, step: Step, groups: int, team: WorldInfo) -> Path:
    """Return where a process leaves the state of a stage."""
    return root / f"{step.spec['name']}-{groups}-{team.rank}-of-{team.size}.pt"


def _train(
    step: Step, groups: int, root: Path, team: WorldInfo, previous: State, config_dirs: tuple[str, ...]
) -> tuple[State, list[dict[str, float]]]:
    recipe = {**step.spec["train"], "groups": groups}
    step = replace(step, spec={**step.spec, "precision": "64-true", "train": recipe})
    fabric = make_fabric(step.spec, "cpu", team)
    data = open_dataset(step.spec["data"], Store(root).data, config_dirs)
    method = build_method(step.spec, data.info, config_dirs)
    method.load_state_dict(previous, strict=False)
    folder = root / f"{step.spec['name']}-{groups}-of-{team.size}"
    folder.mkdir(parents=True, exist_ok=True)
    outcome = fit(PretrainModule(method), make_run(step, data, folder, fabric, fields_of(method)), fabric)
    return dict(method.state_dict()), outcome.curve


def launch(words: Sequence[str], processes: int) -> None:
    """Run this module in some processes that train together.

    Args:
        words: of `main`.
        processes: how many; 1 = alone.

    Raises:
        StepError: one of them failed; its last words.
    """
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, *(start if processes > 1 else ["-m"]), "bench.adapter_kit.two_processes", *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        signs = [line for line in done.stderr.splitlines() if "Error" in line or "error:" in line]
        said = (signs or done.stderr.strip().splitlines() or ["no message"])[0]
        raise StepError(f"{processes} processes: {said.strip()}")


def differences(
    alone: Mapping[str, Any], first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[str]:
    """Say in what two processes differ from each other, and from one."""
    for name, value in alone["state"].items():
        here, there = first["state"].get(name), second["state"].get(name)
        if here is None or there is None or not torch.equal(here, there):
            yield f"{name} differs between the two processes"
        elif not torch.allclose(here, value, rtol=TOLERANCE, atol=TOLERANCE):
            worst = float((here.double() - value.double()).abs().max())
            yield f"{name} differs from that of one process by {worst:.2g}"
    for ours, theirs in zip(first["curve"], alone["curve"], strict=True):
        for name, value in theirs.items():
            if abs(ours.get(name, float("inf")) - value) > LOSS_TOLERANCE * max(1.0, abs(value)):
                yield f"{name} is {ours.get(name)} after {theirs['step']:.0f} steps, with one process {value}"


def main(root: str, methods: str, groups: str, config_dirs: str, *overrides: str) -> None:
    """Train the stages of a comma list of methods, with a comma list of groups."""
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    torch.set_num_threads(1)
    dirs = tuple(filter(None, config_dirs.split(os.pathsep)))
    words = Words(methods=methods, tasks="densepose", config_dirs=dirs, overrides=overrides)
    stages = [step for step in expand(resolve(words)).steps if step.kind == "pretrain"]
    for count in map(int, groups.split(",")):
        train_stages(stages, Path(root), count, WorldInfo(rank=rank, nodes=1, per_node=size), dirs)


if __name__ == "__main__":
    main(*sys.argv[1:])
