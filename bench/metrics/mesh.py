"""Errors of body meshes, in millimetres: MPJPE, PA-MPJPE, MPVPE, PA-MPVPE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from bench.bodymodels.joints import regressor
from bench.bodymodels.model import BodyModel
from bench.metrics.pose3d import position_errors
from bench.metrics.procrustes import similarity_align

Floats = NDArray[np.float64]

MM = 1000.0
PELVIS = 0  # of h36m17
# Of h36m17: right ankle, knee, hip, left hip, knee, ankle, right wrist, elbow, shoulder, left shoulder,
# elbow, wrist, neck, head; what METRO and Pose2Mesh take from their regressor, whose leg order is this one
LSP14_OF_H36M17 = (3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10)


def evaluation_joints(model: BodyModel) -> sparse.csr_array:
    """Return the matrix from vertices to the pelvis and the 14 joints that are evaluated, (15, V).

    Rows are those of the body's own rules for Human3.6M's joints; the pelvis is the first.

    Raises:
        DataError: the body lacks what they need.
    """
    rows = regressor(model, "h36m17")[[PELVIS, *LSP14_OF_H36M17]]
    return sparse.csr_array(rows)


def mean_distance(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """Return the mean distance of corresponding points of each sample, (n, P, 3) each: (n,)."""
    distance: Floats = position_errors(predicted, truth).mean(-1)
    return distance


def mesh_errors(predicted: ArrayLike, truth: ArrayLike, joints: sparse.csr_array) -> dict[str, Floats]:
    """Return the errors of each sample: `pa_mpjpe`, `mpjpe`, `mpvpe` and `pa_mpvpe`, (n,) each, mm.

    Joints of both meshes come from the same matrix. MPJPE and MPVPE are measured with the pelvises in one
    place, PA-MPJPE and PA-MPVPE after a similarity of the joints, or of the vertices.

    Args:
        predicted: vertices, metres, (n, V, 3).
        truth: (n, V, 3).
        joints: (1 + J, V), the pelvis first.
    """
    found, wanted = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    parts = []
    for vertices in (found, wanted):
        placed = np.stack([joints @ one for one in vertices]) if len(vertices) else np.empty((0, 1, 3))
        parts.append((vertices - placed[:, :1], placed[:, 1:] - placed[:, :1]))
    (found, found_joints), (wanted, wanted_joints) = parts
    return {
        "pa_mpjpe": MM * mean_distance(similarity_align(found_joints, wanted_joints), wanted_joints),
        "mpjpe": MM * mean_distance(found_joints, wanted_joints),
        "mpvpe": MM * mean_distance(found, wanted),
        "pa_mpvpe": MM * mean_distance(similarity_align(found, wanted), wanted),
    }
