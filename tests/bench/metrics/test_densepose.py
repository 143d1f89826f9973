from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.densepose import (
    AUC_LIMITS_M,
    KAPPA_M,
    SHARE_LIMITS_M,
    auc,
    geodesic_errors,
    gps,
    part_kappas,
    point_statistics,
)
from bench.metrics.surface import SurfaceDistance

NONE = np.nan


def square(side: float = 1.0) -> SurfaceDistance:
    """A flat chart 1 of side 1 m (u to the right, v up) and nothing else."""
    corners = np.array([[0, 0, 0], [side, 0, 0], [side, side, 0], [0, side, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return SurfaceDistance(
        corners,
        faces,
        [1, 1],
        corners[faces][..., :2] / side,
        lambda a, b: np.linalg.norm(corners[a] - corners[b], axis=-1),
    )


def test_auc_is_the_integral_of_the_share_within() -> None:
    errors = np.append(np.random.default_rng(0).gamma(1.0, 0.1, 400), [np.inf] * 20)
    for limit in AUC_LIMITS_M.values():
        grid = (np.arange(20_000) + 0.5) * limit / 20_000
        share = (errors[:, None] <= grid).mean(0)
        assert auc(errors, limit).mean() == pytest.approx(share.mean(), abs=1e-4)


@given(st.lists(st.floats(0, 2) | st.just(np.inf), min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_auc_does_not_fall_with_its_limit(errors: list[float], a: float, b: float) -> None:
    assert auc(errors, min(a, b)).mean() <= auc(errors, max(a, b)).mean() + 1e-12


def test_gps_values() -> None:
    assert gps(0.3)[()] == pytest.approx(0.5, abs=0.001)  # why the constant is 0.255
    assert gps(KAPPA_M)[()] == pytest.approx(np.exp(-0.5))
    assert part_kappas([1, 3, 5, 7, 11, 15, 19, 23]).tolist() == [
        0.351, 0.107, 0.126, 0.237, 0.173, 0.142, 0.128, 0.150
    ]  # fmt: skip


def test_three_persons_by_hand() -> None:
    errors = np.array([[0.0, 0.15, np.inf], [0.05, NONE, NONE], [NONE, NONE, NONE]])
    stats = point_statistics(errors, np.isinf(errors))
    assert {name: rows.tolist() for name, rows in stats.items()} == {
        "points": [3, 1, 0],
        "persons": [1, 1, 0],
        "auc30": pytest.approx([1.5, 1 - 0.05 / 0.3, 0]),
        "auc10": pytest.approx([1, 0.5, 0]),
        "f_5cm": [1, 1, 0],
        "f_10cm": [1, 1, 0],
        "f_20cm": [2, 1, 0],
        "background": [1, 0, 0],
        "gps": pytest.approx(
            [(1 + np.exp(-(0.15**2) / (2 * 0.255**2))) / 3, np.exp(-(0.05**2) / 0.13005), 0]
        ),
        "macro_auc30": pytest.approx([0.5, 1 - 0.05 / 0.3, 0]),
    }


def test_best_and_worst() -> None:
    best = point_statistics(np.zeros((2, 4)), np.zeros((2, 4), bool), part_kappas(np.full((2, 4), 7)))
    assert all(best[n].tolist() == [4, 4] for n in (*AUC_LIMITS_M, *SHARE_LIMITS_M))
    assert best["gps"].tolist() == best["macro_auc30"].tolist() == [1, 1]
    lost = np.full((2, 4), np.inf)
    worst = point_statistics(lost, np.isinf(lost))
    assert not any(worst[n].any() for n in (*AUC_LIMITS_M, *SHARE_LIMITS_M, "gps", "macro_auc30"))
    assert worst["background"].tolist() == [4, 4]


def test_errors_are_read_at_the_pixels_of_the_points() -> None:
    iuv = np.zeros((2, 3, 4, 5), np.uint8)
    iuv[0, :, 2, 3] = (1, 51, 255)
    iuv[1, :, 0, 4] = (1, 0, 0)
    truth = {
        "points": np.array([[[2, 3], [1, 1], [-1, -1]], [[0, 4], [-1, -1], [-1, -1]]], np.int16),
        "point_chart": np.array([[1, 1, 0], [1, 0, 0]], np.uint8),
        "point_uv": np.array([[[51, 204], [9, 9], [0, 0]], [[153, 204], [0, 0], [0, 0]]], np.uint8),
    }
    errors = geodesic_errors(iuv, truth, square())
    expected = [[0.2, np.inf, NONE], [1.0, NONE, NONE]]  # 51 steps of 1/255 are 20 cm; a 3-4-5 triangle
    np.testing.assert_allclose(errors, expected, atol=1e-6)


def test_no_points_at_all() -> None:
    truth = {
        "points": np.full((2, 3, 2), -1, np.int16),
        "point_chart": np.zeros((2, 3), np.uint8),
        "point_uv": np.zeros((2, 3, 2), np.uint8),
    }
    errors = geodesic_errors(np.zeros((2, 3, 4, 5), np.uint8), truth, square())
    assert np.isnan(errors).all()
    assert not any(rows.any() for rows in point_statistics(errors, np.isinf(errors)).values())
