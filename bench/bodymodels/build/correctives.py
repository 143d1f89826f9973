"""Pose correctives that undo the volume loss of linear blend skinning.

For each joint, dual-quaternion skinning (Kavan et al. 2007) is compared with linear skinning over random
rotations; the difference, taken back to the rest pose, is fitted linearly in the rotation matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.transform import Rotation

from bench.bodymodels.build.skeleton import JOINTS, OTHER_SIDE
from bench.bodymodels.rotations import axis_angle_to_matrix, forward_kinematics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 40  # rotations per joint
RIDGE = 1e-2
SMALLEST = 2e-4  # metres; smaller entries are dropped
SHARED = 1e-3  # a vertex takes part if it hangs on the joint and on its parent by more than this
LIMITS_DEG = {
    "hip": 100, "knee": 120, "ankle": 40, "foot": 25, "spine1": 35, "spine2": 35, "spine3": 30, "neck": 40,
    "head": 40, "collar": 25, "shoulder": 95, "elbow": 120, "wrist": 60, "hand": 40,
}  # fmt: skip
REFLECT = np.array([-1.0, 1, 1])
REFLECT_MATRIX = np.outer(REFLECT, REFLECT).ravel()  # signs of a rotation matrix seen in the mirror


def fit_correctives(
    vertices: Floats, joints: Floats, weights: Floats, parents: Ints, mirror: Ints, seed: int
) -> sparse.csr_array:
    """Fit the correctives of all joints but the root.

    Args:
        vertices: mean shape, (V, 3).
        joints: its joints, (24, 3).
        weights: skin weights, (V, 24).
        parents: joint tree, (24,).
        mirror: vertex on the other side, (V,).
        seed: of the random rotations.

    Returns:
        (3V, 207), row 3 v + axis, column 9 (j - 1) + entry of `R_j - I`; mirror-symmetric.
    """
    dense = np.zeros((len(vertices), 3, len(JOINTS) - 1, 9))
    for joint in range(1, len(JOINTS)):
        other = int(OTHER_SIDE[joint])
        if other > joint:
            continue  # the right one of a pair comes second and is fitted
        support = np.flatnonzero((weights[:, joint] > SHARED) & (weights[:, parents[joint]] > SHARED))
        if len(support) == 0:
            continue
        rng = np.random.default_rng([seed, joint])
        fitted = _fit_joint(vertices[support], joints, weights[support], parents, joint, rng)
        dense[support, :, joint - 1] = fitted
        reflected = dense[mirror][:, :, joint - 1] * REFLECT[:, None] * REFLECT_MATRIX
        if other == joint:
            dense[:, :, joint - 1] = (dense[:, :, joint - 1] + reflected) / 2
        else:
            dense[:, :, other - 1] = reflected
    dense[np.abs(dense) < SMALLEST] = 0
    return sparse.csr_array(dense.reshape(3 * len(vertices), -1))


def _fit_joint(
    vertices: Floats, joints: Floats, weights: Floats, parents: Ints, joint: int, rng: np.random.Generator
) -> Floats:
    """Ridge regression of the wanted offsets (v, 3) on the nine numbers of `R - I`: (v, 3, 9)."""
    limit = np.radians(LIMITS_DEG[JOINTS[joint].split()[-1]])
    features, offsets = [], []
    for _ in range(DRAWS):
        axis = rng.normal(size=3)
        rotation = axis_angle_to_matrix(axis / np.linalg.norm(axis) * rng.uniform(0, limit))
        local = np.tile(np.eye(3), (len(joints), 1, 1))
        local[joint] = rotation
        turned, placed = forward_kinematics(local[None], joints[None], parents)
        shift = placed[0] - np.einsum("jik,jk->ji", turned[0], joints)
        blended = np.einsum("vj,jik->vik", weights, turned[0])
        linear = np.einsum("vik,vk->vi", blended, vertices) + weights @ shift
        wanted = dual_quaternion_skin(vertices, weights, turned[0], shift) - linear
        back = np.linalg.pinv(blended, rcond=0.1)  # a joint folded by 180 degrees has no inverse
        features.append((rotation - np.eye(3)).ravel())
        offsets.append(np.einsum("vik,vk->vi", back, wanted).ravel())
    design = np.array(features)  # (draws, 9)
    normal = design.T @ design + RIDGE * np.eye(9)
    solution = np.linalg.solve(normal, design.T @ np.array(offsets))  # (9, 3v)
    return solution.T.reshape(-1, 3, 9)


def dual_quaternion_skin(vertices: Floats, weights: Floats, turned: Floats, shift: Floats) -> Floats:
    """Skin with blended unit dual quaternions.

    Args:
        vertices: (V, 3).
        weights: (V, J).
        turned: rotation of each joint, (J, 3, 3).
        shift: translation of each joint, (J, 3).

    Returns:
        Posed vertices, (V, 3).
    """
    real = Rotation.from_matrix(turned).as_quat()[:, [3, 0, 1, 2]]  # (J, 4), w first
    dual = 0.5 * _multiply(np.concatenate([np.zeros((len(shift), 1)), shift], 1), real)
    strongest = real[weights.argmax(1)]  # (V, 4); flip the others to its hemisphere
    signed = weights * np.where(strongest @ real.T < 0, -1.0, 1.0)
    blended, blended_dual = signed @ real, signed @ dual
    length = np.linalg.norm(blended, axis=1, keepdims=True)
    blended, blended_dual = blended / length, blended_dual / length
    conjugate = blended * [1, -1, -1, -1]
    moved = 2 * _multiply(blended_dual, conjugate)[:, 1:]
    points = np.concatenate([np.zeros((len(vertices), 1)), vertices], 1)
    posed: Floats = _multiply(_multiply(blended, points), conjugate)[:, 1:] + moved
    return posed


def _multiply(first: Floats, second: Floats) -> Floats:
    """Quaternion product, w first, (N, 4)."""
    w, v = first[:, :1], first[:, 1:]
    x, u = second[:, :1], second[:, 1:]
    real = w * x - (v * u).sum(1, keepdims=True)
    return np.concatenate([real, w * u + x * v + np.cross(v, u)], 1)
