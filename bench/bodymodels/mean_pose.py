"""The mean poses of people and of hands, from which regressors of pose and shape start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.joints import joint_set
from bench.bodymodels.rotations import axis_angle_to_matrix

# Axis-angle of the left side, radians; the right side mirrors it, joints that are not named are straight.
# Measured on the training people of domain d_mesh (mean rotation matrices, made orthogonal, rounded).
LEFT = {
    "left hip": (-0.50, 0.00, 0.12),
    "left knee": (0.69, 0.00, 0.00),
    "left shoulder": (-0.16, -0.35, -0.99),
    "left elbow": (0.02, -0.76, 0.00),
    "left hand": (0.00, 0.00, -0.28),
}
UPRIGHT = (np.pi, 0.0, 0.0)  # of the root in the frame of the camera: the body faces it, feet down
SCALE = 1.4  # of the weak-perspective camera, as measured there: half images per metre

# Of a right hand; measured in the same way on the training hands of source d_hand, whose fingers point up.
HAND = {
    "wrist": (2.21, 2.22, 0.14),
    "index 1": (0.06, 0.08, 0.44), "index 2": (0.05, 0.00, 0.52), "index 3": (0.03, 0.00, 0.33),
    "middle 1": (0.01, 0.00, 0.59), "middle 2": (0.01, 0.00, 0.69), "middle 3": (0.01, 0.00, 0.43),
    "little 1": (-0.14, -0.07, 0.83), "little 2": (-0.14, 0.00, 0.99), "little 3": (-0.09, 0.00, 0.62),
    "ring 1": (-0.06, -0.02, 0.87), "ring 2": (-0.06, 0.00, 1.05), "ring 3": (-0.04, 0.00, 0.66),
    "thumb 1": (0.51, -0.17, -0.04), "thumb 2": (0.16, -0.15, 0.11), "thumb 3": (0.21, -0.20, 0.15),
}  # fmt: skip
HAND_SCALE = 1.0  # of the weak-perspective camera, as measured there: half images per 10 cm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanState:
    """Where a regressor starts; the mean shape and no shift go without saying."""

    rotations: NDArray[np.float64]  # local, the first one in the frame of the camera, (J, 3, 3)
    scale: float  # of the weak-perspective camera, half images per unit of length, which tasks choose


def mean_body() -> MeanState:
    """Return the mean pose of the 24 joints before a camera that sees the whole body."""
    return MeanState(rotations=mean_rotations(), scale=SCALE)


def mean_hand() -> MeanState:
    """Return the mean pose of a right hand's 16 joints before a camera that sees it whole."""
    vectors = [HAND[name] for name in joint_set("mano16").names]
    return MeanState(rotations=axis_angle_to_matrix(np.array(vectors)), scale=HAND_SCALE)


def mean_rotations() -> NDArray[np.float64]:
    """Return local rotations of the 24 joints, the first one in the frame of the camera, (24, 3, 3)."""
    joints = joint_set("smpl24")
    vectors = np.zeros((len(joints), 3))
    vectors[0] = UPRIGHT
    for name, vector in LEFT.items():
        place = joints.names.index(name)
        vectors[place] = vector
        vectors[joints.flip[place]] = np.array(vector) * (1, -1, -1)
    return axis_angle_to_matrix(vectors)
