from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from bench.metrics.pose3d import aligned_rows, mean_error, root_relative_rows

ROOT = (0,)


def people(n: int = 6, joints: int = 17) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, joints, 3)) * 300 + [0, 0, 4000]
    counted = rng.random((n, joints)) < 0.8
    counted[:, 0] = True
    return truth + rng.normal(size=truth.shape) * 60, truth, counted


def value(rows: dict[str, np.ndarray]) -> float:
    return mean_error(rows["error"].sum(0), rows["joints"].sum(0)).item()


def test_three_people_by_hand() -> None:
    truth = np.zeros((3, 2, 3))
    truth[:, 1] = [0, 100, 0]
    found = truth.copy()
    found[0] += 1000  # moved as a whole: no error
    found[1, 1] += [30, 40, 0]  # 50 mm
    found[2, 0] += [0, 0, 20]  # the root moves: the other joint is 20 mm off
    rows = root_relative_rows(found, truth, np.ones((3, 2), bool), ROOT)
    np.testing.assert_allclose(rows["error"], [[0, 0], [0, 50], [0, 20]], atol=1e-12)
    assert value(rows) == pytest.approx(70 / 6)


def test_loops_over_people_agree() -> None:
    found, truth, counted = people()
    plain, aligned = [], []
    for p, t, c in zip(found, truth, counted, strict=True):
        plain += np.linalg.norm((p - p[0]) - (t - t[0]), axis=1)[c].tolist()
        x, y = p[c] - p[c].mean(0), t[c] - t[c].mean(0)
        turn, spread = orthogonal_procrustes(x, y)
        assert np.linalg.det(turn) > 0
        aligned += np.linalg.norm(spread / (x**2).sum() * x @ turn - y, axis=1).tolist()
    assert value(root_relative_rows(found, truth, counted, ROOT)) == pytest.approx(np.mean(plain))
    assert value(aligned_rows(found, truth, counted)) == pytest.approx(np.mean(aligned))


def test_disparity_is_that_of_scipy() -> None:
    found, truth, _ = people()
    rows = aligned_rows(found, truth, np.ones(found.shape[:2], bool))
    for k in range(len(found)):
        _, _, disparity = procrustes(truth[k], found[k])
        size = ((truth[k] - truth[k].mean(0)) ** 2).sum()
        assert (rows["error"][k] ** 2).sum() / size == pytest.approx(disparity)


def test_invariances() -> None:
    found, truth, counted = people()
    plain = root_relative_rows(found, truth, counted, ROOT)
    moved = root_relative_rows(found + 500, truth - 70, counted, ROOT)
    np.testing.assert_allclose(moved["error"], plain["error"])
    aligned = aligned_rows(found, truth, counted)
    similar = aligned_rows(3 * found @ Rotation.random(rng=0).as_matrix() + 9, truth, counted)
    np.testing.assert_allclose(similar["error"], aligned["error"], atol=1e-6)
    mirrored = aligned_rows(truth * [-1, 1, 1], truth, counted)
    assert value(mirrored) > 100
    assert value(aligned) < value(plain)


def test_what_does_not_count_changes_nothing() -> None:
    found, truth, counted = people()
    wild = np.where(counted[..., None], found, 1e6)
    for rows, other in (
        (root_relative_rows(found, truth, counted, ROOT), root_relative_rows(wild, truth, counted, ROOT)),
        (aligned_rows(found, truth, counted), aligned_rows(wild, truth, counted)),
    ):
        np.testing.assert_allclose(rows["error"], other["error"], atol=1e-6)
    counted[0, 0] = False
    assert not root_relative_rows(found, truth, counted, ROOT)["joints"][0].any()
    assert not root_relative_rows(found, truth, counted, (0, 1))["joints"][0].any()
    counted[1] = np.arange(17) < 2
    assert not aligned_rows(found, truth, counted)["joints"][1].any()
    assert np.isnan(mean_error([0.0], [0]))
