"""Contrast inside a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.losses.numerics import in_float32, masked_mean

EXCLUDED = -1e30  # finite, so that rows without any class have a gradient of zero instead of NaN


@in_float32
def info_nce(
    a: Tensor,
    b: Tensor,
    temperature: float,
    valid: Tensor | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Tensor:
    """Symmetric InfoNCE with in-batch negatives (arXiv:1807.03748, Eq. 4, both directions averaged).

    Args:
        a: unit-length embeddings, (N, D). Row i of `b` shows the same sample.
        b: as `a`, from the other view or modality.
        temperature: divides the cosine similarity; > 0.
        valid: (N,) bool, rows where both exist; the others are neither anchors nor negatives. None = all.
        group: processes whose rows are one batch: all of them are negatives.

    Returns:
        Scalar, nats. Independent random embeddings give about log(N) + 1 / (2 * D * temperature**2).
    """
    own = torch.ones(len(a), dtype=torch.bool, device=a.device) if valid is None else valid
    keep = group.all_gather(own)
    same = torch.arange(len(a), device=a.device) + group.rank * len(a)

    def one_way(anchors: Tensor, classes: Tensor) -> Tensor:
        logits = anchors @ group.all_gather_with_grad(classes).mT / temperature  # (N, N of all processes)
        values = F.cross_entropy(logits.masked_fill(~keep, EXCLUDED), same, reduction="none")
        return masked_mean(values, own, group)

    return (one_way(a, b) + one_way(b, a)) / 2
