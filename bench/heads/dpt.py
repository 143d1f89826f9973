"""Head for plain vision transformers: hooked blocks become a pyramid, which is fused from coarse to fine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.api import FeatureInfo, Features
from bench.heads.pixel import PixelHead, upsample

FINEST_STRIDE = 4  # pixels per cell of the first level; each next level has half the resolution
SHARES = (8, 4, 2, 1)  # of the encoder's width, per level: 96, 192, 384, 768 for a ViT-B
FUSION_SHARE = 3  # 256 fusion channels for a ViT-B
NARROWEST = 16


class DPTHead(PixelHead):
    """Dense prediction transformer head (arXiv:2103.13413, Sec. 3), widths following the encoder.

    The four levels lie at 1/4, 1/8, 1/16 and 1/32 of the image whatever the patch size. The output is
    computed on the finest of them, as in `ConcatHead` (design choice: the original upsamples once more before
    its last layers, which costs more than a small encoder).
    """

    def __init__(self, info: FeatureInfo, out_channels: int, width: int | None = None) -> None:
        """Size the layers.

        Args:
            info: of a tokens encoder, one entry per hooked block, shallow to deep.
            out_channels: K, maps wanted.
            width: fusion channels; None takes a third of the encoder's width, at least 16.
        """
        super().__init__()
        finest = round(math.log2(info.strides[0] / FINEST_STRIDE))
        fused = max(NARROWEST, info.channels[-1] // FUSION_SHARE) if width is None else width
        self.levels = nn.ModuleList(
            _Reassemble(channels, max(NARROWEST // 2, channels // SHARES[min(i, 3)]), fused, finest - i)
            for i, channels in enumerate(info.channels)
        )
        self.fusions = nn.ModuleList(_Fusion(fused, first=i == 0) for i in range(len(info.channels)))
        self.smooth = nn.Conv2d(fused, fused, 3, padding=1)
        self.out = nn.Conv2d(fused, out_channels, 1)

    def maps(self, features: Features) -> Tensor:
        laterals = [level(block) for level, block in zip(self.levels, features.maps, strict=True)]
        fused: Tensor | None = None
        for fusion, lateral in zip(self.fusions, reversed(laterals), strict=True):
            fused = fusion(lateral, fused)
        out: Tensor = self.out(torch.relu(self.smooth(fused)))
        return out


class _Reassemble(nn.Sequential):
    """Project one hooked block and bring it to 2**exponent times its grid."""

    def __init__(self, channels: int, width: int, fused: int, exponent: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 1)]
        if exponent > 0:
            layers.append(nn.ConvTranspose2d(width, width, 2**exponent, stride=2**exponent))
        if exponent < -1:
            layers.append(nn.AvgPool2d(2 ** (-exponent - 1), ceil_mode=True))
        if exponent < 0:
            layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
        layers.append(nn.Conv2d(width, fused, 3, padding=1, bias=False))
        super().__init__(*layers)


class _Fusion(nn.Module):
    """Add the coarser level to this one, a residual unit before and after (RefineNet, arXiv:1611.06612)."""

    def __init__(self, width: int, *, first: bool) -> None:
        super().__init__()
        self.lateral = None if first else _Residual(width)
        self.after = _Residual(width)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, lateral: Tensor, coarser: Tensor | None) -> Tensor:
        x = lateral
        if self.lateral is not None and coarser is not None:
            x = self.lateral(lateral) + upsample(coarser, (lateral.shape[2], lateral.shape[3]))
        out: Tensor = self.project(self.after(x))
        return out


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(torch.relu(self.first(torch.relu(x))))
        return out
