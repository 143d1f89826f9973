"""Supervised pretraining on 2D joints, a heat map each: the control of CroCo-Body (arXiv:2311.09104)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from torch import nn

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput
from bench.bodymodels.joints import joint_set
from bench.errors import ConfigError
from bench.heads.heatmap import HeatmapKind, heatmap_head
from bench.losses.heatmaps import confidences, gaussian_targets, heatmap_bce, heatmap_mse
from bench.settings import Count, OffWhen, Positive

RARE = 0.01  # about the share of a heat map that a joint covers; logits start there


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointsConfig:
    head: HeatmapKind = "linear"  # one layer per patch; "deconv", "finest" as in the task pose2d
    # channels inside the head "deconv"; null follows the encoder
    width: Annotated[Count | None, OffWhen(head=("linear", "finest"))] = None
    loss: Literal["bce", "mse"] = "bce"  # of a sigmoid, or of the plain values
    sigma: Positive = 2.0  # of the targets, cells of the heat map

    def check(self, *, where: str, wanted: Sequence[str], joint_set: str) -> None:
        """Check that the data have joints, and that batches hold them."""
        if "keypoints" not in wanted or not joint_set:
            stage = where.removesuffix(".config")
            raise ConfigError(f"{stage}: needs data with joints, and keypoints in {stage}.fields")


class Keypoints(Method):
    """Predict heat maps of the labelled joints; the head is thrown away, the encoder handed on.

    A joint counts by its confidence; visibility counts as 1.
    """

    Config: ClassVar[type] = KeypointsConfig

    def __init__(self, cfg: KeypointsConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        """Build the head.

        Raises:
            ConfigError: the encoder is not one of colour, or the data have no joints.
        """
        super().__init__(cfg, encoders, data)
        if set(encoders) != {"rgb"}:
            raise ConfigError(f"keypoints trains one colour encoder, got {', '.join(encoders) or 'none'}")
        if not data.joint_set:
            raise ConfigError("keypoints needs data with joints; these have none")
        self.cfg = cfg
        joints = len(joint_set(data.joint_set))
        self.head = heatmap_head(encoders["rgb"].feature_info, joints, cfg.head, cfg.width)
        if cfg.loss == "bce":
            nn.init.constant_(self.head.get_parameter("out.bias"), math.log(RARE / (1 - RARE)))

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        rgb, joints = batch["rgb"], batch["keypoints"]
        size = (rgb.shape[-2], rgb.shape[-1])
        maps = self.head(self.encoders["rgb"](rgb), size)["heatmaps"]
        targets = gaussian_targets(joints[..., :2], (maps.shape[2], maps.shape[3]), size, self.cfg.sigma)
        loss = heatmap_bce if self.cfg.loss == "bce" else heatmap_mse
        return StepOutput(terms={"keypoints": loss(maps, targets, confidences(joints, size), ctx.group)})

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, float]:
        return {"weight_decay": 0.0} if parameter.ndim <= 1 else {}
