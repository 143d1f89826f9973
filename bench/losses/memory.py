"""Contrast of whole samples against a memory of all samples, one memory per modality (HCMoCo, level g)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bench.api import Draws
from bench.errors import ConfigError
from bench.losses.numerics import in_float32, l2_normalize

Negatives = Literal["shared", "per_sample", "all"]


class MemoryBank(nn.Module):
    """Keep one running unit vector per training sample and modality (arXiv:1805.01978, Sec. 3.1).

    Buffers, part of every checkpoint: `rows_<modality>` (n, D) float32, unit length, random at first;
    `absent_<modality>` (n,) bool, samples seen without that modality. Nobody says beforehand which samples
    lack a modality, so a row counts as present until its sample has come by; it is random up to then anyway.
    """

    def __init__(self, modalities: Sequence[str], size: int, dim: int, *, momentum: float = 0.5) -> None:
        """Allocate the rows.

        Args:
            modalities: names.
            size: n, training samples.
            dim: D.
            momentum: share of the old row that an update keeps, 0..1.

        Raises:
            ConfigError: no samples, or a momentum outside 0..1.
        """
        super().__init__()
        if size < 1 or not 0.0 <= momentum <= 1.0:
            raise ConfigError(f"memory bank: size {size} must be positive, momentum {momentum} within 0..1")
        self.size = size
        self.momentum = momentum
        for modality in modalities:
            self.register_buffer(f"rows_{modality}", l2_normalize(torch.randn(size, dim)))
            self.register_buffer(f"absent_{modality}", torch.zeros(size, dtype=torch.bool))

    def rows(self, modality: str) -> Tensor:
        """Return the vectors of a modality, (n, D), unit length."""
        return self.get_buffer(f"rows_{modality}")

    def absent(self, modality: str) -> Tensor:
        """Return which samples are known to lack a modality, (n,) bool."""
        return self.get_buffer(f"absent_{modality}")

    def negatives(
        self,
        modality: str | None,
        mode: Negatives,
        count: int,
        samples: int,
        draws: Draws,
    ) -> Tensor:
        """Choose the sample ids that serve as negatives.

        Args:
            modality: only ids that have it; None draws from all ids.
            mode: `shared` draws one set for the batch, `per_sample` one per anchor (both with replacement),
                `all` takes every id.
            count: K. Where there are no more than K ids, all of them are taken once instead of drawing.
            samples: N, anchors.
            draws: of the step; `shared` ids are the same on all ranks.

        Returns:
            (K,), or (N, K) for draws per sample, int64, on the device of the bank.
        """
        pool = None if modality is None else (~self.absent(modality)).nonzero().flatten()
        present = self.size if pool is None else len(pool)
        device = next(self.buffers()).device
        if mode == "all" or count >= present:
            return torch.arange(self.size, device=device) if pool is None else pool
        if mode == "shared":
            drawn = torch.randint(present, (count,), generator=draws.generator).to(device)
        else:
            drawn = draws.randint(present, samples, count).to(device)
        return drawn if pool is None else pool[drawn]

    @torch.no_grad()
    def update(self, modality: str, ids: Tensor, features: Tensor, valid: Tensor) -> None:
        """Write l2_normalize(momentum * old + (1 - momentum) * new) for the samples that have the modality.

        Args:
            modality: name.
            ids: (N,) int64. Of equal ids the first valid one counts.
            features: (N, D), unit length.
            valid: (N,) bool; the rows of other samples stay as they are and are marked absent.
        """
        rows, absent = self.rows(modality), self.absent(modality)
        absent[ids[~valid]] = True
        absent[ids[valid]] = False
        kept = first_occurrence(ids[valid])
        chosen, new = ids[valid][kept], features[valid][kept].to(rows.dtype)
        rows[chosen] = l2_normalize(self.momentum * rows[chosen] + (1.0 - self.momentum) * new)


def first_occurrence(ids: Tensor) -> Tensor:
    """Return the positions at which the values of `ids` (N,) occur for the first time, (U,) int64."""
    values, inverse = torch.unique(ids, return_inverse=True)
    first = ids.new_full((len(values),), len(ids))
    return first.scatter_reduce(0, inverse, torch.arange(len(ids), device=ids.device), "amin")


@in_float32
def memory_contrast(
    anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float, excluded: Tensor | None = None
) -> Tensor:
    """Tell the stored row of the same sample from the rows of others (HCMoCo, arXiv:2203.13815, Eq. 1).

    Args:
        anchors: (N, D), unit length; the only input that receives a gradient.
        positives: (N, D), the memory rows of the same samples in the target modality.
        negatives: (K, D) shared by all anchors, or (N, K, D).
        temperature: > 0.
        excluded: (N, K) bool, negatives that do not count for an anchor, e.g. its own sample.

    Returns:
        (N,), nats. Random unit vectors give about log(K + 1) + 1 / (2 * D * temperature**2).
    """
    positive = (anchors * positives).sum(-1, keepdim=True) / temperature  # (N, 1)
    if negatives.ndim == 2:
        others = anchors @ negatives.mT / temperature
    else:
        others = torch.einsum("nd,nkd->nk", anchors, negatives) / temperature
    if excluded is not None:
        others = others.masked_fill(excluded, -torch.inf)
    return torch.cat([positive, others], 1).logsumexp(1) - positive.squeeze(1)
