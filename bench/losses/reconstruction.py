"""Images as sequences of patches, and the loss of predicting hidden ones (MAE)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.losses.numerics import in_float32, masked_mean

VARIANCE_FLOOR = 1e-6


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut (N, C, H, W) into (N, L, patch * patch * C), L row by row, pixels in order row, column, channel."""
    n, c, h, w = images.shape
    cut = images.reshape(n, c, h // patch, patch, w // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def normalised_patches(patches: Tensor) -> Tensor:
    """Scale each patch (N, L, P) to mean 0 and variance 1, unbiased (arXiv:2111.06377, Sec. 4.1)."""
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True)
    return (patches - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


@in_float32
def patch_loss(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Average the squared error over the pixels of hidden patches (arXiv:2111.06377, Sec. 3).

    Args:
        predicted: (N, L, P).
        target: (N, L, P).
        hidden: (N, L) bool.

    Returns:
        Scalar. Predicting zero for `normalised_patches` gives (P - 1) / P.
    """
    return masked_mean((predicted - target).square().mean(2), hidden)
