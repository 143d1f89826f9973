"""Train the stages of some methods and write the state of this process; one of those of `torchrun`, or alone.

Double precision, so that what remains of a difference is not rounding that training has magnified.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from bench.data.people import People
from bench.execute.device import make_fabric
from bench.execute.pretraining import PretrainTrainee, build_method, make_run
from bench.execute.site import Team
from bench.plan import Step, expand
from bench.request import Words, resolve
from bench.store import Store
from bench.train.loop import fit


def main(root: str, *overrides: str) -> None:
    """Do so with each batch as a whole, and cut into two and four groups."""
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    torch.set_num_threads(1)
    plan = expand(resolve(Words(methods="cmc,hcmoco,mae", tasks="densepose", overrides=overrides)))
    stages = [step for step in plan.steps if step.kind == "pretrain"]
    team = Team(rank=rank, nodes=1, per_node=size)
    for groups in (1, 2, 4):
        states: dict[str, dict[str, torch.Tensor]] = {}
        for step in stages:
            previous = states[step.inputs[0].key] if step.inputs else {}
            states[step.key], curve = train(step, groups, Path(root), team, previous)
            content = {"state": states[step.key], "curve": curve}
            torch.save(content, Path(root) / f"{step.spec['name']}-{groups}-{rank}-of-{size}.pt")


def train(
    step: Step, groups: int, root: Path, team: Team, previous: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    recipe = {**step.spec["train"], "groups": groups}
    step = replace(step, spec={**step.spec, "precision": "64-true", "train": recipe})
    fabric = make_fabric(step.spec, "cpu", team)
    data = People(step.spec["data"], Store(root).data)
    method = build_method(step.spec, data.info, ())
    method.load_state_dict(previous, strict=False)
    folder = root / f"{step.spec['name']}-{groups}-of-{team.size}"
    folder.mkdir(exist_ok=True)
    outcome = fit(PretrainTrainee(method), make_run(step, data, folder, fabric), fabric)
    return dict(method.state_dict()), outcome.curve


if __name__ == "__main__":
    main(*sys.argv[1:])
