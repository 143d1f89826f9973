from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo, Draws, FeatureInfo, Stats, seeded
from bench.bodymodels import joints as registry
from bench.bodymodels.joints import JOINT_SETS
from bench.data.augment import augment
from bench.dataset import Field
from bench.errors import ConfigError, DataError
from bench.execute.finetuning import evaluate_task
from bench.grid.request import BUILT_IN
from tasks.pose3d import Pose3D, Pose3DConfig, _in_crop, volume_l1

SIZE = (64, 48)
INFO = DataInfo(n_samples=8, size=SIZE, joint_set="smpl24")
RESNET = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)
FIELDS = {
    "rgb": Field(dtype="uint8", shape=(*SIZE, 3), kind="image"),
    "joints3d": Field(dtype="float32", shape=(24, 3), kind="joints3d", flip="smpl24"),
    "camera": Field(dtype="float32", shape=(3, 3), kind="camera"),
}
LEFT, RIGHT = (JOINT_SETS["smpl24"].names.index(f"{side} wrist") for side in ("left", "right"))


def truth_of(n: int = 6, seed: int = 0) -> Stats:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(-0.25, 0.25, (n, 24, 3)) + np.array([0, 0, 3])
    camera = np.zeros((n, 3, 3))
    camera[:, 0, 0] = camera[:, 1, 1] = rng.uniform(120, 200, n)
    camera[:, :2, 2] = [SIZE[1] / 2, SIZE[0] / 2]
    camera[:, 2, 2] = 1
    return {"joints3d": joints.astype(np.float32), "camera": camera.astype(np.float32)}


def task_of(**config: object) -> Pose3D:
    return Pose3D(Pose3DConfig(**config), INFO)  # type: ignore[arg-type]


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "pose3d.yaml").read_text())
    assert load_adapter(spec["adapter"]) is Pose3D
    assert build_config(Pose3DConfig, spec["config"], "pose3d") == Pose3DConfig()
    assert set(spec["config"]) == set(Pose3DConfig.__dataclass_fields__)


def test_truth_scores_nothing_and_millimetres_are_those_of_the_box() -> None:
    task, truth = task_of(), truth_of()
    perfect = task.oracle_prediction(truth)
    found = evaluate_task(task, perfect, truth)
    assert found == {"mpjpe": pytest.approx(0, abs=1e-3), "pa_mpjpe": pytest.approx(0, abs=1e-3)}
    deeper = perfect["joints"].copy()
    deeper[:, 1:, 2] += 4.8  # a tenth of the width behind the root
    scale = truth["joints3d"][:, 0, 2] / truth["camera"][:, 0, 0]  # metres per pixel at the root
    rays = np.linalg.norm(truth["joints3d"] / truth["joints3d"][..., 2:], axis=-1)[:, 1:]
    expected = 1000 * (4.8 * scale[:, None] * rays).sum(1) / 24
    assert evaluate_task(task, {"joints": deeper}, truth)["mpjpe"] == pytest.approx(expected.mean(), rel=1e-4)
    assert evaluate_task(task, {"joints": perfect["joints"] + [0, 0, 9]}, truth)["mpjpe"] < 1e-3


def test_joints_outside_the_crop_do_not_count() -> None:
    task, truth = task_of(), truth_of()
    truth["joints3d"][0, 5] = [2, 0, 3]
    truth["joints3d"][1, 0] = [2, 0, 3]  # a root
    rows = task.score_samples(task.oracle_prediction(truth), truth)
    assert rows["mpjpe_joints"].sum(1).tolist() == [23, 0, 24, 24, 24, 24]
    assert np.array_equal(rows["pa_mpjpe_joints"], rows["mpjpe_joints"])
    wild = task.oracle_prediction(truth)["joints"]
    wild[0, 5] += 1000
    assert evaluate_task(task, {"joints": wild}, truth)["mpjpe"] < 1e-3
    truth["joints3d"][:, 0] = [2, 0, 3]
    with pytest.raises(DataError, match="root inside"):
        evaluate_task(task, {"joints": wild}, truth)


def test_labels_that_are_no_numbers_are_named() -> None:
    task, truth = task_of(), truth_of()
    predicted = task.oracle_prediction(truth)
    truth["joints3d"][3, 7, 1] = np.nan
    with pytest.raises(DataError, match="joints3d or camera of row 3"):
        task.score_samples(predicted, truth)


def test_loss_is_the_mean_distance_inside_the_crop() -> None:
    truth = truth_of()
    truth["joints3d"][0, 5] = [2, 0, 3]
    joints, camera = (torch.from_numpy(truth[name]).double() for name in ("joints3d", "camera"))
    wanted = torch.from_numpy(_in_crop(truth, (0,))).float()
    move = torch.tensor([4.8, 0.0, 9.6])
    places = (wanted + move).requires_grad_()
    loss = volume_l1(places, joints, camera, (0,), SIZE)
    assert loss.item() == pytest.approx((0.1 + 0.2) / 3, rel=1e-4)
    (slope,) = torch.autograd.grad(loss, places)
    assert not slope[0, 5].any()
    assert slope[0, 4].any()
    outside = joints + torch.tensor([9.0, 0, 0])
    assert volume_l1(places, outside, camera, (0,), SIZE) == 0


@pytest.mark.parametrize("how", [{"flip": True}, {"rotation": 40.0}, {"flip": True, "zoom": [0.6, 0.9]}])
def test_targets_move_with_the_image_and_left_stays_left(how: dict[str, object]) -> None:
    """A mirrored crop shows the person's left wrist where the right one was; a turned one turns depth not."""
    truth = truth_of(32)
    batch = {name: torch.from_numpy(values) for name, values in truth.items()}
    batch["rgb"] = torch.zeros(32, 3, *SIZE)
    moved = augment(batch, FIELDS, how, Draws(generator=seeded("test")), joint_set="smpl24")
    before, after = _in_crop(truth, (0,)), _in_crop({k: moved[k].numpy() for k in truth}, (0,))
    crop = moved["crop"].double().numpy()
    mirrored = np.linalg.det(crop[:, :2, :2]) < 0
    assert mirrored.any() == bool(how.get("flip"))
    flip = list(JOINT_SETS["smpl24"].flip)
    same = np.where(mirrored[:, None, None], before[:, flip], before)
    places = same[..., :2] @ crop[:, :2, :2].transpose(0, 2, 1) + crop[:, None, :2, 2]
    np.testing.assert_allclose(after[..., :2], places, atol=2e-3)
    zoom = np.sqrt(np.abs(np.linalg.det(crop[:, :2, :2])))
    np.testing.assert_allclose(after[..., 2], same[..., 2] * zoom[:, None], atol=2e-3)
    # anatomy: chirality of the joints in space, which a mirror without an exchange of sides would turn round
    names = JOINT_SETS["smpl24"].names
    ends = [names.index(n) for n in ("left hip", "right hip", "neck")]
    for joints, sign in ((moved["joints3d"].numpy(), np.where(mirrored, -1, 1)),):
        a, b, c = (joints[:, k] - joints[:, 0] for k in ends)
        o, p, q = (truth["joints3d"][:, k] - truth["joints3d"][:, 0] for k in ends)
        swapped = np.where(mirrored[:, None], p, o), np.where(mirrored[:, None], o, p)
        old = np.einsum("ni,ni->n", np.cross(*swapped), q)
        np.testing.assert_allclose(np.einsum("ni,ni->n", np.cross(a, b), c), sign * old, atol=1e-5)


def test_turning_the_crop_turns_the_joints() -> None:
    truth = truth_of(16)
    batch = {name: torch.from_numpy(values) for name, values in truth.items()}
    batch["rgb"] = torch.zeros(16, 3, *SIZE)
    moved = augment(batch, FIELDS, {"rotation": 40.0}, Draws(generator=seeded("test")), joint_set="smpl24")
    crop = moved["crop"].double().numpy()[:, :2, :2]
    turned = truth["joints3d"].astype(float)
    turned[..., :2] = turned[..., :2] @ crop.transpose(0, 2, 1)
    np.testing.assert_allclose(moved["joints3d"].numpy(), turned, atol=1e-5)
    assert np.abs(turned - truth["joints3d"]).max() > 0.1


def test_mirrored_perfect_predictions_stay_perfect() -> None:
    truth = truth_of(8)
    batch = {name: torch.from_numpy(values) for name, values in truth.items()}
    batch["rgb"] = torch.zeros(8, 3, *SIZE)
    moved = augment(batch, FIELDS, {"flip": True}, Draws(generator=seeded("test")), joint_set="smpl24")
    there = {name: moved[name].numpy() for name in truth}
    task = task_of()
    assert evaluate_task(task, task.oracle_prediction(there), there)["mpjpe"] < 1e-2
    swapped = task.oracle_prediction(there)["joints"]
    swapped[:, [LEFT, RIGHT]] = swapped[:, [RIGHT, LEFT]]
    assert evaluate_task(task, {"joints": swapped}, there)["mpjpe"] > 5


def test_floor_beats_other_poses_and_ceiling_is_close_to_the_truth() -> None:
    task, seen, truth = task_of(), truth_of(64, seed=1), truth_of(32, seed=2)
    floor = evaluate_task(task, task.floor_prediction(seen, 32), truth)
    other = evaluate_task(task, {"joints": task.oracle_prediction(seen)["joints"][:32]}, truth)
    ceiling = evaluate_task(task, task.ceiling_prediction(truth, RESNET), truth)
    assert ceiling["mpjpe"] < 0.1 * floor["mpjpe"] < floor["mpjpe"] < other["mpjpe"]


def test_drawings_have_a_column_per_sample() -> None:
    task, truth = task_of(), truth_of(3)
    images = {"rgb": np.full((3, *SIZE, 3), 90, np.uint8)}
    rows = task.draw(task.oracle_prediction(truth), truth, images)
    shapes = {tile.shape for tile in rows.values()}
    assert shapes == {(3, 192, 144, 3)}
    assert np.array_equal(rows["predicted joints"], rows["true joints"])
    assert len(np.unique(rows["true joints"].reshape(-1, 3), axis=0)) >= 4  # image, left, right, middle


def test_data_without_a_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="these have none"):
        Pose3D(Pose3DConfig(), replace(INFO, joint_set=""))
    hand = replace(JOINT_SETS["coco17"], name="hand", names=("palm", "thumb"), parents=(-1, 0), flip=(0, 1))
    monkeypatch.setitem(registry.JOINT_SETS, "hand", hand)
    with pytest.raises(ConfigError, match=r"no pelvis and not both hips"):
        Pose3DConfig().check(joint_set="hand", fields=[], where="task.pose3d.config")
    with pytest.raises(ConfigError, match="no camera"):
        Pose3DConfig().check(joint_set="coco17", fields=["joints3d"], where="task.pose3d.config")
    Pose3DConfig().check(joint_set="coco17", fields=[], where="task.pose3d.config")
