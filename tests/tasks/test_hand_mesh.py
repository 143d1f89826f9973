from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.api import Batch, DataInfo, FeatureInfo, Features, Stats
from bench.bodymodels import model as models
from bench.bodymodels.hands import hand_joints
from bench.bodymodels.mean_pose import mean_hand
from bench.bodymodels.model import surrogate_body, surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.bodymodels.rotations_torch import matrix_from_6d, matrix_to_6d
from bench.errors import ConfigError, DataError
from bench.grid.registry import BUILT_IN, load
from tasks.body_mesh import BodyMeshConfig
from tasks.hand_mesh import HandMesh

INFO = DataInfo(n_samples=8, size=(48, 48), joint_set="hand21")
TOKENS = FeatureInfo(kind="tokens", channels=(8,), strides=(8,), pooled=8)
CONFIG = BodyMeshConfig(**load(BUILT_IN / "task" / "hand_mesh.yaml", "task")["config"])
TASK = HandMesh(CONFIG, INFO)
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)


def hands(count: int = 3) -> Stats:
    """Labels of random right hands before a camera of 48 pixels."""
    rng, hand = np.random.default_rng(0), surrogate_hand()
    vectors, betas = 0.3 * rng.normal(size=(count, 16, 3)), rng.normal(size=(count, 10))
    vectors[:, 0] = rng.normal(size=(count, 3))
    joints = []
    for k in range(count):
        vertices, placed, _ = hand.pose(
            *hand.shape(betas[k]), axis_angle_to_matrix(vectors[k]), [0.02, 0, 0.6]
        )
        joints.append(hand_joints(vertices.astype(np.float64), placed))
    camera = np.array([[100.0, 0, 24], [0, 100, 24], [0, 0, 1]])
    found = {"rotations": vectors, "betas": betas, "joints3d": np.stack(joints)}
    found["camera"] = camera[None].repeat(count, 0)
    return {name: values.astype(np.float32) for name, values in found.items()}


def tensors(truth: Stats) -> Batch:
    return {name: torch.from_numpy(values) for name, values in truth.items()}


def scores(predicted: Stats, truth: Stats) -> dict[str, float]:
    rows = TASK.score_samples(predicted, truth)
    return {name: float(v[0]) for name, v in TASK.aggregate(rows, np.ones((1, len(truth["betas"])))).items()}


def test_a_fresh_head_says_the_mean_hand() -> None:
    torch.manual_seed(0)
    head = TASK.head(TOKENS).eval()
    x = torch.randn(4, 9, 8)
    out = head(Features(maps=(), pooled=x.mean(1), tokens=x), (48, 48))
    assert out["pose"].shape == (4, 16, 6) and out["betas"].shape == (4, 10) and out["camera"].shape == (4, 3)
    start = mean_hand()
    wanted = torch.tensor(start.rotations, dtype=torch.float32).expand(4, 16, 3, 3)
    torch.testing.assert_close(matrix_from_6d(out["pose"]), wanted, atol=0.1, rtol=0)
    torch.testing.assert_close(out["camera"][:, 0], torch.full((4,), start.scale), atol=0.1, rtol=0)


def test_the_true_parameters_cost_nothing_but_what_a_weak_camera_cannot_see() -> None:
    truth = hands()
    oracle = tensors(TASK.oracle_prediction(truth))
    terms = TASK.loss(oracle, tensors(truth))
    assert set(terms) == {"keypoints", "joints", "pose", "shape", "camera", "vertices"}
    assert all(float(terms[name]) < 1e-4 for name in ("joints", "pose", "shape", "camera", "vertices"))
    assert float(terms["keypoints"]) < 30 * 0.05**2  # half images; perspective within the hand


def test_a_turned_finger_costs_its_joints_its_vertices_and_its_tip() -> None:
    truth, right = hands(), tensors(TASK.oracle_prediction(hands()))
    turn = torch.tensor(axis_angle_to_matrix([0.0, 0.0, 0.8]), dtype=torch.float32)
    last = right["pose"].clone()
    last[:, 3] = matrix_to_6d(turn)  # index 3 moves no joint of the model, its tip alone
    best, worse = (TASK.loss({**right, "pose": pose}, tensors(truth)) for pose in (right["pose"], last))
    for name in ("pose", "joints", "vertices"):
        assert float(worse[name]) > 2 * float(best[name]) + 1e-5, name
    assert float(worse["keypoints"]) > 1.3 * float(best["keypoints"])


def test_vertices_count_beside_the_other_terms_at_the_start() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 9, 8)
    out = TASK.head(TOKENS).eval()(Features(maps=(), pooled=x.mean(1), tokens=x), (48, 48))
    terms = {name: float(value.detach()) for name, value in TASK.loss(out, tensors(hands())).items()}
    assert 0.05 * terms["pose"] < terms["vertices"] < terms["pose"]  # neither drowns the other


def test_ceiling_is_near_perfect_and_the_floor_is_one_hand_for_all() -> None:
    truth = hands()
    best = scores(TASK.ceiling_prediction(truth, TOKENS), truth)
    floor = TASK.floor_prediction(truth, 3)
    worst = scores(floor, truth)
    assert set(best) == {metric.name for metric in TASK.metrics}
    for metric in TASK.metrics:
        if metric.higher_is_better:
            assert best[metric.name] > 0.99 and worst[metric.name] < best[metric.name] - 0.05
        else:
            assert best[metric.name] < 0.001 and worst[metric.name] > 3
    assert all((values == values[:1]).all() and len(values) == 3 for values in floor.values())
    alone = hands(1)
    assert scores(TASK.floor_prediction(alone, 1), alone)["mpvpe"] < 0.01


def test_labels_that_are_no_right_hand_are_refused_by_name() -> None:
    truth = hands()
    predicted = TASK.oracle_prediction(truth)
    bad = truth["rotations"].copy()
    bad[2, 5, 0] = np.nan
    for call in (TASK.oracle_prediction, lambda t: TASK.score_samples(predicted, t)):
        with pytest.raises(DataError, match="rotations of sample 2 of 3 hold NaN"):
            call({**truth, "rotations": bad})
    bodies = np.zeros((3, 24, 3), np.float32)
    with pytest.raises(DataError, match=r"rotations of shape \(24, 3\) do not fit surrogate-hand-v1"):
        TASK.score_samples(predicted, {**truth, "rotations": bodies})
    with pytest.raises(DataError, match=r"rotations of shape \(24, 3\) do not fit surrogate-hand-v1"):
        TASK.loss(tensors(predicted), tensors({**truth, "rotations": bodies}))
    left = {**truth, "joints3d": truth["joints3d"] * MIRROR, "rotations": truth["rotations"] * -MIRROR}
    with pytest.raises(DataError, match=r"joints3d of sample 0 of 3 .* is it a left one"):
        TASK.score_samples(predicted, left)
    unknown = truth["joints3d"].copy()
    unknown[1, 4] = np.nan
    with pytest.raises(DataError, match="joints3d of sample 1 of 3"):
        TASK.score_samples(predicted, {**truth, "joints3d": unknown})


def test_other_data_and_other_models_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="joints hand21; these have smpl24"):
        HandMesh(BodyMeshConfig(), DataInfo(n_samples=8, size=(48, 48), joint_set="smpl24"))
    for model, error in (
        (surrogate_body(), "surrogate-v1 has 24 joints, its mean pose 16"),
        (replace(surrogate_hand(), landmarks={}), "surrogate-hand-v1 has 16 joints and the landmarks none"),
    ):
        monkeypatch.setattr(HandMesh, "body_model", lambda self, model=model: model)
        with pytest.raises((ConfigError, DataError), match=error):
            HandMesh(BodyMeshConfig(), INFO)
    assert models.surrogate_hand().name == "surrogate-hand-v1"


def test_the_mesh_is_drawn_where_the_hand_is() -> None:
    truth = hands(1)
    images = {"rgb": np.zeros((1, 48, 48, 3), np.uint8)}
    rows = TASK.draw(TASK.oracle_prediction(truth), truth, images)
    true, found = ((rows[f"{name} mesh"][0] > 0).any(-1) for name in ("true", "predicted"))
    assert true.shape == (240, 240) and 0.02 < true.mean() < 0.6
    assert (true & found).sum() > 0.8 * (true | found).sum()


def test_lengths_count_in_tenths_of_a_metre() -> None:
    truth, right = hands(), tensors(TASK.oracle_prediction(hands()))
    grown = tensors(truth)
    grown["joints3d"][:, 1:, 0] += 0.02  # all joints but the wrist, 0.2 units
    term = TASK.loss(right, grown)["joints"]
    assert float(term) == pytest.approx(CONFIG.joints_weight * 0.2**2 * 20 / 21 / 3, rel=1e-3)
    assert ((right["camera"][:, 0] > 0.3) & (right["camera"][:, 0] < 3)).all()  # half images per 0.1 m
