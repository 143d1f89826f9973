"""Contrast of pixels inside one sample across two dense modalities (HCMoCo, level d)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.losses.numerics import Bounded, in_float32


@torch.no_grad()
def soft_targets(cells: Tensor, sigma: float = 1.0) -> Tensor:
    """Weight nearby pixels: softmax of minus the distance (HCMoCo, arXiv:2203.13815, Eq. 4).

    The equation prints the distance without the minus sign, which would prefer the farthest pixel; the text,
    and the hard loss as its limit, need the minus.

    Args:
        cells: (N, S, 2) row, col.
        sigma: > 0, in cells; towards 0 this becomes `hard_targets`.

    Returns:
        (N, S, S) float32; column j holds the weights of all pixels for anchor j and sums to 1.
    """
    points = cells.float()
    return (-torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") / sigma).softmax(1)


@torch.no_grad()
def hard_targets(cells: Tensor) -> Tensor:
    """Weight the same pixel alone, shared among its repetitions: (N, S, 2) -> (N, S, S), columns sum to 1."""
    same = (cells[:, :, None] == cells[:, None]).all(3).float()
    return same / same.sum(1, keepdim=True)


@in_float32
def dense_contrast(rgb: Tensor, depth: Tensor, targets: Tensor, temperature: float) -> Bounded:
    """Match pixels of two modalities in both directions against soft targets (arXiv:2203.13815, Eq. 2 to 4).

    Args:
        rgb: (N, S, D), unit length.
        depth: (N, S, D), unit length, at the same pixels.
        targets: (N, S, S), columns sum to 1; see `soft_targets`.
        temperature: > 0.

    Returns:
        (N,) nats, the sum of both directions, summed over classes and averaged over anchors; the lower
        bound is the entropy of the targets, (N,).
    """
    similarity = depth @ rgb.mT / temperature  # (N, S depth, S rgb)
    for_rgb = similarity.logsumexp(1) - (targets * similarity).sum(1)  # anchors rgb, classes depth
    for_depth = similarity.logsumexp(2) - (targets.mT * similarity).sum(2)
    entropy = torch.special.entr(targets).sum(1).mean(1)
    return Bounded(for_rgb.mean(1) + for_depth.mean(1), 2 * entropy)
