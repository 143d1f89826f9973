"""Rotations in torch: matrices, axis-angle vectors, and the six numbers that networks predict."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def matrix_from_6d(numbers: Tensor) -> Tensor:
    """Turn six numbers per joint into rotations (Zhou et al., arXiv:1812.07035, Sec. 4.2).

    They are a 3x2 matrix row by row, as in SPIN: numbers 0, 2, 4 are the first column and 1, 3, 5 the second.
    Columns are made orthonormal in this order; the third one is their cross product.

    Args:
        numbers: (..., 6).

    Returns:
        (..., 3, 3), determinant +1.
    """
    a, b = numbers.view(*numbers.shape[:-1], 3, 2).unbind(-1)
    first = F.normalize(a, dim=-1)
    second = F.normalize(b - (first * b).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def matrix_to_6d(matrix: Tensor) -> Tensor:
    """Return the six numbers (..., 6) of rotations (..., 3, 3); `matrix_from_6d` gives these back."""
    return matrix[..., :2].flatten(-2)


def axis_angle_to_matrix(vector: Tensor) -> Tensor:
    """Turn axis-angle vectors (..., 3), radians, into rotations (..., 3, 3) (Rodrigues' formula)."""
    angle = torch.linalg.vector_norm(vector, dim=-1)[..., None, None]
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    cross = cross.view(*vector.shape, 3)
    sine = torch.sinc(angle / torch.pi)  # sin(a) / a
    cosine = 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2  # (1 - cos(a)) / a^2
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    matrix: Tensor = identity + sine * cross + cosine * (cross @ cross)
    return matrix
