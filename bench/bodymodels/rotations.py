"""Rotations and forward kinematics in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def axis_angle_to_matrix(axis_angle: ArrayLike) -> Floats:
    """Turn axis-angle vectors into rotation matrices (Rodrigues' formula).

    Args:
        axis_angle: axis times angle in radians, (..., 3).

    Returns:
        Rotation matrices, (..., 3, 3), float64.
    """
    vector = np.asarray(axis_angle, np.float64)
    squared = np.einsum("...i,...i->...", vector, vector)[..., None, None]
    angle = np.sqrt(squared)
    small = squared < 1e-8  # Taylor series there: no division by a vanishing angle
    safe = np.where(small, 1.0, angle)
    sine = np.where(small, 1.0 - squared / 6.0, np.sin(safe) / safe)
    cosine = np.where(small, 0.5 - squared / 24.0, (1.0 - np.cos(safe)) / safe**2)
    cross = cross_matrix(vector)
    matrix: Floats = np.eye(3) + sine * cross + cosine * (cross @ cross)
    return matrix


def cross_matrix(vector: ArrayLike) -> Floats:
    """Matrix K with K @ x = vector x x; (..., 3) gives (..., 3, 3)."""
    vector = np.asarray(vector, np.float64)
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape((*x.shape, 3, 3))


def matrix_to_axis_angle(matrix: ArrayLike) -> Floats:
    """Turn rotation matrices into axis-angle vectors with angles in [0, pi].

    Goes through unit quaternions with the largest component as the pivot, so angles near pi are exact.

    Args:
        matrix: rotation matrices, (..., 3, 3).

    Returns:
        Axis times angle in radians, (..., 3), float64.
    """
    m = np.asarray(matrix, np.float64)
    flat = m.reshape(-1, 3, 3)
    trace = np.trace(flat, axis1=1, axis2=2)
    # Rows are 4 * q_k * (w, x, y, z) for k = w, x, y, z; the row with the largest q_k is the most exact.
    xx, yy, zz = flat[:, 0, 0], flat[:, 1, 1], flat[:, 2, 2]
    wx, wy, wz = flat[:, 2, 1] - flat[:, 1, 2], flat[:, 0, 2] - flat[:, 2, 0], flat[:, 1, 0] - flat[:, 0, 1]
    xy, xz, yz = flat[:, 0, 1] + flat[:, 1, 0], flat[:, 0, 2] + flat[:, 2, 0], flat[:, 1, 2] + flat[:, 2, 1]
    rows = np.stack(
        [
            np.stack([1 + trace, wx, wy, wz], -1),
            np.stack([wx, 1 + 2 * xx - trace, xy, xz], -1),
            np.stack([wy, xy, 1 + 2 * yy - trace, yz], -1),
            np.stack([wz, xz, yz, 1 + 2 * zz - trace], -1),
        ],
        1,
    )  # (N, 4, 4)
    pivot = np.einsum("nkk->nk", rows).argmax(1)
    quaternion = rows[np.arange(len(rows)), pivot]
    quaternion *= np.where(quaternion[:, :1] < 0, -1.0, 1.0)
    norm = np.linalg.norm(quaternion[:, 1:], axis=1, keepdims=True)
    angle = 2.0 * np.arctan2(norm, quaternion[:, :1])
    scale = np.where(norm > 0, angle / np.where(norm > 0, norm, 1.0), 0.0)
    vector: Floats = (quaternion[:, 1:] * scale).reshape(m.shape[:-1])
    return vector


def forward_kinematics(
    rotations: ArrayLike, joints: ArrayLike, parents: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    """Chain local rotations along the joint tree.

    Args:
        rotations: local rotation of every joint, (N, J, 3, 3).
        joints: joint positions at rest, metres, (N, J, 3).
        parents: index of the parent joint, (J,); the root is joint 0 and has -1; parents come first.

    Returns:
        Global rotations (N, J, 3, 3) and posed joint positions (N, J, 3), float64. The root stays in place.
    """
    local = np.asarray(rotations, np.float64)
    rest = np.asarray(joints, np.float64)
    chain = np.asarray(parents).tolist()
    bones = (rest - rest[:, np.maximum(parents, 0)])[..., None]  # (N, J, 3, 1)
    turned = np.empty_like(local)
    placed = np.empty_like(bones)
    turned[:, 0], placed[:, 0] = local[:, 0], rest[:, 0, :, None]
    for joint, parent in enumerate(chain[1:], start=1):
        np.matmul(turned[:, parent], local[:, joint], out=turned[:, joint])
        placed[:, joint] = placed[:, parent] + turned[:, parent] @ bones[:, joint]
    return turned, placed[..., 0]
