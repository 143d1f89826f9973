"""Similarity alignment of point sets, before which PA-MPJPE and PA-MPVPE measure (Procrustes analysis)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SMALLEST = np.finfo(np.float64).tiny


def similarity_align(predicted: ArrayLike, truth: ArrayLike, counted: ArrayLike | None = None) -> Floats:
    """Move, turn and scale each prediction to the least squared distance from its truth.

    Umeyama's closed form (PAMI 1991, Eq. 40-43): the rotation is a proper one (determinant +1), so that a
    mirror image does not align. Points that all lie in one place go to the centroid of the truth.

    Args:
        predicted: (n, P, 3).
        truth: (n, P, 3), in any unit.
        counted: which points the least squares count, (n, P) bool; the others move along. None = all.

    Returns:
        The aligned predictions, (n, P, 3), in the unit of the truth.
    """
    found, wanted = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    share = np.ones(found.shape[:2]) if counted is None else np.asarray(counted, np.float64)
    share = (share / np.maximum(share.sum(1, keepdims=True), 1))[..., None]  # (n, P, 1)
    middle_found, middle_wanted = ((share * v).sum(1, keepdims=True) for v in (found, wanted))
    x, y = found - middle_found, wanted - middle_wanted
    u, spread, vt = np.linalg.svd((share * y).transpose(0, 2, 1) @ x)  # of (n, 3, 3), truth by prediction
    sign = np.ones_like(spread)
    sign[:, -1] = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign[:, None]) @ vt  # truth = rotation @ prediction
    scale = (spread * sign).sum(1) / np.maximum((share * x**2).sum((1, 2)), SMALLEST)
    aligned: Floats = scale[:, None, None] * (x @ rotation.transpose(0, 2, 1)) + middle_wanted
    return aligned
