"""Errors of hand meshes as FreiHAND reports them: joints and vertices, F-scores, areas under PCK curves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

from bench.metrics.mesh import MM, mean_distance
from bench.metrics.pose3d import position_errors
from bench.metrics.procrustes import similarity_align

Floats = NDArray[np.float64]

REACHES = (5.0, 15.0)  # of the F-scores, mm
FARTHEST = 50.0  # mm, end of the PCK curve
THRESHOLDS = 100  # of the PCK curve, from 0 to its end


def f_scores(predicted: ArrayLike, truth: ArrayLike, reaches: ArrayLike = REACHES) -> Floats:
    """Return the harmonic mean of precision and recall of point clouds, 0..1, (n, T).

    Precision is the share of predicted points whose nearest true point is closer than a reach, recall the
    share of true points with such a predicted one. Points need not correspond.

    Args:
        predicted: (n, P, 3).
        truth: (n, Q, 3).
        reaches: in the unit of the points, (T,).
    """
    limits = np.asarray(reaches, np.float64)
    clouds = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    out = np.zeros((len(clouds[0]), len(limits)))
    for row, found, wanted in zip(out, *clouds, strict=True):
        precision, recall = (
            (_nearest(points, there, limits.max())[:, None] < limits).mean(0)
            for points, there in ((found, wanted), (wanted, found))
        )
        both = precision + recall
        np.divide(2 * precision * recall, both, out=row, where=both > 0)
    return out


def _nearest(points: Floats, there: Floats, farthest: float) -> Floats:
    """Return how far the nearest one is from each point, inf beyond `farthest`, (P, 3), (Q, 3) -> (P,)."""
    distance: Floats = cKDTree(there).query(points, distance_upper_bound=farthest)[0]
    return distance


def pck_area(errors: ArrayLike, farthest: float = FARTHEST, thresholds: int = THRESHOLDS) -> Floats:
    """Return the area under the curve of correct points over thresholds, as a share of the best: (n,).

    The trapezoidal rule on evenly spaced thresholds from 0 to `farthest`, both among them. All samples have
    the same points, so the mean over samples is the area under the curve of all points.

    Args:
        errors: distances, (n, P), in the unit of `farthest`.
        farthest: largest threshold.
        thresholds: how many.
    """
    limits = np.linspace(0, farthest, thresholds)
    correct = (np.asarray(errors, np.float64)[..., None] <= limits).mean(1)  # (n, thresholds)
    area: Floats = trapezoid(correct, limits, axis=-1) / farthest
    return area


def hand_errors(
    predicted: ArrayLike, truth: ArrayLike, joints: ArrayLike, true_joints: ArrayLike
) -> dict[str, Floats]:
    """Return the errors of each sample, (n,) each.

    `pa_mpjpe`, `pa_mpvpe`, `mpjpe`, `mpvpe` are mean distances of joints and of vertices, mm; `pa_f5`,
    `pa_f15`, `f5`, `f15` F-scores of the vertices at 5 and 15 mm; `pa_auc`, `auc` and `pa_auc_mesh`,
    `auc_mesh` the areas under the PCK curves of joints and of vertices over 0..50 mm, all 0..1. Those with
    `pa_` follow a similarity of the joints, or of the vertices; the others are measured with the wrists in
    one place.

    FreiHAND's official evaluator (eval.py of its toolbox) differs: what is not aligned it measures in the
    frame of the camera, without moving the wrist; its alignment, an orthogonal Procrustes, has no guard
    against reflections, so that a mirrored hand aligns; meshes of another number of vertices follow the
    alignment of the joints. Where no reflection fits better, its numbers after alignment are these.

    Args:
        predicted: vertices, metres, (n, V, 3).
        truth: (n, V, 3).
        joints: of the prediction, the wrist first, in the same frame as its vertices, (n, J, 3).
        true_joints: (n, J, 3).
    """
    given = [np.asarray(points, np.float64) * MM for points in (predicted, truth, joints, true_joints)]
    found, wanted = given[0] - given[2][:, :1], given[1] - given[3][:, :1]
    found_joints, wanted_joints = (points - points[:, :1] for points in given[2:])
    aligned, aligned_joints = similarity_align(found, wanted), similarity_align(found_joints, wanted_joints)
    out = {
        "pa_mpjpe": mean_distance(aligned_joints, wanted_joints),
        "pa_mpvpe": mean_distance(aligned, wanted),
        "mpjpe": mean_distance(found_joints, wanted_joints),
        "mpvpe": mean_distance(found, wanted),
    }
    for prefix, vertices, places in (("pa_", aligned, aligned_joints), ("", found, found_joints)):
        near, far = f_scores(vertices, wanted).T
        out |= {f"{prefix}f5": near, f"{prefix}f15": far}
        out[f"{prefix}auc"] = pck_area(position_errors(places, wanted_joints))
        out[f"{prefix}auc_mesh"] = pck_area(position_errors(vertices, wanted))
    return out
