"""Training in two processes that share each batch gives what one process gives."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bench.adapter_kit import two_processes
from bench.adapter_kit.setting import method_stages, prepared
from bench.execute.site import ALONE, WorldInfo

pytestmark = pytest.mark.slow  # the contract suite asks the same of a skeleton in every run

Trained = dict[tuple[str, int, WorldInfo], dict[str, Any]]

METHODS = ("cmc", "hcmoco", "mae_body")
GROUPS = (1, 2, 4)
STAGES = ("cmc.contrast", "cmc.contrast_2", "hcmoco.dense", "mae_body.pixels")
# four samples per process: often only one process has a sample with depth; at 32 px a map has one cell
BATCH = ("preset.pretrain.batch=8", "preset.pretrain.samples_seen=48", "preset.size=48")


@pytest.fixture(scope="module")
def trained(small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """States of all stages, trained by one process and by two, by stage, groups and process."""
    root = tmp_path_factory.mktemp("states")
    found = [s for name in METHODS for s in method_stages(name, (), (*small, *BATCH))]
    stages = list({step.key: step for step in found}.values())
    prepared(stages, root, ())
    two_processes.train_stages(stages, root, GROUPS)
    two_processes.train_together(stages, root, GROUPS)
    return {
        (str(step.spec["name"]), groups, team): torch.load(
            two_processes.file(root, step, groups, team), weights_only=True
        )
        for step in stages
        for groups in GROUPS
        for team in (ALONE, *two_processes.TEAM)
    }


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one(trained: Trained, stage: str, groups: int) -> None:
    """Losses, weights, statistics of batch norm, and memories, also where a process has no depth at all."""
    alone, first, second = (trained[stage, groups, team] for team in (ALONE, *two_processes.TEAM))
    assert list(two_processes.differences(alone, first, second)) == []
    assert first["state"].keys() == alone["state"].keys()
    assert len(alone["curve"]) >= 3 and first["curve"] == second["curve"]


def test_groups_have_batch_norm_and_negatives_of_their_own(trained: Trained) -> None:
    whole, halves = (trained["hcmoco.dense", groups, ALONE] for groups in (1, 2))
    joints, halved = (points["curve"][0]["floor_structure"] for points in (whole, halves))  # of a kind
    assert halved == pytest.approx(joints - math.log(2), abs=0.1)
    name = "encoders.rgb.model.conv1.1.running_mean"
    assert not torch.allclose(whole["state"][name], halves["state"][name], rtol=1e-3)
