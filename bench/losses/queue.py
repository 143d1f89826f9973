"""Contrast against a queue of the latest keys (MoCo)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.losses.numerics import in_float32, l2_normalize

LARGEST = 2**26  # logits held at once, 256 MB


class KeyQueue(nn.Module):
    """Keep the latest unit vectors in a ring (arXiv:1911.05722, Sec. 3.2).

    Buffers, part of every checkpoint: `rows` (K, D) float32, unit length, random at first; `position` ()
    int64, the oldest row, which is written next.
    """

    def __init__(self, length: int, dim: int) -> None:
        """Allocate K = `length` rows of width D = `dim`."""
        super().__init__()
        self.register_buffer("rows", l2_normalize(torch.randn(length, dim)))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @property
    def keys(self) -> Tensor:
        """Return all rows, (K, D), unit length, no gradient."""
        return self.get_buffer("rows")

    @torch.no_grad()
    def push(self, rows: Sequence[Tensor], world: ProcessGroup = SINGLE_PROCESS) -> None:
        """Replace the oldest rows; call it in `after_step`, once per step, in all processes.

        Args:
            rows: unit vectors of the parts of a batch that this process worked on, (N, D) each. Of more than
                K rows in all the last K stay.
            world: all processes; their rows are written in the order of the ranks, so that all of them hold
                the same queue, and one process the same as several.
        """
        if not rows:
            return
        keys, position = self.keys, self.get_buffer("position")
        new = world.all_gather(torch.cat(list(rows)))
        places = (position + torch.arange(len(new), device=keys.device)) % len(keys)
        keys[places[-len(keys) :]] = new[-len(keys) :].to(keys.dtype)
        position.copy_((position + len(new)) % len(keys))


@in_float32
def queue_contrast(anchors: Tensor, positives: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Tell an anchor's own key from those of the queue (arXiv:1911.05722, Eq. 1).

    The logits of many anchors (one per pixel) are computed in parts, and again for the gradient.

    Args:
        anchors: (N, D), unit length.
        positives: (N, D), unit length; detach them.
        keys: (K, D), unit length, shared by all anchors.
        temperature: > 0.

    Returns:
        (N,), nats. Random unit vectors give about log(K + 1) + 1 / (2 * D * temperature**2).
    """
    rows = max(1, LARGEST // len(keys))
    if len(anchors) <= rows:
        return _contrast(anchors, positives, keys, temperature)
    pairs = zip(torch.split(anchors, rows), torch.split(positives, rows), strict=True)
    parts = [
        checkpoint(_contrast, a, p, keys, temperature, use_reentrant=False, preserve_rng_state=False)
        for a, p in pairs
    ]
    return torch.cat(parts)


def _contrast(anchors: Tensor, positives: Tensor, keys: Tensor, temperature: float) -> Tensor:
    positive = (anchors * positives).sum(1) / temperature
    others = (anchors @ keys.mT / temperature).logsumexp(1)
    return torch.logaddexp(positive, others) - positive
