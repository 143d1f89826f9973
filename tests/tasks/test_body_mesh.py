from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Batch, DataInfo, FeatureInfo, Stats
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.bodymodels.rotations_torch import matrix_to_6d
from bench.errors import ConfigError, DataError
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from tasks.body_mesh import BodyMesh, BodyMeshConfig, MeshTask
from tasks.body_mesh_free import BodyMeshFree, BodyMeshFreeConfig
from tasks.body_mesh_pair import BodyMeshPairConfig

INFO = DataInfo(n_samples=8, size=(48, 48), joint_set="smpl24")
TOKENS = FeatureInfo(kind="tokens", channels=(8,), strides=(8,), pooled=8)
TASK = BodyMesh(BodyMeshConfig(), INFO)
FREE = BodyMeshFree(BodyMeshFreeConfig(coarse=96, widths=(8,), layers=1), INFO)


def people(count: int = 3) -> Stats:
    """Labels of random bodies before a camera of 48 pixels."""
    rng, body = np.random.default_rng(0), surrogate_body()
    vectors, betas = 0.4 * rng.normal(size=(count, 24, 3)), rng.normal(size=(count, 10))
    joints = []
    for k in range(count):
        rest = body.shape(betas[k])
        joints.append(body.pose(*rest, axis_angle_to_matrix(vectors[k]), [0.1, 0.0, 4.0])[1])
    camera = np.array([[90.0, 0, 24], [0, 90, 24], [0, 0, 1]])
    found = {"rotations": vectors, "betas": betas, "joints3d": np.stack(joints)}
    found["camera"] = camera[None].repeat(count, 0)
    return {name: values.astype(np.float32) for name, values in found.items()}


def tensors(truth: Stats) -> Batch:
    return {name: torch.from_numpy(values) for name, values in truth.items()}


def scores(task: MeshTask, predicted: Stats, truth: Stats) -> dict[str, float]:
    rows = task.score_samples(predicted, truth)
    count = len(truth["betas"])
    return {name: float(v[0]) for name, v in task.aggregate(rows, np.ones((1, count))).items()}


def test_the_true_parameters_cost_nothing_but_what_a_weak_camera_cannot_see() -> None:
    truth = people()
    oracle = tensors(TASK.oracle_prediction(truth))
    terms = TASK.loss(oracle, tensors(truth))
    assert all(float(terms[name]) < 1e-4 for name in ("joints", "pose", "shape", "camera"))
    assert float(terms["keypoints"]) < 300 * 0.05**2  # half images; perspective within the body
    full = BodyMesh(BodyMeshConfig(vertices_weight=1.0), INFO).loss(oracle, tensors(truth))
    assert float(full["vertices"]) < 1e-5


def test_each_term_sees_what_it_is_for() -> None:
    truth, right = people(), tensors(TASK.oracle_prediction(people()))
    best = TASK.loss(right, tensors(truth))
    turn = torch.tensor(axis_angle_to_matrix([0.0, 0.0, 0.3]), dtype=torch.float32)
    changes = {
        "pose": {"pose": matrix_to_6d(turn).expand(3, 24, 6)},
        "shape": {"betas": right["betas"] + 1},
        "keypoints": {"camera": right["camera"] + 0.2},
        "camera": {"camera": -right["camera"]},
    }
    for name, change in changes.items():
        worse = TASK.loss({**right, **change}, tensors(truth))
        assert float(worse[name]) > 2 * float(best[name]) + 1e-6, name
    assert float(TASK.loss({**right, "betas": right["betas"] + 1}, tensors(truth))["shape"]) == pytest.approx(
        0.06
    )


@pytest.mark.parametrize(("task", "least"), [(TASK, 0.001), (FREE, 12.0)], ids=["pose and shape", "vertices"])
def test_ceiling_is_near_zero_and_the_floor_is_one_mesh_for_all(task: MeshTask, least: float) -> None:
    truth = people()
    best = scores(task, task.ceiling_prediction(truth, TOKENS), truth)
    floor = task.floor_prediction(truth, 3)
    worst = scores(task, floor, truth)
    for name in ("pa_mpjpe", "mpjpe", "mpvpe", "pa_mpvpe"):
        assert best[name] < least
        assert worst[name] > 3 * best[name] + 10
    assert all((values == values[:1]).all() and len(values) == 3 for values in floor.values())


def test_the_floor_of_one_person_is_the_person() -> None:
    truth = people(1)
    assert scores(TASK, TASK.floor_prediction(truth, 1), truth)["mpvpe"] < 0.01


def test_flawless_points_cost_no_more_than_upsampling() -> None:
    truth = people()
    coarse, _, root, joints = FREE.placed(
        *(
            tensors(truth)["betas"],
            torch.tensor(axis_angle_to_matrix(truth["rotations"]), dtype=torch.float32),
        )
    )
    out = {
        "points": torch.cat([joints, coarse], 1) - root,
        "camera": tensors(FREE.oracle_prediction(truth))["camera"],
    }
    terms = FREE.loss(out, tensors(truth))
    assert float(terms["joints"]) < 1000 * 0.01 and float(terms["vertices"]) < 33 * 0.01
    worse = FREE.loss({**out, "points": out["points"] * 1.2}, tensors(truth))
    assert all(float(worse[name]) > 2 * float(terms[name]) for name in ("joints", "vertices"))


def test_labels_that_are_no_body_are_refused_by_name() -> None:
    truth = people()
    predicted = TASK.oracle_prediction(truth)
    bad = truth["betas"].copy()
    bad[1, 2] = np.nan
    with pytest.raises(DataError, match="betas of sample 1 of 3 hold NaN"):
        TASK.score_samples(predicted, {**truth, "betas": bad})
    hands = np.zeros((3, 52, 3), np.float32)
    with pytest.raises(DataError, match=r"rotations of shape \(52, 3\) do not fit surrogate-v1"):
        TASK.score_samples(predicted, {**truth, "rotations": hands})
    with pytest.raises(ConfigError, match="joints smpl24; these have coco17"):
        BodyMesh(BodyMeshConfig(), DataInfo(n_samples=8, size=(48, 48), joint_set="coco17"))


def test_settings_are_checked_at_planning() -> None:
    with pytest.raises(ConfigError, match=r"here: meshes need the field betas"):
        BodyMeshConfig().check(fields=["rotations"], augment={"flip": True}, where="here")
    with pytest.raises(ConfigError, match="no multiple of the 4 heads"):
        BodyMeshFreeConfig(widths=(10,))
    with pytest.raises(ConfigError, match="decoder_width 100"):
        BodyMeshPairConfig(decoder_width=100)


def test_the_mesh_is_drawn_where_the_person_is() -> None:
    truth = people(1)
    images = {"rgb": np.zeros((1, 48, 48, 3), np.uint8)}
    rows = TASK.draw(TASK.oracle_prediction(truth), truth, images)
    true, found = ((rows[f"{name} mesh"][0] > 0).any(-1) for name in ("true", "predicted"))
    assert true.shape == (240, 240) and 0.02 < true.mean() < 0.6
    assert (true & found).sum() > 0.8 * (true | found).sum()


def test_only_tasks_with_pairs_have_them_in_their_keys(tmp_path: Path) -> None:
    words = Words(methods="scratch", tasks="body_mesh,body_mesh_pair", encoders="vit_d96")
    steps = {cell.task: cell.step for cell in expand(resolve(words)).cells}
    specs = {name: step.inputs[0].inputs[0].spec for name, step in steps.items() if step}
    assert "pairs" not in specs["body_mesh"] and specs["body_mesh_pair"]["pairs"] == ["view", "pose"]
