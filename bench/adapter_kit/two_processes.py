"""Trains the stages of a method in one process, and in two that share each batch; compares their states.

In double precision, so that what remains of a difference is not rounding that training has magnified.

The two are forked from a server that has imported torch and this module, once per program (`forkserver` of
the standard library): importing takes longer than the trainings.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist

from bench.data.opening import open_dataset
from bench.encoders import fields_of
from bench.errors import StepError, told
from bench.execute.device import make_fabric
from bench.execute.job import lost_peer
from bench.execute.pretraining import PretrainModule, build_method, make_run
from bench.execute.site import ALONE, WorldInfo
from bench.grid.plan import Step
from bench.records.store import Store
from bench.train.loop import fit

TEAM = (WorldInfo(rank=0, per_node=2), WorldInfo(rank=1, per_node=2))
PATIENCE_S = 60.0  # one process waits so long for the other
GRACE_S = 5.0  # to end after the other has failed
DIED = (
    "one of them died with exit code {}; both must call the same functions of ctx.group and ctx.world, in "
    "the same order"
)
TOLERANCE = 1e-7  # relative, of states in double precision
LOSS_TOLERANCE = 1e-6  # of losses, which are kept as float32
State = dict[str, torch.Tensor]


def train_stages(
    stages: Sequence[Step],
    root: Path,
    groups: Sequence[int],
    config_dirs: Sequence[str] = (),
    team: WorldInfo = ALONE,
) -> None:
    """Train stages one after the other in this process, and write their states.

    Args:
        stages: of one method or several; each goes on from its input.
        root: of a store with the data; gets `<stage>-<groups>-<rank>-of-<size>.pt`.
        groups: parts of each batch that count as batches of their own; all is trained once for each number.
        config_dirs: where adapters are found besides.
        team: which process of how many this is.
    """
    for count in groups:
        states: dict[str, State] = {}
        for step in stages:
            previous = states[step.inputs[0].key] if step.inputs else {}
            states[step.key], curve = _train(step, count, root, team, previous, tuple(config_dirs))
            torch.save({"state": states[step.key], "curve": curve}, file(root, step, count, team))


def file(root: Path, step: Step, groups: int, team: WorldInfo) -> Path:
    """Return where a process leaves the state of a stage."""
    return root / f"{step.spec['name']}-{groups}-{team.rank}-of-{team.size}.pt"


def _train(
    step: Step, groups: int, root: Path, team: WorldInfo, previous: State, config_dirs: tuple[str, ...]
) -> tuple[State, list[dict[str, float]]]:
    recipe = {**step.spec["train"], "batch_groups": groups}
    step = replace(step, spec={**step.spec, "precision": "64-true", "train": recipe})
    fabric = make_fabric(step.spec, "cpu", team)
    data = open_dataset(step.spec["data"], Store(root).data, config_dirs)
    method = build_method(step.spec, data.info, config_dirs)
    method.load_state_dict(previous, strict=False)
    folder = root / f"{step.spec['name']}-{groups}-of-{team.size}"
    folder.mkdir(parents=True, exist_ok=True)
    outcome = fit(PretrainModule(method), make_run(step, data, folder, fabric, fields_of(method)), fabric)
    return dict(method.state_dict()), outcome.curve


def ready() -> None:
    """Let the server of processes start and import what they need, while this process goes on."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    multiprocessing.forkserver.ensure_running()


def train_together(
    stages: Sequence[Step], root: Path, groups: Sequence[int], config_dirs: Sequence[str] = ()
) -> None:
    """Let two processes train stages together; see `train_stages`.

    Raises:
        StepError: one of them failed, died, or waited in vain for the other; its words.
    """
    ready()
    context = multiprocessing.get_context("forkserver")
    with TemporaryDirectory(prefix="bench-pair-") as folder:
        meeting = Path(folder, "meeting").as_uri()
        processes: dict[Connection, BaseProcess] = {}
        for team in TEAM:
            line, end = context.Pipe(duplex=False)
            words = (stages, root, groups, config_dirs, team)
            process = context.Process(
                target=_take_part, args=(end, dict(os.environ), meeting, PATIENCE_S, words), daemon=True
            )
            process.start()
            end.close()
            processes[line] = process
        failed = sorted(said for said in _outcomes(processes) if said[1])
    if failed:  # first who did not merely lose the other
        raise StepError(f"two processes: {failed[0][1]}")


def _outcomes(processes: dict[Connection, BaseProcess]) -> list[tuple[bool, str]]:
    """Wait for what processes say in the end: whether one has lost the other, and its error ("" = none).

    One that does not end after the other has failed is ended.
    """
    said: list[tuple[bool, str]] = []
    left = dict(processes)
    while left:
        ended = wait(left, GRACE_S if any(text for _, text in said) else None)
        if not ended:
            break
        for line, process in processes.items():
            if line not in ended:
                continue
            del left[line]
            try:
                said.append(line.recv())
            except EOFError:
                process.join()
                said.append((False, DIED.format(process.exitcode)))
    for process in left.values():
        process.terminate()
    for process in processes.values():
        process.join()
    return said


def _take_part(
    line: Connection,
    environment: Mapping[str, str],
    meeting: str,
    patience_s: float,
    words: tuple[Sequence[Step], Path, Sequence[int], Sequence[str], WorldInfo],
) -> None:
    """Train in one of the two processes, with the words of `train_stages`; say how it went."""
    team = words[-1]
    os.environ.clear()  # of the time when the server started
    os.environ.update({**environment, "LOCAL_RANK": str(team.rank), "NODE_RANK": "0"})
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo", meeting, timedelta(seconds=patience_s), world_size=team.size, rank=team.rank
        )
        train_stages(*words)
        line.send((False, ""))
    except Exception as error:  # whatever the adapter's code raises
        line.send((lost_peer(error), told(error)))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


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
