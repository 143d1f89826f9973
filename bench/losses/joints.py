"""Contrast of joints: inside a sample against the key-point graph, and across samples (HCMoCo, level s)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.losses.info_nce import EXCLUDED
from bench.losses.numerics import Bounded, in_float32, logsumexp


@in_float32
def joint_contrast(readings: Tensor, nodes: Tensor, temperature: float) -> Tensor:
    """Recognise each joint of a sample among the nodes of its graph (arXiv:2203.13815, Eq. 5).

    Args:
        readings: (N, J, D), unit length, dense features read at the joints; the anchors.
        nodes: (N, J, D), unit length, key-point features; the classes.
        temperature: > 0.

    Returns:
        (N, J) nats.
    """
    similarity = readings @ nodes.mT / temperature  # (N, J anchors, J classes)
    return similarity.logsumexp(2) - similarity.diagonal(dim1=1, dim2=2)


@in_float32
def structure_contrast(
    rows: Tensor,
    labels: Tensor,
    valid: Tensor,
    counted: Tensor,
    temperature: float,
    *,
    exclude_self: bool = False,
    anchors: slice | None = None,
) -> tuple[Bounded, Tensor]:
    """Gather equal joints of all samples and modalities, push apart the others (arXiv:2203.13815, Eq. 6).

    Args:
        rows: (R, D), unit length.
        labels: (R,) int64, joint of each row.
        valid: (R,) bool, rows that may be anchors and positives.
        counted: (R,) bool, rows that count in the denominator; usually `valid`.
        temperature: > 0.
        exclude_self: leave the anchor itself out of the denominator. The equation keeps it, hence the
            loss starts near 1 / temperature.
        anchors: rows to average over, e.g. those of this rank; None = all.

    Returns:
        (A,) nats, with the lower bound log(rows of the label in the denominator); and (A,) bool, anchors
        that are valid and have a positive. Values of other anchors mean nothing.
    """
    chosen = slice(0, len(rows)) if anchors is None else anchors
    a, own = rows[chosen], labels[chosen]
    kinds = F.one_hot(labels).to(rows.dtype) * valid[:, None]  # (R, J)
    sums, counts = kinds.mT @ rows, kinds.sum(0)  # (J, D), (J,)
    self_similarity = (a * a).sum(1)
    n_positives = counts[own] - 1  # a valid anchor is among its own label's rows
    positive = ((a * sums[own]).sum(1) - self_similarity) / n_positives.clamp(min=1) / temperature
    ignored = torch.where(counted, 0.0, EXCLUDED).to(
        a.dtype
    )  # added inside the product: one pass less over (A, R)
    logits = torch.addmm(ignored, a / temperature, rows.mT)
    if exclude_self:
        index = torch.arange(len(rows), device=rows.device)
        logits = logits.masked_fill(index[chosen, None] == index, EXCLUDED)
    usable = valid[chosen] & (n_positives >= 1)
    lower_bound = (counts[own] - int(exclude_self)).clamp(min=1).log()
    return Bounded(logsumexp(logits, 1) - positive, lower_bound), usable
