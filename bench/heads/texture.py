"""Textures of the body: a network that makes one of an image, and the way between texture and image.

A *texture* has S x S texels for each of the 24 charts of the surface. Where an image shows which place (chart
and UV) is known, so that rendering is reading: differentiable in the colours alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, Encoder, Outputs
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import CHARTS, ChartLookup, surrogate_labels
from bench.heads.dense import pixel_head

COLOURS = 3


class TextureNetwork(nn.Module):
    """Every texel looks for its colour in the image: attention of places on the body to places in the image.

    After Texformer (arXiv:2109.02563), whose queries are the template's coordinates painted into the map of
    the surface, and whose values are the image; keys are the encoder's maps and where their cells lie.
    """

    def __init__(self, encoder: Encoder, modality: str, texels: int, width: int) -> None:
        """Size the layers.

        Args:
            encoder: of images, with maps.
            modality: the image in the batch.
            texels: S.
            width: of queries and keys.
        """
        super().__init__()
        self.encoder, self.modality = encoder, modality
        self.texels, self.width = texels, width
        self.pixels = pixel_head(encoder.feature_info, width)
        self.position = nn.Linear(2, width)
        self.register_buffer("places", texel_places(texels))
        self.queries = nn.Sequential(
            nn.Linear(COLOURS, 4 * width), nn.GELU(), nn.Linear(4 * width, 2 * width), nn.GELU(),
            nn.Linear(2 * width, width),
        )  # fmt: skip

    def forward(self, batch: Batch) -> Outputs:
        """Return `texture` (N, 24, S, S, 3) float32 in [0, 1]; rows are V, columns U."""
        image = batch[self.modality]
        maps = self.pixels.maps(self.encoder(image, *self.encoder.besides(batch))).float()
        n, h, w = len(maps), *maps.shape[2:]
        keys = maps.flatten(2).mT + self.position(_cells(h, w, maps.device))  # (N, h w, D)
        colours = F.adaptive_avg_pool2d(image.float(), (h, w)).flatten(2).mT  # (N, h w, 3)
        queries = self.queries(self.get_buffer("places"))  # (T, D)
        attention = (queries @ keys.mT / self.width**0.5).softmax(-1)  # (N, T, h w)
        texture = (attention @ colours).clamp(0, 1)
        return {"texture": texture.view(n, CHARTS, self.texels, self.texels, COLOURS)}


@cache
def texel_places(texels: int) -> Tensor:
    """Where the texels (24 S S) lie on the mean body, metres, (T, 3) float32; beyond a chart, its border."""
    body = surrogate_body()
    centre = (np.arange(texels) + 0.5) / texels
    chart, v, u = (x.ravel() for x in np.meshgrid(np.arange(1, 1 + CHARTS), centre, centre, indexing="ij"))
    face, weights = ChartLookup(body, surrogate_labels()).locate(chart, u, v)
    corners = body.v_template[body.faces[face]]
    return torch.from_numpy(np.einsum("tk,tkd->td", weights, corners).astype(np.float32))


def _cells(h: int, w: int, device: torch.device) -> Tensor:
    """Row and column of the middle of each cell, from -1 to 1, (h w, 2)."""
    rows, columns = ((2 * torch.arange(n, device=device) + 1) / n - 1 for n in (h, w))
    return torch.cartesian_prod(rows, columns)


def read(texture: Tensor, chart: Tensor, uv: Tensor) -> Tensor:
    """Read a texture between its texels at the pixels that show the body.

    Args:
        texture: (N, 24, S, S, C).
        chart: 0..24, 0 = background, (N, H, W).
        uv: in [0, 1], (N, 2, H, W).

    Returns:
        (M, C), in the order of the pixels with a chart.
    """
    place, weight = _corners(chart, uv, texture.shape[2])
    # on a CPU faster than grid_sample, and its gradient is deterministic on a GPU
    table = texture.reshape(-1, texture.shape[-1])
    return F.embedding_bag(place, table, per_sample_weights=weight, mode="sum")


def render(texture: Tensor, chart: Tensor, uv: Tensor) -> Tensor:
    """Draw a texture; the arguments are those of `read`.

    Returns:
        (N, C, H, W), 0 on the background.
    """
    out = texture.new_zeros(*chart.shape, texture.shape[-1])
    out[chart > 0] = read(texture, chart, uv)
    return out.permute(0, 3, 1, 2)


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
    pixels = values.permute(0, 2, 3, 1)[chart > 0][:, None]
    whole = torch.cat([pixels * weight[..., None], weight[..., None]], -1).view(-1, c + 1)
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
    """The four texels around each body pixel, numbered through all samples, and their weights: (M, 4)."""
    sample, row, column = (chart > 0).nonzero(as_tuple=True)
    place = (uv[sample, :, row, column] * texels - 0.5).clamp(0, texels - 1)  # (M, 2)
    low = place.floor().long()
    high = (low + 1).clamp(max=texels - 1)
    (left, top), (right, bottom), (aside, down) = (x.unbind(1) for x in (low, high, place - low))
    start = (sample * CHARTS + chart[sample, row, column] - 1) * texels
    found = [
        ((start + v) * texels + u, tall * wide)
        for v, tall in ((top, 1 - down), (bottom, down))
        for u, wide in ((left, 1 - aside), (right, aside))
    ]
    index, weight = (torch.stack(part, -1) for part in zip(*found, strict=True))
    return index, weight
