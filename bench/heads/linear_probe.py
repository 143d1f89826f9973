"""Heads on frozen features: batch norm without weights and one linear layer (arXiv:2111.06377, App. A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from bench.api import FeatureInfo, Features, Outputs
from bench.errors import ConfigError
from bench.heads.pixel import PixelHead, upsample

EPS = 1e-6  # that of MAE's probe
STD = 0.01  # of fresh weights, as there


class FeatureNorm(_BatchNorm):
    """Batch norm without weights for (N, C, ...): features of any scale become comparable.

    Where a batch holds one value per channel, it has no spread; the running statistics stand in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS, affine=False)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any shape (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise per channel, in float32."""
        x = input.float()
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(x)


class LinearPixelProbe(PixelHead):
    """Batch norm and 1x1 convolution on all hooked maps, upsampled to the finest and concatenated.

    Each map is normalised on its own grid, and the convolution acts on each before it is upsampled; as both
    are linear, the latter gives what the concatenation would, for a fraction of the work.
    """

    def __init__(self, info: FeatureInfo, out_channels: int) -> None:
        """Size the layers.

        Args:
            info: of an encoder with maps, fine to coarse.
            out_channels: K, maps wanted.

        Raises:
            ConfigError: the encoder returns no maps.
        """
        super().__init__()
        if not info.channels:
            raise ConfigError(
                f'a linear probe of dense tasks needs maps, which a "{info.kind}" encoder lacks'
            )
        self.channels = list(info.channels)
        self.norms = nn.ModuleList(FeatureNorm(channels) for channels in self.channels)
        self.out = nn.Conv2d(sum(self.channels), out_channels, 1)
        _start(self.out)

    def maps(self, features: Features) -> Tensor:
        finest = features.maps[0]
        size = (finest.shape[2], finest.shape[3])
        kernels = torch.split(self.out.weight, self.channels, 1)
        levels = [norm(level) for norm, level in zip(self.norms, features.maps, strict=True)]
        out = F.conv2d(levels[0], kernels[0], self.out.bias)
        for level, kernel in zip(levels[1:], kernels[1:], strict=True):
            out = out + upsample(F.conv2d(level, kernel), size)
        return out


class LinearProbe(nn.Module):
    """Batch norm and one linear layer on the pooled vector: `logits` (N, K)."""

    def __init__(self, info: FeatureInfo, classes: int) -> None:
        super().__init__()
        self.norm = FeatureNorm(info.pooled)
        self.out = nn.Linear(info.pooled, classes)
        _start(self.out)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `logits` (N, K) float32."""
        return {"logits": self.out(self.norm(features.pooled))}


def _start(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=STD)
    nn.init.zeros_(layer.get_parameter("bias"))
