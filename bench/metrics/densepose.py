"""Scores of image-to-surface correspondence, from geodesic errors at annotated points.

Errors are metres along the template surface, inf where background is predicted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.api import Stats
from bench.bodymodels.surface import DP_COARSE
from bench.metrics.surface import SurfaceDistance

Floats = NDArray[np.float64]

KAPPA_M = 0.255  # of the 2018 metric, and of any mesh but SMPL
# by coarse part: none (unused), torso, hands, feet, upper legs, lower legs, upper arms, lower arms, head
PART_KAPPAS_M: Floats = np.array([KAPPA_M, 0.351, 0.107, 0.126, 0.237, 0.173, 0.142, 0.128, 0.150])
AUC_LIMITS_M = {"auc30": 0.30, "auc10": 0.10}
SHARE_LIMITS_M = {"f_5cm": 0.05, "f_10cm": 0.10, "f_20cm": 0.20}


def auc(errors: ArrayLike, limit: float) -> Floats:
    """Area under the curve "share of points within t" for t from 0 to `limit`, over `limit`, of each point.

    The mean over points is the AUC (arXiv:1802.00434, Sec. 2): 1 at error 0, linearly down to 0 at `limit`.

    >>> auc([0.0, 0.15, 0.6, np.inf], 0.3).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    return np.maximum(0.0, 1 - np.asarray(errors, np.float64) / limit)


def gps(errors: ArrayLike, kappa: ArrayLike = KAPPA_M) -> Floats:
    """Geodesic point similarity of each point; its mean over the points of a person is that person's GPS.

    Source: arXiv:1802.00434, Sec. 2.

    Args:
        errors: metres, any shape.
        kappa: metres; a number, or one per point as from `part_kappas`.

    >>> gps([0.0, np.inf]).tolist()
    [1.0, 0.0]
    """
    similarity: Floats = np.exp(-0.5 * (np.asarray(errors, np.float64) / np.asarray(kappa, np.float64)) ** 2)
    return similarity


def part_kappas(chart: ArrayLike) -> Floats:
    """Scale of `gps` for points annotated with chart 0..24, metres, same shape."""
    return np.asarray(PART_KAPPAS_M[DP_COARSE[np.asarray(chart)]])


def geodesic_errors(iuv: NDArray[np.uint8], truth: Stats, surface: SurfaceDistance) -> Floats:
    """Distance along the surface between the annotated and the predicted place of every point.

    The prediction is read at the nearest pixel.

    Args:
        iuv: chart 0..24 (0 = background), u and v in 1/255, (N, 3, H, W).
        truth: `points` (N, P, 2) row and column, `point_chart` (N, P) with 0 = no point, `point_uv` (N, P, 2)
            in 1/255, as stored.
        surface: the body that carries the charts.

    Returns:
        Metres, (N, P): inf where background is predicted, nan where there is no point.
    """
    chart = np.asarray(truth["point_chart"])
    sample, point = np.nonzero(chart)
    place = np.rint(truth["points"][sample, point]).astype(np.intp)
    predicted = iuv[sample, :, place[:, 0], place[:, 1]].astype(np.int64)  # (M, 3)
    wanted = np.concatenate([chart[sample, point, None], truth["point_uv"][sample, point]], 1).astype(
        np.int64
    )
    distance = np.full(len(sample), np.inf)
    body = predicted[:, 0] > 0
    distance[body] = surface.between(predicted[body], wanted[body])
    errors = np.full(chart.shape, np.nan)
    errors[sample, point] = distance
    return errors


def point_statistics(errors: Floats, background: NDArray[np.bool_], kappa: ArrayLike = KAPPA_M) -> Stats:
    """Statistics of every person that add up over persons.

    Args:
        errors: metres, (N, P), nan = no such point.
        background: points where background is predicted, (N, P).
        kappa: of `gps`, a number or (N, P).

    Returns:
        (N,) each. `points` and `persons` (1 if there is any point) count; `auc30`, `auc10`, `f_5cm`,
        `f_10cm`, `f_20cm` and `background` are sums over points; `gps` and `macro_auc30` are means over the
        points of the person.
    """
    valid = ~np.isnan(errors)
    far = np.where(valid, errors, np.inf)
    count = valid.sum(1)
    stats: dict[str, NDArray[Any]] = {"points": count, "persons": (count > 0).astype(np.int64)}
    for name, limit in AUC_LIMITS_M.items():
        stats[name] = auc(far, limit).sum(1)
    for name, limit in SHARE_LIMITS_M.items():
        stats[name] = (far <= limit).sum(1)
    stats["background"] = (background & valid).sum(1)
    stats["gps"] = gps(far, kappa).sum(1) / np.maximum(1, count)
    stats["macro_auc30"] = stats["auc30"] / np.maximum(1, count)
    return stats
