from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.metrics.hand_mesh import f_scores, hand_errors, pck_area

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
LENGTHS = ("pa_mpjpe", "pa_mpvpe", "mpjpe", "mpvpe")
SHARES = ("f5", "f15", "auc", "auc_mesh")


def hands(noise: float = 0.006) -> Arrays:
    """Predicted and true vertices of two hands (V = 60), then their joints (J = 21), metres."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 81, 3)) * (0.09, 0.05, 0.02)
    found = truth + noise * rng.normal(size=truth.shape)
    return found[:, 21:], truth[:, 21:], found[:, :21], truth[:, :21]


def brute_f(found: np.ndarray, wanted: np.ndarray, reach: float) -> float:
    """F-score from all distances."""
    near = np.array([[np.sqrt(((p - q) ** 2).sum()) < reach for q in wanted] for p in found])
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def aligned_without_guard(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """FreiHAND's alignment: centre, scale to norm 1, orthogonal Procrustes, back; reflections allowed."""
    x, y = found - found.mean(0), wanted - wanted.mean(0)
    size = np.linalg.norm(y)
    turn, scale = orthogonal_procrustes(y / size, x / np.linalg.norm(x))
    moved: np.ndarray = x / np.linalg.norm(x) @ turn.T * scale * size + wanted.mean(0)
    return moved


def test_a_perfect_hand_scores_best_wherever_it_stands() -> None:
    _, truth, _, joints = hands()
    move = np.array([0.3, -0.2, 0.7])
    found = hand_errors(truth + move, truth, joints + move, joints)
    for name in LENGTHS:
        np.testing.assert_allclose(found[name], 0, atol=1e-9)
    for name in SHARES:
        # the threshold 0 counts what is right to the last bit alone
        np.testing.assert_allclose(found[name], 1, atol=0.0051)
        np.testing.assert_allclose(found[f"pa_{name}"], 1, atol=0.0051)
    exact = hand_errors(truth, truth, joints, joints)
    assert all((exact[name] == 1).all() for name in SHARES)


def test_a_hand_that_is_nowhere_near_has_no_share_of_anything() -> None:
    _, truth, _, joints = hands()
    far = np.concatenate([joints[:, :1], joints[:, 1:] + 3], 1)
    found = hand_errors(truth * 50, truth, far, joints)
    assert (found["f15"] < 0.1).all() and (found["auc_mesh"] < 0.05).all()
    np.testing.assert_allclose(found["auc"], 1 / 21, atol=1e-3)  # the wrist is always in place
    point = np.zeros_like(truth)  # a hand without extent aligns to the middle
    assert all(
        np.isfinite(values).all() for values in hand_errors(point, truth, point[:, :21], joints).values()
    )


def test_a_hand_computed_miniature() -> None:
    truth = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    off = np.array([[[0.0, 0, 0], [0.004, 0, 0], [0, 0.010, 0], [0, 0, 0.030]]])
    errors = hand_errors(truth + off, truth, truth + off, truth)
    assert errors["mpjpe"] == pytest.approx([11.0]) and errors["mpvpe"] == pytest.approx([11.0])
    assert errors["f5"] == pytest.approx([0.5]) and errors["f15"] == pytest.approx([0.75])
    # 4 points that are correct from 0, 4, 10 and 30 mm on: 1/4 (50 + 46 + 40 + 20) / 50
    assert errors["auc"] == pytest.approx([156 / 200], abs=0.003)


def test_f_scores_by_hand() -> None:
    line = np.arange(4.0)[None, :, None] * (1, 0, 0)
    part = line[:, :1] + np.array([0.2, 0, 0])  # one point near the first of four
    precision, recall = 1.0, 0.25
    assert f_scores(part, line, [0.5])[0] == pytest.approx(2 * precision * recall / (precision + recall))
    assert f_scores(line + np.array([0, 9, 0]), line, [0.5, 20.0]).tolist() == [[0.0, 1.0]]
    assert f_scores(line + np.array([0, 0.5, 0]), line, [0.5]).tolist() == [
        [0.0]
    ]  # closer than, not as close as
    assert f_scores(line[:, ::-1], line, [0.5]).tolist() == [[1.0]]  # points need not correspond
    assert f_scores(np.zeros((0, 4, 3)), np.zeros((0, 4, 3))).shape == (0, 2)


def test_areas_by_hand() -> None:
    assert pck_area([[0.0, 0.0], [25.0, 25.0], [60.0, 60.0], [0.0, 60.0]]) == pytest.approx(
        [1.0, 0.5, 0.0, 0.5], abs=0.006
    )
    assert pck_area([[1.0]], farthest=2.0, thresholds=3) == pytest.approx([(0 + 1) / 2 / 2 + (1 + 1) / 2 / 2])


def test_agrees_with_brute_force_and_another_procrustes() -> None:
    found, truth, joints, true_joints = hands()
    errors = hand_errors(found, truth, joints, true_joints)
    assert set(errors) == {*LENGTHS, *SHARES, *(f"pa_{name}" for name in SHARES)}
    limits = np.linspace(0, 50, 100)
    for n in range(2):
        wrist, true_wrist = joints[n, 0], true_joints[n, 0]
        mesh, true_mesh = found[n] - wrist, truth[n] - true_wrist
        places, true_places = joints[n] - wrist, true_joints[n] - true_wrist
        for prefix in ("", "pa_"):
            if prefix:
                mesh = aligned_without_guard(mesh, true_mesh)
                places = aligned_without_guard(places, true_places)
            gaps = np.array([1000 * np.linalg.norm(a - b) for a, b in zip(places, true_places, strict=True)])
            mesh_gaps = np.array([1000 * np.linalg.norm(a - b) for a, b in zip(mesh, true_mesh, strict=True)])
            assert errors[f"{prefix}mpjpe"][n] == pytest.approx(gaps.mean())
            assert errors[f"{prefix}mpvpe"][n] == pytest.approx(mesh_gaps.mean())
            for reach in (5, 15):
                wanted = brute_f(mesh, true_mesh, reach / 1000)
                assert errors[f"{prefix}f{reach}"][n] == pytest.approx(wanted)
            for name, values in (("auc", gaps), ("auc_mesh", mesh_gaps)):
                curve = [float((values <= limit).mean()) for limit in limits]
                area = sum((a + b) / 2 for a, b in pairwise(curve)) / 99
                assert errors[prefix + name][n] == pytest.approx(area)


def test_aligned_scores_ignore_similarities_and_no_mirror() -> None:
    found, truth, joints, true_joints = hands()
    plain = hand_errors(found, truth, joints, true_joints)
    turn = axis_angle_to_matrix([0.3, -1.2, 2.0]).T
    moved = hand_errors(2.5 * found @ turn + 3.0, truth, 2.5 * joints @ turn + 3.0, true_joints)
    for name in plain:
        if name.startswith("pa_"):
            np.testing.assert_allclose(moved[name], plain[name], rtol=1e-9)
    assert (moved["mpjpe"] > 2 * plain["mpjpe"]).all() and (moved["f15"] < plain["f15"]).all()
    mirrored = hand_errors(truth * [-1, 1, 1], truth, true_joints * [-1, 1, 1], true_joints)
    assert (mirrored["pa_mpvpe"] > 5).all() and (mirrored["pa_mpjpe"] > 5).all()
    np.testing.assert_allclose(aligned_without_guard(truth[0] * [-1, 1, 1], truth[0]), truth[0], atol=1e-9)


def test_each_hand_is_scored_on_its_own() -> None:
    given = hands()
    together = hand_errors(*given)
    for n in range(2):
        alone = hand_errors(*(part[n : n + 1] for part in given))
        assert all(alone[name][0] == pytest.approx(together[name][n], rel=1e-12) for name in together)
