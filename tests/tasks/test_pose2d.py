from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from pycocotools.coco import COCO as COCODataset
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo, Encoder, FeatureInfo, Features, Pretrained
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError, DataError
from bench.grid.request import BUILT_IN
from bench.heads.heatmap import FlipTested
from bench.losses.heatmaps import gaussian_targets
from bench.metrics.detection import detection_metrics, match_rows
from bench.metrics.keypoints import box_area, oks, sigmas_of
from tasks.pose2d import Pose2D, Pose2DConfig

SIZE = (128, 96)
COCO = DataInfo(n_samples=8, size=SIZE, joint_set="coco17")
PEOPLE = DataInfo(n_samples=8, size=SIZE, joint_set="smpl24")
INFO = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)


def truth_of(info: DataInfo, n: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    joints = len(JOINT_SETS[info.joint_set])
    place = np.stack([rng.uniform(8, SIZE[1] - 8, (n, joints)), rng.uniform(8, SIZE[0] - 8, (n, joints))], -1)
    seen = rng.choice([0, 1, 2], (n, joints), p=[0.2, 0.2, 0.6])
    if info.joint_set == "smpl24":
        metres = rng.uniform(2, 4, (n, joints))
        return {
            "keypoints": np.concatenate([place, metres[..., None], seen[..., None]], -1).astype(np.float32)
        }
    matrix = np.zeros((n, 3, 3), np.float32)
    matrix[:, 0, 0] = matrix[:, 1, 1] = rng.uniform(0.3, 3, n)
    matrix[:, :2, 2] = rng.uniform(-50, 50, (n, 2))
    matrix[:, 2, 2] = 1
    return {
        "keypoints": np.concatenate([place, seen[..., None]], -1).astype(np.float32),
        "crop_matrix": matrix,
        "area": (3000 / matrix[:, 0, 0] ** 2).astype(np.float32),
    }


def scores(task: Pose2D, predicted: np.ndarray, truth: dict[str, np.ndarray]) -> dict[str, float]:
    rows = task.score_samples({"keypoints": predicted}, truth)
    assert all(len(values) == len(predicted) for values in rows.values())
    return {k: v.item() for k, v in task.aggregate(rows, np.ones((1, len(predicted)))).items()}


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "pose2d.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    assert adapter is Pose2D
    assert build_config(adapter.Config, spec["config"], "pose2d") == Pose2DConfig()
    assert set(spec["config"]) == set(Pose2DConfig.__dataclass_fields__)


@pytest.mark.parametrize("info", [COCO, PEOPLE])
def test_oracle_is_flawless(info: DataInfo) -> None:
    task, truth = Pose2D(Pose2DConfig(), info), truth_of(info)
    found = scores(task, task.oracle_prediction(truth)["keypoints"], truth)
    assert found == {metric.name: pytest.approx(100) for metric in task.metrics}
    assert task.extras == (("area", "crop_matrix") if info is COCO else ())


@pytest.mark.parametrize("info", [COCO, PEOPLE])
@pytest.mark.parametrize("decoding", ["quarter", "dark"])
def test_targets_as_outputs_give_almost_flawless_poses(info: DataInfo, decoding: str) -> None:
    task, truth = Pose2D(Pose2DConfig(decoding=decoding), info), truth_of(info)  # type: ignore[arg-type]
    joints = torch.from_numpy(truth["keypoints"])[..., [1, 0]]
    batch = {"rgb": torch.zeros(len(joints), 3, *SIZE)}
    out = {"heatmaps": gaussian_targets(joints, (32, 24), SIZE)}
    predicted = task.predict(out, batch)["keypoints"]
    assert predicted.dtype == np.float32
    seen = truth["keypoints"][..., -1] > 0
    off = np.abs(predicted[..., :2] - truth["keypoints"][..., :2])[seen]
    assert off.max() < (1.01 if decoding == "quarter" else 2)
    assert (predicted[..., 2] > 0.8).all()
    found = scores(task, predicted, truth)
    assert found["ap"] > 95
    assert found["jdr"] == 100
    labels = {**batch, "keypoints": torch.cat([joints, torch.from_numpy(seen).float()[..., None]], -1)}
    assert task.loss(out, labels)["heatmaps"].item() == 0
    assert task.loss({"heatmaps": out["heatmaps"] + 0.1}, labels)["heatmaps"].item() == pytest.approx(0.005)


def test_unlabelled_joints_cost_nothing() -> None:
    task = Pose2D(Pose2DConfig(), COCO)
    joints = torch.rand(2, 17, 3) * 90
    joints[..., 2] = 0
    batch = {"rgb": torch.zeros(2, 3, *SIZE), "keypoints": joints}
    out = {"heatmaps": torch.rand(2, 17, 32, 24, requires_grad=True)}
    loss = task.loss(out, batch)["heatmaps"]
    assert loss == 0
    loss.backward()


def test_similarity_is_that_of_the_full_picture() -> None:
    """Average precision by hand from positions in the full image, not in the crop."""
    task, truth = Pose2D(Pose2DConfig(), COCO), truth_of(COCO, n=9)
    rng = np.random.default_rng(1)
    predicted = task.oracle_prediction(truth)["keypoints"].copy()
    predicted[..., :2] += rng.normal(size=predicted[..., :2].shape) * rng.uniform(0, 6, (9, 1, 1))
    predicted[..., 2] = rng.random((9, 1))
    scale, move = truth["crop_matrix"][:, 0, 0][:, None, None], truth["crop_matrix"][:, None, :2, 2]
    there = (predicted[..., :2].astype(float) - move) / scale
    wanted = truth["keypoints"].astype(float)
    wanted[..., :2] = (wanted[..., :2] - move) / scale
    alike = oks(there[:, None], wanted[:, None], truth["area"][:, None], sigmas_of("coco17"))
    rows = match_rows(alike, predicted[:, :1, 2].astype(float), np.ones((9, 1), int))
    expected = detection_metrics(rows, np.ones((1, 9)))["ap"].item()
    assert 0.1 < expected < 0.9
    assert scores(task, predicted, truth)["ap"] == pytest.approx(100 * expected, abs=1e-6)


def test_people_without_areas_are_as_large_as_their_joints() -> None:
    task, truth = Pose2D(Pose2DConfig(), PEOPLE), truth_of(PEOPLE, n=1)
    joints = truth["keypoints"][..., [0, 1, 3]]
    far = task.oracle_prediction(truth)["keypoints"].copy()
    far[..., 0] += 0.1 * np.sqrt(box_area(joints))[:, None]
    alike = oks(far[:, None, :, :2], joints[:, None], box_area(joints)[:, None], sigmas_of("smpl24")).item()
    thresholds = np.linspace(0.5, 0.95, 10)
    assert scores(task, far, truth)["ar"] == pytest.approx(100 * (alike >= thresholds).mean())


def test_weights_are_repeated_samples() -> None:
    task, truth = Pose2D(Pose2DConfig(), COCO), truth_of(COCO)
    rng = np.random.default_rng(2)
    predicted = task.oracle_prediction(truth)["keypoints"].copy()
    predicted[..., :2] += rng.normal(size=predicted[..., :2].shape) * rng.uniform(0, 9, (6, 1, 1))
    predicted[..., 2] = rng.random((6, 1))
    rows = task.score_samples({"keypoints": predicted}, truth)
    counts = np.array([[2, 0, 1, 3, 1, 0]])
    copies = {name: np.repeat(values, counts[0], axis=0) for name, values in rows.items()}
    found = task.aggregate(rows, counts.astype(float))
    expected = task.aggregate(copies, np.ones((1, 7)))
    for metric in task.metrics:
        assert found[metric.name].shape == (1,)
        np.testing.assert_allclose(found[metric.name], expected[metric.name], rtol=1e-12)


def test_detection_rate_reaches_a_twentieth_of_the_width() -> None:
    task = Pose2D(Pose2DConfig(), replace(COCO, size=(320, 320)))
    truth = truth_of(COCO, n=2)
    truth["keypoints"][..., 2] = 2
    predicted = task.oracle_prediction(truth)["keypoints"].copy()
    predicted[0, :, 0] += 15.99
    predicted[1, :, 0] += 16.01
    assert scores(task, predicted, truth)["jdr"] == 50


class Grey(Encoder):
    feature_info = INFO

    def forward(self, x: Tensor) -> Features:
        maps = tuple(torch.nn.functional.avg_pool2d(x, s)[:, :1].expand(-1, 8, -1, -1) for s in INFO.strides)
        return Features(maps=maps, pooled=maps[-1].mean((2, 3)))


def test_networks_with_and_without_flip_test_hold_the_same_parameters() -> None:
    given = Pretrained(encoders={"rgb": Grey()})
    plain = Pose2D(Pose2DConfig(flip_test=False), COCO).network(given)
    tested = Pose2D(Pose2DConfig(), COCO).network(given)
    assert isinstance(tested, FlipTested)
    assert list(plain.state_dict()) == list(tested.state_dict())
    tested.load_state_dict(plain.state_dict())
    batch = {"rgb": torch.rand(2, 3, *SIZE)}
    found = tested.eval()(batch)["heatmaps"]
    there = plain.eval()(batch)["heatmaps"]
    back = plain({"rgb": batch["rgb"].flip(-1)})["heatmaps"].flip(-1)[:, list(JOINT_SETS["coco17"].flip)]
    torch.testing.assert_close(found, (there + back) / 2)
    assert found.shape == (2, 17, 32, 24)


@pytest.mark.parametrize(
    ("config", "info", "message"),
    [
        (Pose2DConfig(sigma=0), COCO, "sigma: got 0"),
        (Pose2DConfig(), replace(COCO, joint_set=""), "these have none"),
        (Pose2DConfig(), replace(COCO, joint_set="coco71"), 'Did you mean "coco17"'),
    ],
)
def test_wrong_settings(config: Pose2DConfig, info: DataInfo, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Pose2D(config, info)


def test_average_precision_is_that_of_cocoeval() -> None:
    """The task on crops against pycocotools on full images: areas, scores, hidden joints, empty people."""
    task, truth = Pose2D(Pose2DConfig(), COCO), truth_of(COCO, n=40, seed=3)
    truth["keypoints"][5, :, 2] = 0  # a person without labelled joints is ignored
    truth["keypoints"][truth["keypoints"][..., 2] == 0] = 0
    rng = np.random.default_rng(4)
    predicted = task.oracle_prediction(truth)["keypoints"].copy()
    predicted[..., :2] += rng.normal(size=predicted[..., :2].shape) * rng.uniform(0, 5, (40, 1, 1))
    predicted[..., 2] = rng.random((40, 17))
    found = scores(task, predicted, truth)
    back = np.linalg.inv(truth["crop_matrix"].astype(float))

    def full(places: np.ndarray) -> np.ndarray:
        return places.astype(float) @ back[:, :2, :2].transpose(0, 2, 1) + back[:, None, :2, 2]

    there, wanted = full(predicted[..., :2]), full(truth["keypoints"][..., :2])
    seen = truth["keypoints"][..., 2]
    people, answers = [], []
    for n in range(40):
        points = np.concatenate([wanted[n], seen[n][:, None]], 1)
        area = float(truth["area"][n])
        people.append(
            {"id": n + 1, "image_id": n + 1, "category_id": 1, "area": area, "iscrowd": 0,
             "bbox": [0.0, 0.0, 1.0, 1.0], "keypoints": points.ravel().tolist(),
             "num_keypoints": int((seen[n] > 0).sum())}
        )  # fmt: skip
        points = np.concatenate([there[n], np.ones((17, 1))], 1)
        answers.append(
            {"image_id": n + 1, "category_id": 1, "keypoints": points.ravel().tolist(),
             "score": float(predicted[n, :, 2].astype(float).mean())}
        )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCODataset()
        coco.dataset = {
            "images": [{"id": n + 1} for n in range(40)], "annotations": people,
            "categories": [{"id": 1, "name": "person"}],
        }  # fmt: skip
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(answers), "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    expected = dict(zip(("ap", "ap50", "ap75"), judge.stats[:3], strict=True)) | {"ar": judge.stats[5]}
    assert 0.1 < expected["ap"] < 0.9
    assert {k: found[k] for k in expected} == {
        k: pytest.approx(100 * v, abs=1e-6) for k, v in expected.items()
    }


@pytest.mark.parametrize("info", [COCO, PEOPLE])
def test_floor_is_the_mean_pose_and_ceiling_the_grid(info: DataInfo) -> None:
    task, seen, truth = Pose2D(Pose2DConfig(), info), truth_of(info, 30, seed=1), truth_of(info, 8, seed=2)
    floor = task.floor_prediction(seen, 8)["keypoints"]
    assert floor.shape == (8, len(task.joints), 3)
    labelled = seen["keypoints"][:, 4, -1] > 0
    np.testing.assert_allclose(
        floor[3, 4, :2], seen["keypoints"][labelled, 4, :2].astype(float).mean(0), rtol=1e-5
    )
    ceiling = task.ceiling_prediction(truth, INFO)["keypoints"]
    off = np.abs(ceiling[..., :2] - truth["keypoints"][..., :2])[truth["keypoints"][..., -1] > 0]
    assert 0 < off.max() <= 1.01  # a quarter of a cell of four pixels
    assert scores(task, floor, truth)["ap"] < scores(task, ceiling, truth)["ap"]


def test_drawings_show_labelled_joints() -> None:
    task, truth = Pose2D(Pose2DConfig(), PEOPLE), truth_of(PEOPLE, 3)
    truth["keypoints"][2, :, -1] = 0
    images = {"rgb": np.full((3, *SIZE, 3), 100, np.uint8)}
    rows = task.draw(task.oracle_prediction(truth), truth, images)
    assert np.array_equal(rows["predicted joints"], rows["true joints"])
    assert (rows["true joints"][0] != 50).any()
    assert (rows["true joints"][2] == 50).all()


def test_no_labelled_joint_at_all_is_one_line() -> None:
    task, truth = Pose2D(Pose2DConfig(), PEOPLE), truth_of(PEOPLE, 3)
    predicted = task.oracle_prediction(truth)["keypoints"]
    truth["keypoints"][..., -1] = 0
    with pytest.raises(DataError, match="no joint of the test samples is labelled"):
        scores(task, predicted, truth)
