"""What follows from the stored arrays of a hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix

Single = NDArray[np.float32]


def vertices(rotations: Single, betas: Single, joints3d: Single, side: int) -> Single:
    """Vertices of one hand in the frame of the camera, metres, (778, 3).

    Args:
        rotations: axis-angle, row 0 turns the hand to the camera, (16, 3).
        betas: shape coefficients, (10,).
        joints3d: camera frame, metres, row 0 is the wrist, (21, 3).
        side: 0 right, 1 left; a left hand is the mirror image of a right one.
    """
    sign = np.array([1.0, -1.0, -1.0]) if side else np.ones(3)
    model = surrogate_hand()
    posed, joints, _ = model.pose(*model.shape(betas), axis_angle_to_matrix(rotations * sign))
    around = (posed - joints[0]) * (np.array([-1.0, 1.0, 1.0]) if side else 1.0)
    found: Single = (around + joints3d[0]).astype(np.float32)
    return found
