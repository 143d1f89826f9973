from __future__ import annotations

import numpy as np
import pytest
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import DataError
from bench.grid.request import BUILT_IN
from tasks.pose2d import Pose2D, Pose2DConfig
from tasks.pose2d_pckh import GROUPS, Pose2DPCKh

SIZE = (64, 64)
MPII = DataInfo(n_samples=8, size=SIZE, joint_set="mpii16")
PEOPLE = DataInfo(n_samples=8, size=SIZE, joint_set="smpl24")
TASK = Pose2DPCKh(Pose2DConfig(), MPII)
NAMES = JOINT_SETS["mpii16"].names
PELVIS, THORAX, NECK, TOP = (NAMES.index(n) for n in ("pelvis", "thorax", "upper neck", "head top"))
ANKLES, ELBOW = [NAMES.index("left ankle"), NAMES.index("right ankle")], NAMES.index("right elbow")


def truth_of(n: int = 3, zoom: float = 0.25) -> dict[str, np.ndarray]:
    """People whose joints lie at whole pixels of the crop, of head size 16 in the picture."""
    rng = np.random.default_rng(0)
    places = rng.integers(8, 56, (n, 16, 2))
    matrix = np.tile(np.array([[zoom, 0, -32], [0, zoom, 8], [0, 0, 1]], np.float32), (n, 1, 1))
    return {
        "keypoints": np.concatenate([places, np.ones((n, 16, 1))], -1).astype(np.float32),
        "crop_matrix": matrix,
        "head_size": np.full(n, 16, np.float32),
    }


def scores(predicted: np.ndarray, truth: dict[str, np.ndarray], task: Pose2D = TASK) -> dict[str, float]:
    rows = task.score_samples({"keypoints": predicted}, truth)
    return {k: v.item() for k, v in task.aggregate(rows, np.ones((1, len(predicted)))).items()}


def test_yaml_fits_the_code_and_differs_from_pose2d_in_scores_and_data_alone() -> None:
    spec, other = (
        yaml.safe_load((BUILT_IN / "task" / f"{n}.yaml").read_text()) for n in ("pose2d_pckh", "pose2d")
    )
    assert load_adapter(spec["adapter"]) is Pose2DPCKh
    assert build_config(Pose2DPCKh.Config, spec["config"], "pose2d_pckh") == Pose2DConfig()
    apart = {key for key in spec | other if spec.get(key) != other.get(key)}
    assert apart == {"summary", "adapter", "score_version", "data"}
    assert list(spec["data"]) == ["people", "mpii"]
    assert TASK.metrics[0].name == "pckh" and TASK.extras == ("head_size", "crop_matrix")


@pytest.mark.parametrize("info", [MPII, PEOPLE])
def test_exactly_on_the_truth_is_flawless(info: DataInfo) -> None:
    task = Pose2DPCKh(Pose2DConfig(), info)
    truth = truth_of()
    if info is PEOPLE:
        rng = np.random.default_rng(1)
        truth = {"keypoints": np.concatenate([rng.uniform(0, 64, (3, 24, 3)), np.ones((3, 24, 1))], -1)}
        assert task.extras == ()
    predicted = task.oracle_prediction(truth)["keypoints"]
    names = [metric.name for metric in task.metrics]
    assert scores(predicted, truth, task) == dict.fromkeys(names, 100.0)
    assert names == ["pckh", "pckh_01", *(f"pckh_{group}" for group in GROUPS)]


def test_reach_is_half_the_stored_head_in_pixels_of_the_picture() -> None:
    """Head 16: reach 8 in the picture, 2 in the crop, which is four times smaller."""
    truth = truth_of(1)
    joints = TASK.oracle_prediction(truth)["keypoints"]
    for far, found, strict in ((2.0, 100, 0), (2.001, 0, 0), (0.4, 100, 100), (0.401, 100, 0)):
        moved = joints.copy()
        moved[..., 1] -= np.float32(far)
        if far == 0.4:  # no binary number: 1.6 in the picture but for rounding
            moved[..., 1] += np.float32(1e-5)
        values = scores(moved, truth)
        assert (values["pckh"], values["pckh_01"]) == (found, strict), far
    truth["head_size"][:] = 15.99
    moved = joints.copy()
    moved[..., 0] += 2
    assert scores(moved, truth)["pckh"] == 0


def test_without_a_stored_head_it_is_neck_to_top_in_the_picture() -> None:
    truth = truth_of(2)
    truth["head_size"][:] = 0
    truth["keypoints"][:, NECK, :2], truth["keypoints"][:, TOP, :2] = (
        (20, 30),
        (20, 26),
    )  # 16 there
    truth["keypoints"][1, TOP, 2] = 0  # the second one's is not known
    joints = TASK.oracle_prediction(truth)["keypoints"]
    for far, found in ((2.0, 100), (2.001, 0)):
        moved = joints.copy()
        moved[0, :, 0] += np.float32(far)
        moved[1] = 0
        assert scores(moved, truth)["pckh"] == found


def test_mean_weights_joints_by_labels_and_leaves_pelvis_and_thorax_out() -> None:
    """By hand: three people, 14 joints that count, two ankles of one person not labelled."""
    truth = truth_of(3)
    truth["keypoints"][2, ANKLES] = 0
    predicted = TASK.oracle_prediction(truth)["keypoints"].copy()
    predicted[:, [PELVIS, THORAX]] = 0  # missed, and not scored
    predicted[0, ANKLES[0], 0] += 30
    predicted[:2, ELBOW, 1] += 30
    values = scores(predicted, truth)
    assert values["pckh"] == pytest.approx(100 * (3 * 14 - 2 - 3) / (3 * 14 - 2))
    assert values["pckh_ankle"] == pytest.approx(75)  # of one ankle 1 of 2, of the other 2 of 2
    assert values["pckh_elbow"] == pytest.approx(100 * (1 / 3 + 1) / 2)
    assert values["pckh_head"] == 100
    rows = TASK.score_samples({"keypoints": predicted}, truth)
    twice = TASK.aggregate(rows, np.array([[2.0, 0, 1], [0, 1, 0]]))
    assert twice["pckh"].tolist() == pytest.approx([100 * (40 - 4) / 40, 100 * 13 / 14])


def test_agrees_with_the_usual_script_which_counts_pixels_from_one() -> None:
    """Predictions in pixel numbers from 0, plus 1, against joints in pixel numbers from 1, by MPII's rule."""
    rng = np.random.default_rng(2)
    truth = truth_of(40, zoom=0.3)
    truth["keypoints"][..., 2] = rng.random((40, 16)) < 0.8
    truth["head_size"] = rng.uniform(10, 40, 40).astype(np.float32)
    predicted = TASK.oracle_prediction(truth)["keypoints"].copy()
    predicted[..., :2] += rng.normal(0, 2, (40, 16, 2)).astype(np.float32)

    def numbers(places: np.ndarray, first: float) -> np.ndarray:  # of pixels
        matrix = truth["crop_matrix"].astype(float)
        return (places - matrix[:, None, :2, 2]) / matrix[:, :1, :1] - 0.5 + first

    listed = numbers(truth["keypoints"][..., :2], 1)  # pos_gt_src
    found = numbers(predicted[..., :2], 0) + 1
    apart = np.linalg.norm(found - listed, axis=2) / truth["head_size"][:, None]  # (N, 16)
    seen = truth["keypoints"][..., 2] > 0
    share = 100 * ((apart <= 0.5) & seen).sum(0) / seen.sum(0)
    weight = np.where(np.isin(np.arange(16), (6, 7)), 0, seen.sum(0))
    expected = (share * weight).sum() / weight.sum()
    values = scores(predicted, truth)
    assert 20 < expected < 90
    assert values["pckh"] == pytest.approx(expected)
    assert values["pckh_knee"] == pytest.approx((share[1] + share[4]) / 2)
    assert values["pckh_head"] == pytest.approx(share[9])


def test_nothing_to_count_is_one_line_and_a_group_without_labels_has_no_number() -> None:
    truth = truth_of()
    joints = TASK.oracle_prediction(truth)["keypoints"]
    truth["keypoints"][:, ANKLES, 2] = 0
    assert np.isnan(scores(joints, truth)["pckh_ankle"])
    truth["keypoints"][..., 2] = 0
    with pytest.raises(DataError, match="no joint of the test samples is labelled beside a head size"):
        scores(joints, truth)
