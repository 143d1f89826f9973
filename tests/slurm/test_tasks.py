"""Tasks of two views, of two modalities and of hands: their networks, pairs and scores on nodes as here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

Bench = Callable[..., subprocess.CompletedProcess[str]]
Metrics = Callable[[Path], dict[str, list[float]]]

# the recipes that two tasks name themselves, as small as that of the preset, and the unlabelled pairs of one
SMALLER = {
    "hand_mesh_pair": ("task.hand_mesh_pair.finetune.steps=6", "task.hand_mesh_pair.finetune.batch=8"),
    "parsing_cross_depth": (
        "task.parsing_cross_depth.data.people.extra="
        "[{source: lab_rgbd, split: pretrain, samples: 48, hide: [parts]}]",
    ),
}


@pytest.mark.parametrize(
    ("method", "tasks"),
    [
        ("croco_body", ("body_mesh_pair", "hand_mesh_pair")),  # two views; of bodies, and of hands
        ("hcmoco", ("parsing_missing", "parsing_cross_depth")),  # two modalities, and what hcmoco exports
    ],
)
def test_two_inputs_score_as_here(
    method: str, tasks: tuple[str, ...], cluster: Any, metrics: Metrics, bench: Bench,
    site: Callable[..., str], small: tuple[str, ...], tmp_path: Path, jobs: Callable[[Path], Path],
) -> None:  # fmt: skip
    """Nothing is rendered beforehand: the jobs share that work."""
    store = jobs(tmp_path / "store")
    words = ["run", "--methods", method, "--tasks", ",".join(tasks), "--fractions", "0.5", *small]
    words += [word for task in tasks for word in SMALLER.get(task, ())]
    place = ("--store", str(store), "--executor", "slurm", "--site", site(partition="side"))
    waited = bench(*words, *place, "--wait")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    local = bench(*words, "--store", str(tmp_path / "local"), "--jobs", "1")
    assert local.returncode == 0, local.stdout + local.stderr
    assert len(metrics(store)) == len(tasks) and metrics(store) == metrics(tmp_path / "local")
    records = [json.loads(path.read_text()) for path in store.glob("score/*/record.json")]
    assert {record["labels"]["task"] for record in records} == set(tasks)
    assert metrics(store).keys() <= cluster.jobs(store).keys()  # all by jobs, none by the one who waits
