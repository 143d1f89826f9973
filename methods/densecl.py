"""DenseCL: MoCo v2, and the same contrast for cells that look alike in both views (arXiv:2011.09157)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import Batch, Context, DataInfo, Encoder, StepOutput
from bench.heads.projection import channels_of_one_map, check_stride, map_projection, one_map
from bench.losses.momentum import MomentumCopy
from bench.losses.numerics import l2_normalize
from bench.losses.queue import KeyQueue
from bench.settings import Share, Whole
from methods.moco_v2 import MoCo, MoCoConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCLConfig(MoCoConfig):
    dense_weight: Share = 0.5  # of the cells in the loss; the images have the rest
    # 0 = cells of the last map; else of all maps, brought to a grid of cells of so many pixels
    dense_stride: Whole = 0

    def check(  # type: ignore[override]  # it asks the plan for more
        self, *, where: str, samples: int, batch: int, views: int, groups: int, size: tuple[int, int]
    ) -> None:
        """Check what MoCo does, and that cells are no larger than images."""
        MoCoConfig.check(self, where=where, samples=samples, batch=batch, views=views, groups=groups)
        check_stride(self.dense_stride, size, where)


class DenseCL(MoCo):
    """Contrast whole images and cells, each with its own queue; the cells' has one vector per image."""

    Config = DenseCLConfig

    def __init__(self, cfg: DenseCLConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        self.levels = cfg
        channels = channels_of_one_map(self.encoder.feature_info, cfg.dense_stride)
        self.dense_head = map_projection(channels, cfg.hidden, cfg.dim)
        self.key_dense_head = MomentumCopy(self.dense_head)
        self.queues["cell"] = KeyQueue(cfg.queue, cfg.dim)

    def before_step(self, ctx: Context) -> None:
        super().before_step(ctx)
        self.key_dense_head.follow(self.dense_head, self.levels.momentum)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        cfg, size = self.levels, (batch["rgb"].shape[2], batch["rgb"].shape[3])
        features = self.encode(batch, ctx)
        query, key = (one_map(found, size, cfg.dense_stride) for found in features)
        projected = self.key_dense_head(key)
        anchors = l2_normalize(_cells(self.dense_head(query)))  # (N, S, D)
        positives = at_matches(_cells(query), _cells(key), l2_normalize(_cells(projected)))
        keys = l2_normalize(projected.mean((2, 3)))
        image = self.image_level(*features)
        cell = self.contrast("cell", anchors.flatten(0, 1), positives.flatten(0, 1), keys)
        return StepOutput(terms={"image": (1 - cfg.dense_weight) * image, "cell": cfg.dense_weight * cell})


@torch.no_grad()
def at_matches(query: Tensor, key: Tensor, values: Tensor) -> Tensor:
    """Return for each cell of a query what the key has where it looks most alike (arXiv:2011.09157, Eq. 3).

    Args:
        query: (N, S, C) features of the encoder.
        key: (N, T, C) features of the key encoder.
        values: (N, T, D).

    Returns:
        (N, S, D): of each query cell the values at the key cell of the highest cosine similarity.
    """
    match = (l2_normalize(query) @ l2_normalize(key).mT).argmax(2)  # (N, S)
    return values.gather(1, match[:, :, None].expand(-1, -1, values.shape[2]))


def _cells(maps: Tensor) -> Tensor:
    """(N, C, h, w) to (N, h * w, C)."""
    return maps.flatten(2).mT
