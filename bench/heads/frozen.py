"""Heads of whole images on frozen features: attention with learned queries, and nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features, Outputs
from bench.errors import ConfigError

QUERIES = 8
NARROWEST = 32  # channels of an attention head
WIDEST = 256  # channels inside the block, to which wider tokens are projected
HIDDEN = 2  # width of the MLP over that of the tokens


class AttentiveProbe(nn.Module):
    """A block of cross-attention whose learned queries read the cells of the last map; then a linear layer.

    As in V-JEPA (arXiv:2404.08471, Sec. 5.1): pre-norm, residual MLP; here with several queries, whose mean
    is classified, and at most 256 channels (design choices).
    """

    def __init__(self, info: FeatureInfo, classes: int) -> None:
        """Size the layers.

        Args:
            info: of an encoder with maps; the last one is read.
            classes: K.

        Raises:
            ConfigError: the encoder returns no maps.
        """
        super().__init__()
        if not info.channels:
            raise ConfigError(f'an attentive probe needs maps, which a "{info.kind}" encoder lacks')
        width = min(WIDEST, info.channels[-1])
        self.reduce = nn.Linear(info.channels[-1], width) if width < info.channels[-1] else nn.Identity()
        heads = max(h for h in range(1, max(1, width // NARROWEST) + 1) if width % h == 0)
        self.queries = nn.Parameter(torch.empty(QUERIES, width))
        nn.init.trunc_normal_(self.queries, std=0.02)
        self.norm_tokens = nn.LayerNorm(info.channels[-1])
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, HIDDEN * width), nn.GELU(), nn.Linear(HIDDEN * width, width)
        )
        self.norm_out = nn.LayerNorm(width)
        self.out = nn.Linear(width, classes)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `logits` (N, K) float32."""
        tokens = self.norm_tokens(features.maps[-1].float().flatten(2).mT)  # (N, h w, D)
        tokens = self.reduce(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        x = queries + self.attention(queries, tokens, tokens, need_weights=False)[0]
        x = x + self.mlp(self.norm(x))
        return {"logits": self.out(self.norm_out(x).mean(1))}


class NearestNeighbours(nn.Module):
    """Votes of the k training samples with the largest cosine, weighed by exp(cosine / T).

    As in the evaluation of DINO (arXiv:2104.14294, App. F), after Wu et al. (arXiv:1805.01978, Sec. 3.4).
    """

    bank: Tensor  # (n, P), unit length
    labels: Tensor  # (n, K), one-hot

    def __init__(self, samples: int, width: int, classes: int, k: int, temperature: float) -> None:
        """Make room for a memory.

        Args:
            samples: n, in the memory.
            width: P, of the pooled features.
            classes: K.
            k: neighbours; all samples where there are fewer.
            temperature: T.
        """
        super().__init__()
        self.k, self.temperature = min(k, samples), temperature
        self.register_buffer("bank", torch.zeros(samples, width))
        self.register_buffer("labels", torch.zeros(samples, classes))

    def remember(self, pooled: Tensor, classes: Tensor) -> None:
        """Fill the memory with pooled features (n, P) and their classes (n,) int64."""
        self.bank.copy_(F.normalize(pooled.float(), dim=1))
        self.labels.copy_(F.one_hot(classes, self.labels.shape[1]))

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `logits` (N, K) float32: the logarithm of each class's share of the votes."""
        cosine = F.normalize(features.pooled.float(), dim=1) @ self.bank.T
        near, who = cosine.topk(self.k, 1)
        votes = torch.softmax(near / self.temperature, 1)  # (N, k)
        shares = (votes[:, :, None] * self.labels[who]).sum(1)
        return {"logits": shares.clamp(min=1e-12).log()}
