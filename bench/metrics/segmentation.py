"""Overlap of label maps, from confusion matrices alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import DataError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def confusion(prediction: ArrayLike, target: ArrayLike, classes: int, ignore: int = 255) -> Counts:
    """Count the pixels of every image by target and prediction.

    Args:
        prediction: class ids 0..K-1, (N, ...).
        target: class ids 0..K-1 or `ignore`, same shape.
        classes: K.
        ignore: target value of pixels that do not count.

    Returns:
        (N, K, K); row = target, column = prediction.

    Raises:
        DataError: shapes differ, or an id is outside 0..K-1.

    >>> confusion([[0, 1, 1]], [[0, 0, 255]], classes=2).tolist()
    [[[1, 1], [0, 0]]]
    """
    predicted, wanted = np.asarray(prediction), np.asarray(target)
    if predicted.shape != wanted.shape:
        raise DataError(f"prediction {predicted.shape} and target {wanted.shape} must have the same shape")
    samples = len(wanted)
    keep = wanted != ignore
    pair = wanted.astype(np.intp) * classes + predicted
    pair += np.arange(samples).reshape(-1, *[1] * (wanted.ndim - 1)) * classes**2
    for name, ids in (("target", wanted[keep]), ("prediction", predicted[keep])):
        if ids.size and not 0 <= ids.min() <= ids.max() < classes:
            raise DataError(f"{name} has class ids {ids.min()}..{ids.max()}, allowed are 0..{classes - 1}")
    return np.bincount(pair[keep], minlength=samples * classes**2).reshape(samples, classes, classes)


def iou(matrix: ArrayLike) -> Floats:
    """Intersection over union per class; a class absent from both target and prediction counts 0.

    Args:
        matrix: confusion counts, (..., K, K), possibly weighted sums.

    Returns:
        (..., K) in 0..1.

    >>> iou([[3, 1], [0, 0]]).tolist()
    [0.75, 0.0]
    """
    counts, hits, predicted = _parts(matrix)
    overlap: Floats = hits / np.maximum(1, predicted + counts.sum(-1) - hits)
    return overlap


def accuracy(matrix: ArrayLike) -> Floats:
    """Share of the target pixels of each class that are predicted right; absent classes count 0, (..., K)."""
    counts, hits, _ = _parts(matrix)
    found: Floats = hits / np.maximum(1, counts.sum(-1))
    return found


def miou(matrix: ArrayLike) -> Floats:
    """Plain mean of `iou` over all K classes, absent ones included (the rule of arXiv:2203.13815, Table 2).

    >>> float(miou([[3, 1], [0, 0]]))
    0.375
    """
    return np.asarray(iou(matrix).mean(-1))


def macc(matrix: ArrayLike) -> Floats:
    """Plain mean of `accuracy` over all K classes.

    >>> float(macc([[3, 1], [0, 4]]))
    0.875
    """
    return np.asarray(accuracy(matrix).mean(-1))


def aacc(matrix: ArrayLike) -> Floats:
    """Share of all pixels that are predicted right.

    >>> float(aacc([[3, 1], [0, 4]]))
    0.875
    """
    counts, hits, _ = _parts(matrix)
    return np.asarray(hits.sum(-1) / np.maximum(1, counts.sum((-2, -1))))


def fwiou(matrix: ArrayLike) -> Floats:
    """Mean of `iou` weighted by the share of each class among the target pixels.

    >>> round(float(fwiou([[3, 1], [0, 4]])), 3)
    0.775
    """
    counts = np.asarray(matrix, np.float64)
    wanted = counts.sum(-1)
    return np.asarray((wanted * iou(counts)).sum(-1) / np.maximum(1, wanted.sum(-1)))


def merge(matrix: ArrayLike, groups: ArrayLike) -> Floats:
    """Confusion matrix of coarser classes.

    Args:
        matrix: (..., K, K).
        groups: coarse class 0..G-1 of each class, (K,).

    Returns:
        (..., G, G).

    >>> merge([[1, 2, 0], [3, 4, 0], [0, 5, 6]], [0, 0, 1]).tolist()
    [[10.0, 0.0], [5.0, 6.0]]
    """
    ids = np.asarray(groups)
    to_group = np.eye(ids.max() + 1)[ids]  # (K, G)
    merged: Floats = to_group.T @ np.asarray(matrix, np.float64) @ to_group
    return merged


def _parts(matrix: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """All counts, hits and predicted pixels per class."""
    counts: NDArray[Any] = np.asarray(matrix, np.float64)
    return counts, np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-2)
