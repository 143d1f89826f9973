from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo, Encoder, FeatureInfo, Features, Pretrained, Stats
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError, DataError
from bench.execute.finetuning import evaluate_task
from bench.grid.request import BUILT_IN
from tasks.pose_depth import PoseDepth, PoseDepthConfig

SIZE = (48, 48)
INFO = DataInfo(n_samples=8, size=SIZE, joint_set="smpl24")
MAPS = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)
ITOP = JOINT_SETS["itop15"]


def truth_of(n: int = 6, seed: int = 0) -> Stats:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(-0.3, 0.3, (n, 24, 3)) + np.array([0, 0, 3])
    camera = np.zeros((n, 3, 3))
    camera[:, 0, 0] = camera[:, 1, 1] = rng.uniform(100, 150, n)
    camera[:, :2, 2] = 24
    camera[:, 2, 2] = 1
    return {"joints3d": joints.astype(np.float32), "camera": camera.astype(np.float32)}


def task_of(joint_set: str = "smpl24", **config: object) -> PoseDepth:
    return PoseDepth(PoseDepthConfig(**config), replace(INFO, joint_set=joint_set))  # type: ignore[arg-type]


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "pose_depth.yaml").read_text())
    assert load_adapter(spec["adapter"]) is PoseDepth
    assert build_config(PoseDepthConfig, spec["config"], "pose_depth") == PoseDepthConfig()
    assert set(spec["config"]) == set(PoseDepthConfig.__dataclass_fields__)


def test_joints_are_those_of_itop() -> None:
    task = task_of()
    names = [JOINT_SETS["smpl24"].names[k] for k in task.places]
    assert names[ITOP.names.index("torso")] == "spine2"
    assert [n for n in names if n != "spine2"] == [n for n in ITOP.names if n != "torso"]
    assert len(task_of(joints="").joints) == 24
    assert task_of("itop15").places == list(range(15))


def test_accuracy_by_hand() -> None:
    """Errors along a ray and across: 9.9 cm is found, 10.1 cm is not."""
    task, truth = task_of(), truth_of(3)
    perfect = task.oracle_prediction(truth)["joints"]
    assert evaluate_task(task, {"joints": perfect}, truth)["acc_10cm"] == 100
    moved = perfect.copy()
    scale = truth["camera"][:, 0, 0][:, None] / perfect[..., 2]  # pixels per metre
    moved[0, :, 0] += 0.099 * scale[0]
    moved[1, :, 0] += 0.101 * scale[1]
    hand = ITOP.names.index("left hand")
    moved[2, hand, 2] += 0.5
    found = evaluate_task(task, {"joints": moved}, truth)
    assert found["acc_10cm"] == pytest.approx(100 * (15 + 14) / 45)
    assert found["acc_hand"] == pytest.approx(100 * (2 + 1) / 6)
    assert found["acc_lower"] == pytest.approx(100 * 2 / 3)  # torso, hips, knees, feet
    assert found["acc_upper"] == pytest.approx(100 * (8 + 7) / 24)
    ray = np.linalg.norm(truth["joints3d"][2, task.places[hand]]) / truth["joints3d"][2, task.places[hand], 2]
    assert found["mean_error"] == pytest.approx((9.9 * 15 + 10.1 * 15 + 50 * ray) / 45, rel=1e-4)
    assert set(found) == {metric.name for metric in task.metrics}


class Depths(Encoder):
    """Keeps what it is given."""

    feature_info = MAPS
    given: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.grow = torch.nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Features:
        self.given = x
        maps = tuple(
            torch.nn.functional.avg_pool2d(x, s) * self.grow[None, :, None, None] for s in MAPS.strides
        )
        return Features(maps=maps, pooled=x.mean((2, 3)))


def person() -> Tensor:
    depth = torch.full((2, 1, 48, 48), 5.0)
    depth[:, :, 4:44, 16:32] = torch.tensor([3.0, 4.0])[:, None, None, None]
    depth[1, :, :, :] += (depth[1] == 5).float()
    return depth


def test_depth_is_centred_by_what_the_image_alone_shows() -> None:
    """A person further away, with the same shape, gives the same pose as much further away."""
    torch.manual_seed(0)
    task = task_of(width=8, layers=1)
    network = task.network(Pretrained(encoders={"depth": Depths()})).eval()
    with torch.no_grad():
        out = network({"depth": person()})
    assert out["centre"].tolist() == [3, 4]
    assert torch.equal(network.encoder.given > 0, (person() > 0) & (person() < 4.5))
    predicted = task.predict(out, {})["joints"]
    assert predicted.shape == (2, 15, 3)
    assert np.abs(predicted[:, :, 2].mean(1) - [3, 4]).max() < 0.5


def test_loss_is_nothing_at_the_truth() -> None:
    task, truth = task_of(), truth_of(2)
    batch = {name: torch.from_numpy(values) for name, values in truth.items()}
    perfect = torch.from_numpy(task.oracle_prediction(truth)["joints"]).float()
    centre = torch.tensor([3.0, 2.5])
    out = {"xy": perfect[..., :2], "anchors": perfect[..., :2], "depth_m": perfect[..., 2] - centre[:, None]}
    terms = task.loss({**out, "centre": centre}, batch)
    assert sum(terms.values()).item() == pytest.approx(0, abs=1e-6)
    off = task.loss({**out, "centre": centre + 1}, batch)
    assert off["depths"].item() == pytest.approx(3 * (50 - 1.5), rel=1e-4)


def test_floor_draws_and_bad_labels() -> None:
    task, seen, truth = task_of(), truth_of(64, seed=1), truth_of(16, seed=2)
    floor = task.floor_prediction(seen, 16)
    other = {"joints": task.oracle_prediction(seen)["joints"][:16]}
    found, worse = evaluate_task(task, floor, truth), evaluate_task(task, other, truth)
    assert found["mean_error"] < worse["mean_error"]
    assert evaluate_task(task, task.ceiling_prediction(truth, MAPS), truth)["acc_10cm"] == 100
    depth = np.full((16, *SIZE), 3000, np.uint16)
    depth[:, 20:30] = 2000
    rows = task.draw(floor, truth, {"depth": depth})
    assert {tile.shape for tile in rows.values()} == {(16, 192, 192, 3)}
    truth["camera"][2] = np.nan
    with pytest.raises(DataError, match="row 2"):
        task.score_samples(floor, truth)


def test_joints_that_the_data_lack_are_refused() -> None:
    where = "task.pose_depth.config"
    with pytest.raises(ConfigError, match=r"no joint for .*torso.* of \"itop15\"; set joints="):
        PoseDepthConfig().check(joint_set="coco17", fields=[], where=where)
    PoseDepthConfig(joints="").check(joint_set="coco17", fields=[], where=where)
    PoseDepthConfig().check(joint_set="smpl24", fields=["joints3d", "camera"], where=where)
    with pytest.raises(ConfigError, match="no camera"):
        PoseDepthConfig().check(joint_set="smpl24", fields=["joints3d"], where=where)
    with pytest.raises(ConfigError, match="these have none"):
        task_of("")
