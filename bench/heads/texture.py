"""Textures of the body: a head that decodes one from an image, and the way between texture and image.

A *texture* has S x S texels for each of the 24 charts of the surface. Where an image shows which place (chart
and UV) is known, so that rendering is reading: differentiable in the colours alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features, Outputs
from bench.bodymodels.surface import CHARTS
from bench.heads import pixel_head

COLOURS = 3


class TextureHead(nn.Module):
    """Every texel looks for its colour in the image: attention of learned queries to the pixels' features.

    After Texformer (arXiv:2109.02563), whose queries are a map of the surface and whose values are colours;
    here both keys and values are read off the encoder's maps.
    """

    def __init__(self, info: FeatureInfo, texels: int, width: int) -> None:
        """Size the layers.

        Args:
            info: of an encoder with maps.
            texels: S.
            width: of queries and keys.
        """
        super().__init__()
        self.texels, self.width = texels, width
        self.pixels = pixel_head(info, width + COLOURS)
        self.queries = nn.Parameter(torch.randn(CHARTS * texels**2, width))

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `texture` (N, 24, S, S, 3) float32 in [0, 1]; rows are V, columns U."""
        keys, values = torch.split(self.pixels.maps(features).float().flatten(2), [self.width, COLOURS], 1)
        attention = (self.queries @ keys / self.width**0.5).softmax(-1)  # (N, T, h w)
        texture = attention @ values.sigmoid().mT
        return {"texture": texture.view(len(texture), CHARTS, self.texels, self.texels, COLOURS)}


def render(texture: Tensor, chart: Tensor, uv: Tensor) -> Tensor:
    """Read a texture between its texels wherever an image shows the body.

    Args:
        texture: (N, 24, S, S, C).
        chart: 0..24, 0 = background, (N, H, W).
        uv: in [0, 1], (N, 2, H, W).

    Returns:
        (N, C, H, W), 0 on the background.
    """
    n, _, s, _, c = texture.shape
    place, weight = _corners(chart, uv, s)
    # on a CPU faster than grid_sample, and its gradient is deterministic on a GPU
    read = F.embedding_bag(place, texture.reshape(-1, c), per_sample_weights=weight, mode="sum")
    return read.view(n, *chart.shape[1:], c).permute(0, 3, 1, 2)


def splat(values: Tensor, chart: Tensor, uv: Tensor, texels: int) -> tuple[Tensor, Tensor]:
    """Spread an image over a texture, the transpose of `render`.

    Args:
        values: (N, C, H, W).
        chart: as for `render`.
        uv: as for `render`.
        texels: S.

    Returns:
        Weighted sums (N, 24, S, S, C) and weights (N, 24, S, S).
    """
    n, c = values.shape[:2]
    place, weight = _corners(chart, uv, texels)
    body = (chart > 0).flatten()  # most pixels are not
    place, weight = place[body], weight[body, :, None]
    pixels = values.permute(0, 2, 3, 1).reshape(-1, 1, c)[body]
    whole = torch.cat([pixels * weight, weight], -1).view(-1, c + 1)
    sums = whole.new_zeros(n * CHARTS * texels**2, c + 1).index_add_(0, place.flatten(), whole)
    found = sums.view(n, CHARTS, texels, texels, c + 1)
    return found[..., :c], found[..., c]


def fit(
    images: list[Tensor], charts: list[Tensor], uvs: list[Tensor], texels: int, rounds: int = 20
) -> Tensor:
    """Find the texture that renders nearest to some images of one moment, by steps down the squared error.

    Args:
        images: (N, C, H, W) each.
        charts: as for `render`.
        uvs: as for `render`.
        texels: S.
        rounds: how many steps; each divides the remaining error of a texel by its weights.

    Returns:
        (N, 24, S, S, C); texels that no image shows have the mean colour of the others.
    """
    views = list(zip(images, charts, uvs, strict=True))
    parts = [splat(*view, texels) for view in views]
    sums, weights = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
    shown = weights[..., None].clamp(min=1e-6)
    mean = sums.sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1e-6)[:, None]  # (N, C)
    texture = torch.where(weights[..., None] > 0, sums / shown, mean[:, None, None, None])
    for _ in range(rounds):
        left = [splat(image - render(texture, chart, uv), chart, uv, texels)[0] for image, chart, uv in views]
        texture = texture + torch.where(weights[..., None] > 0, sum(left) / shown, 0.0)
    return texture


def _corners(chart: Tensor, uv: Tensor, texels: int) -> tuple[Tensor, Tensor]:
    """The four texels around each pixel, numbered through all samples, and their weights: (N H W, 4) each."""
    place = (uv * texels - 0.5).clamp(0, texels - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=texels - 1)
    (left, top), (right, bottom), (aside, down) = (x.unbind(1) for x in (low, high, place - low))
    first = torch.arange(len(chart), device=chart.device)[:, None, None] * CHARTS
    start = (first + (chart - 1).clamp(min=0)) * texels
    body = chart > 0
    found = [
        ((start + row) * texels + column, tall * wide * body)
        for row, tall in ((top, 1 - down), (bottom, down))
        for column, wide in ((left, 1 - aside), (right, aside))
    ]
    index, weight = (torch.stack(part, -1).view(-1, 4) for part in zip(*found, strict=True))
    return index, weight
