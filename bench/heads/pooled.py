"""The head of whole images: one linear layer on the pooled vector."""

from __future__ import annotations

from torch import nn

from bench.api import Features, Outputs


class PooledHead(nn.Module):
    """One linear layer on the pooled vector, if wanted after a layer norm."""

    def __init__(self, width: int, classes: int, *, norm: bool = False) -> None:
        """Size the layers.

        Args:
            width: P, of the pooled vector.
            classes: K.
            norm: whether a layer norm comes first.
        """
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.out = nn.Linear(width, classes)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `logits` (N, K)."""
        return {"logits": self.out(self.norm(features.pooled))}
