"""Head for pyramids: all levels at the finest resolution, two layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features
from bench.heads.pixel import PixelHead, upsample

WIDEST = 128  # cap of the default width, that of the head of arXiv:1901.02446


class ConcatHead(PixelHead):
    """Upsample all levels to the finest, concatenate, two 1x1 layers (arXiv:1908.07919, Sec. 3.2).

    The first convolution acts on each level before it is upsampled: both steps are linear, so the result is
    that of the concatenation, for a fraction of the work.
    """

    def __init__(self, info: FeatureInfo, out_channels: int, width: int | None = None) -> None:
        """Size the layers.

        Args:
            info: of a pyramid encoder, levels from fine to coarse.
            out_channels: K, maps wanted.
            width: channels between the two layers; None takes the sum of all levels, at most 128. HRNet's own
                head always takes the sum, 270 for W18 and 480 for W32.
        """
        super().__init__()
        self.channels = list(info.channels)
        total = sum(self.channels)
        hidden = min(total, WIDEST) if width is None else width
        self.mix = nn.Conv2d(total, hidden, 1, bias=False)  # batch norm has the bias
        self.norm = nn.BatchNorm2d(hidden)
        self.out = nn.Conv2d(hidden, out_channels, 1)

    def maps(self, features: Features) -> Tensor:
        finest = features.maps[0]
        kernels = torch.split(self.mix.weight, self.channels, 1)
        mixed = F.conv2d(finest, kernels[0])
        size = (finest.shape[2], finest.shape[3])
        for level, kernel in zip(features.maps[1:], kernels[1:], strict=True):
            mixed += upsample(F.conv2d(level, kernel), size)
        out: Tensor = self.out(torch.relu_(self.norm(mixed)))
        return out
