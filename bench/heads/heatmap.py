"""Heads that turn features into one heat map per joint."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from bench.api import Batch, Encoder, EncoderHead, FeatureInfo, Features, Outputs
from bench.errors import ConfigError
from bench.heads.grid import map_grid
from bench.heads.linear_probe import LinearPixelProbe

STRIDE = 4  # pixels of the image per cell of a heat map
WIDEST = 256  # channels of the transposed convolutions in arXiv:1804.06208

HeatmapKind = Literal["deconv", "finest", "linear"]


def heatmap_head(
    info: FeatureInfo, joints: int, kind: HeatmapKind = "deconv", width: int | None = None
) -> nn.Module:
    """Build a head that maps `(Features, (H, W))` to `heatmaps` (N, J, h, w), about a quarter of the image.

    Args:
        info: of a pyramid or tokens encoder.
        joints: J.
        kind: `deconv`: SimpleBaseline (arXiv:1804.06208), transposed convolutions from the coarsest map, as
            many as lead to stride 4: three after a ResNet, two after patches of 16 pixels. `finest`: 1x1 on
            the finest map, as HRNet's own pose head (arXiv:1902.09212); needs a map of stride 4 or finer.
            `linear`: one linear layer per cell of the coarsest map.
        width: channels of the transposed convolutions; None takes those of the coarsest map, at most 256.

    Raises:
        ConfigError: the encoder returns no maps, or none that is fine enough.
    """
    if info.kind not in ("pyramid", "tokens"):
        raise ConfigError(f'a "{info.kind}" encoder has no image maps: heat maps need pyramid or tokens')
    if kind == "finest":
        return FinestHead(info, joints)
    if kind == "linear":
        return LinearHead(info, joints)
    return DeconvHead(info, joints, width)


class DeconvHead(nn.Module):
    """Transposed convolutions with batch norm from the coarsest map (tokens: the last block), then 1x1."""

    def __init__(self, info: FeatureInfo, joints: int, width: int | None = None) -> None:
        super().__init__()
        channels = info.channels[-1]
        inner = min(WIDEST, channels) if width is None else width
        layers: list[nn.Module] = []
        for _ in range(_doublings(info.strides[-1])):
            up = nn.ConvTranspose2d(channels, inner, 4, stride=2, padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
            channels = inner
        self.up = nn.Sequential(*layers)
        self.out = _last(channels, joints)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `heatmaps` (N, J, h, w) float32."""
        return {"heatmaps": self.out(self.up(features.maps[-1])).float()}


class FinestHead(nn.Module):
    """One 1x1 convolution on the finest map."""

    def __init__(self, info: FeatureInfo, joints: int) -> None:
        """Size the layer.

        Raises:
            ConfigError: the finest map is coarser than stride 4.
        """
        super().__init__()
        if info.strides[0] > STRIDE:
            raise ConfigError(
                f"head=finest needs maps of stride {STRIDE}, the finest one here has {info.strides[0]}; "
                "take head=deconv"
            )
        self.out = _last(info.channels[0], joints)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `heatmaps` (N, J, h, w) float32."""
        return {"heatmaps": self.out(features.maps[0]).float()}


class LinearHead(nn.Module):
    """One linear layer per cell of the coarsest map, which holds the cell's part of the heat maps."""

    def __init__(self, info: FeatureInfo, joints: int) -> None:
        super().__init__()
        times = 2 ** _doublings(info.strides[-1])
        self.out = _last(info.channels[-1], joints * times**2)
        self.spread = nn.PixelShuffle(times)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `heatmaps` (N, J, h, w) float32."""
        spread: Tensor = self.spread(self.out(features.maps[-1]))
        return {"heatmaps": spread.float()}


class LinearHeatmapProbe(nn.Module):
    """Batch norm and one linear layer per cell of all maps, for frozen features.

    As `LinearPixelProbe`; where the finest map is coarser than stride 4, each of its cells holds its part of
    the heat maps, as in `LinearHead`.
    """

    def __init__(self, info: FeatureInfo, joints: int) -> None:
        """Size the layer.

        Raises:
            ConfigError: the encoder returns no maps.
        """
        super().__init__()
        times = 2 ** _doublings(info.strides[0]) if info.strides else 1
        self.pixels = LinearPixelProbe(info, joints * times**2)
        self.spread = nn.PixelShuffle(times)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `heatmaps` (N, J, h, w) float32."""
        spread: Tensor = self.spread(self.pixels.maps(features))
        return {"heatmaps": spread.float()}


class FlipTested(EncoderHead):
    """Averages the maps of an image and of its mirror image, outside training only."""

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        modality: str,
        flip: tuple[int, ...],
        maps: str = "heatmaps",
    ) -> None:
        """Join encoder and head.

        Args:
            encoder: of the image.
            head: gives the maps, (N, J, h, w).
            modality: the image in the batch.
            flip: what mirroring makes of each joint or class, (J,).
            maps: their name among the outputs.
        """
        super().__init__(encoder, head, modality)
        self.flip = flip
        self.maps = maps

    def forward(self, batch: Batch) -> Outputs:
        """Return the head's outputs, the maps averaged."""
        out = super().forward(batch)
        if self.training:
            return out
        mirrored = super().forward({self.modality: batch[self.modality].flip(-1)})[self.maps]
        return {**out, self.maps: (out[self.maps] + unflip(mirrored, self.flip)) / 2}


def unflip(heatmaps: Tensor, flip: tuple[int, ...]) -> Tensor:
    """Turn heat maps (N, J, h, w) of a mirrored image into those of the image.

    Cells cover the image evenly, so that the mirror image of a cell is a cell: unlike with positions that
    count from the first cell's centre, nothing has to be shifted by one.
    """
    return heatmaps.flip(-1)[:, list(flip)]


def heatmap_cells(info: FeatureInfo, size: tuple[int, int], kind: HeatmapKind = "deconv") -> tuple[int, int]:
    """Cells (h, w) of the heat maps of `heatmap_head`, for an image of (H, W) pixels."""
    height, width = map_grid(info, size, 0 if kind == "finest" else -1)
    times = 1 if kind == "finest" else 2 ** _doublings(info.strides[-1])
    return height * times, width * times


def _doublings(stride: int) -> int:
    """How often a map has to be doubled to reach stride 4."""
    return max(0, round(math.log2(stride / STRIDE)))


def _last(channels: int, maps: int) -> nn.Conv2d:
    """1x1 convolution that starts near zero, as most of a target is (arXiv:1804.06208, released code)."""
    layer = nn.Conv2d(channels, maps, 1)
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.get_parameter("bias"))
    return layer
