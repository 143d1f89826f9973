"""Images as sequences of patches, and the loss of predicting hidden ones (MAE)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.losses.numerics import in_float32, masked_mean

VARIANCE_FLOOR = 1e-6


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut (N, C, H, W) into (N, L, patch * patch * C), L row by row, pixels in order row, column, channel."""
    n, c, h, w = images.shape
    cut = images.reshape(n, c, h // patch, patch, w // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(patches: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """Put (N, L, patch * patch * C) together again: (N, C, H, W) of `grid` rows and columns of patches."""
    h, w = grid
    cut = patches.reshape(len(patches), h, w, patch, patch, -1)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, h * patch, w * patch)


def normalised_patches(patches: Tensor) -> Tensor:
    """Scale each patch (N, L, P) to mean 0 and variance 1, unbiased (arXiv:2111.06377, Sec. 4.1)."""
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True)
    return (patches - mean) / torch.sqrt(variance + VARIANCE_FLOOR)


@in_float32
def completed_patches(predicted: Tensor, target: Tensor, hidden: Tensor, *, normalised: bool) -> Tensor:
    """Fill the gaps of an image with predictions, for people to look at.

    What was predicted as `normalised_patches` has no colour and contrast of its own: it is given those of the
    target, which makes it look better than it is.

    Args:
        predicted: (N, L, P).
        target: (N, L, P), the image itself.
        hidden: (N, L) bool, the gaps.
        normalised: whether `predicted` stands for `normalised_patches`.

    Returns:
        (N, L, P).
    """
    if normalised:
        mean, variance = target.mean(2, keepdim=True), target.var(2, keepdim=True)
        predicted = predicted * torch.sqrt(variance + VARIANCE_FLOOR) + mean
    return torch.where(hidden[:, :, None], predicted, target)


@in_float32
def patch_loss(
    predicted: Tensor, target: Tensor, hidden: Tensor, group: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Average the squared error over the pixels of hidden patches (arXiv:2111.06377, Sec. 3).

    Args:
        predicted: (N, L, P).
        target: (N, L, P).
        hidden: (N, L) bool.
        group: processes whose rows count as one batch.

    Returns:
        Scalar. Predicting zero for `normalised_patches` gives (P - 1) / P.
    """
    return masked_mean((predicted - target).square().mean(2), hidden, group)
