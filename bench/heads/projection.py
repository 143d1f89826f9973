"""Projections into the space of a contrast, which are dropped after pretraining, and the map they read."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.pixel import upsample


def vector_projection(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return two linear layers with a ReLU between, (N, inputs) -> (N, outputs) (arXiv:2003.04297)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


def map_projection(inputs: int, hidden: int, outputs: int, *, norm: bool = False) -> nn.Sequential:
    """Return two 1x1 convolutions with a ReLU between, (N, inputs, h, w) -> (N, outputs, h, w).

    Args:
        inputs: channels.
        hidden: channels between.
        outputs: channels.
        norm: put batch norm before the ReLU (PixPro, arXiv:2011.10043).
    """
    middle: list[nn.Module] = [nn.BatchNorm2d(hidden)] if norm else []  # which has the bias
    first = nn.Conv2d(inputs, hidden, 1, bias=not norm)
    return nn.Sequential(first, *middle, nn.ReLU(inplace=True), nn.Conv2d(hidden, outputs, 1))


def pooled_last_map(features: Features) -> Tensor:
    """Average the encoder's last map over its cells, (N, C): what classifiers of images read."""
    return features.maps[-1].mean((2, 3))


def one_map(features: Features, size: tuple[int, int], stride: int = 0) -> Tensor:
    """Return one map for a dense loss.

    Args:
        features: of a pyramid or tokens encoder.
        size: (H, W) of the image, pixels.
        stride: 0 takes the last map as it is. Otherwise all maps are brought to a grid of cells of so many
            pixels and concatenated: small images leave the last map next to no cells.

    Returns:
        (N, C, h, w); C is `channels_of_one_map`.
    """
    if not stride:
        return features.maps[-1]
    grid = (-(-size[0] // stride), -(-size[1] // stride))
    return torch.cat([_resized(m, grid) for m in features.maps], 1)


def check_stride(stride: int, size: tuple[int, int], where: str) -> None:
    """Check that cells of `one_map` are no larger than images.

    Raises:
        ConfigError: they are; `where` is the dotted key of the method's settings.
    """
    if stride > min(size):
        raise ConfigError(f"{where}.dense_stride: {stride} pixels exceed the image, {min(size)}")


def channels_of_one_map(info: FeatureInfo, stride: int = 0) -> int:
    """Return how many channels `one_map` has."""
    return sum(info.channels) if stride else info.channels[-1]


def _resized(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average finer maps where their cells fill those of the grid, interpolate all others."""
    down = (x.shape[2] // grid[0], x.shape[3] // grid[1])
    if (grid[0] * down[0], grid[1] * down[1]) == tuple(x.shape[2:]):
        return x if down == (1, 1) else F.avg_pool2d(x, down)
    return upsample(x, grid).to(x.dtype)
