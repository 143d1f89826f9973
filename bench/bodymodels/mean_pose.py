"""The mean pose of people, from which regressors of pose and shape start."""

from __future__ import annotations

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
