"""Training in two processes that share each batch gives what one process gives."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.adapter_kit import pair

pytestmark = pytest.mark.slow  # the contract suite asks the same of a skeleton in every run

Bench = Callable[..., subprocess.CompletedProcess[str]]

STAGES = ("cmc.contrast", "cmc.contrast_2", "hcmoco.dense", "mae_body.pixels")
# four samples per process: often only one process has a sample with depth; at 32 px a map has one cell
BATCH = ("preset.pretrain.batch=8", "preset.pretrain.seen=48", "preset.size=48")


@pytest.fixture(scope="module")
def root(bench: Bench, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States of all stages, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("states")
    words = (*small, *BATCH)
    built = bench(
        "data", "build", "people", "--tasks", "densepose", "--store", str(folder), *words,
        BENCH_DATA=str(folder / "data"),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for processes in (1, 2):
        pair.launch((str(folder), "cmc,hcmoco,mae_body", "1,2,4", "", *words), processes)
    return folder


def read(root: Path, stage: str, groups: int, rank: int, size: int) -> dict[str, Any]:
    path = root / f"{stage}-{groups}-{rank}-of-{size}.pt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one(root: Path, stage: str, groups: int) -> None:
    """Losses, weights, statistics of batch norm, and memories, also where a process has no depth at all."""
    alone, first, second = (read(root, stage, groups, *place) for place in ((0, 1), (0, 2), (1, 2)))
    assert list(pair.differences(alone, first, second)) == []
    assert first["state"].keys() == alone["state"].keys()
    assert len(alone["curve"]) >= 3 and first["curve"] == second["curve"]


def test_groups_have_batch_norm_and_negatives_of_their_own(root: Path) -> None:
    whole, halves = (read(root, "hcmoco.dense", groups, 0, 1) for groups in (1, 2))
    joints, halved = (points["curve"][0]["floor_structure"] for points in (whole, halves))  # of a kind
    assert halved == pytest.approx(joints - math.log(2), abs=0.1)
    name = "encoders.rgb.model.conv1.1.running_mean"
    assert not torch.allclose(whole["state"][name], halves["state"][name], rtol=1e-3)
