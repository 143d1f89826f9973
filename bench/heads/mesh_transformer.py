"""A transformer over joints and coarse vertices of a body (METRO, arXiv:2012.09760)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features, Outputs
from bench.bodymodels.mean_pose import SCALE
from bench.errors import ConfigError

GRID = 7  # rows and columns of the last map, at most; finer ones are averaged
MASKED = 0.01  # what stands for the input of a masked query
CAMERA = 250  # width inside the head of the camera, at most
START = 0.01  # standard deviation of the fresh output layers: the first output is the template, nearly


class MeshTransformer(nn.Module):
    """Each query is a point of the template beside its own mix of the image's cells.

    As in METRO a 1x1 convolution over the cells of the last map gives one image token per query; three
    transformers of decreasing width follow. Its two linear layers between transformers, which nothing bends,
    are one here, and the output is what is added to the template (design choice: it starts as a person).
    """

    template: Tensor

    def __init__(
        self,
        info: FeatureInfo,
        size: tuple[int, int],
        template: Tensor,
        widths: Sequence[int] = (1024, 256, 128),
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        masked: float = 0.3,
    ) -> None:
        """Create the layers.

        Args:
            info: of an encoder with maps.
            size: (H, W) of its images.
            template: points that are predicted, about the root, metres, (Q, 3).
            widths: of the transformers, each a multiple of `heads`.
            layers: of each transformer.
            heads: of attention.
            dropout: inside them.
            masked: largest share of the queries whose input is hidden in training; each sample draws its own.

        Raises:
            ConfigError: the encoder has no maps.
        """
        super().__init__()
        if info.kind not in ("pyramid", "tokens"):
            raise ConfigError(f'a "{info.kind}" encoder has no image maps, which a mesh transformer reads')
        sides = [min(GRID, -(-side // info.strides[-1])) for side in size]
        self.grid, self.masked = (sides[0], sides[1]), masked
        queries, inputs = len(template), info.channels[-1] + 3
        self.register_buffer("template", template.clone(), persistent=False)
        self.cells = nn.Conv1d(self.grid[0] * self.grid[1], queries, 1)
        stages: list[nn.Module] = []
        for width in widths:
            layer = nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
            stages += [nn.Linear(inputs, width), encoder]
            inputs = width
        self.stages = nn.Sequential(*stages)
        self.points = nn.Linear(inputs, 3)
        inside = min(CAMERA, queries)
        self.camera = nn.Sequential(
            nn.Linear(inputs, 1), nn.Flatten(), nn.Linear(queries, inside), nn.Linear(inside, 3)
        )
        for output in (self.points, self.camera[-1]):
            nn.init.normal_(output.get_parameter("weight"), std=START)
            nn.init.zeros_(output.get_parameter("bias"))
        self.register_buffer("start", torch.tensor([SCALE, 0.0, 0.0]), persistent=False)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `points` (N, Q, 3) about the root, metres, and `camera` (N, 3): scale, x, y."""
        cells = F.adaptive_avg_pool2d(features.maps[-1], self.grid).flatten(2).mT  # (N, cells, C)
        places = self.template.expand(len(cells), -1, -1)
        queries = torch.cat([places, self.cells(cells)], 2)
        if self.training and self.masked:
            chance = torch.rand(len(cells), 1, 1, device=cells.device) * self.masked
            hidden = torch.rand(queries.shape[:2], device=cells.device)[..., None] < chance
            queries = torch.where(hidden, MASKED, queries)
        seen = self.stages(queries)
        return {"points": places + self.points(seen), "camera": self.get_buffer("start") + self.camera(seen)}
