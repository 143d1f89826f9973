"""Training in two processes that share each batch gives what one process gives."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Bench = Callable[..., subprocess.CompletedProcess[str]]

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
STAGES = ("cmc.contrast", "cmc.contrast_2", "hcmoco.dense", "mae.pixels")
# four samples per process: often only one process has a sample with depth; at 32 px a map has one cell
BATCH = ("preset.pretrain.batch=8", "preset.pretrain.seen=48", "preset.size=48")
TOLERANCE = 1e-7  # relative, of states in double precision
LOSS_TOLERANCE = 1e-6  # of losses, which are kept as float32


def trained(environment: dict[str, str], root: Path, *words: str, launcher: tuple[str, ...] = ()) -> None:
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(root), *words],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def root(
    bench: Bench, environment: dict[str, str], small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """States of all stages, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("states")
    words = (*small, *BATCH)
    built = bench("data", "build", "people", "--tasks", "densepose", "--store", str(folder), *words)
    assert built.returncode == 0, built.stderr
    trained(environment, folder, *words)
    trained(environment, folder, *words, launcher=TORCHRUN)
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
    assert first["state"].keys() == alone["state"].keys()
    for name, value in alone["state"].items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        found = first["state"][name]
        assert torch.allclose(found, value, rtol=TOLERANCE, atol=TOLERANCE), name
    assert len(alone["curve"]) >= 3 and first["curve"] == second["curve"]
    for ours, theirs in zip(first["curve"], alone["curve"], strict=True):
        assert ours == pytest.approx(theirs, rel=LOSS_TOLERANCE)


def test_groups_have_batch_norm_and_negatives_of_their_own(root: Path) -> None:
    whole, halves = (read(root, "hcmoco.dense", groups, 0, 1) for groups in (1, 2))
    joints, halved = (points["curve"][0]["floor_structure"] for points in (whole, halves))  # of a kind
    assert halved == pytest.approx(joints - math.log(2), abs=0.1)
    name = "encoders.rgb.model.conv1.1.running_mean"
    assert not torch.allclose(whole["state"][name], halves["state"][name], rtol=1e-3)
