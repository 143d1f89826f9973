"""3D joints as the expectation over a volume of cells (soft-argmax; Sun et al., arXiv:1711.08229)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.api import FeatureInfo, Features, Outputs
from bench.heads.heatmap import HeatmapKind, LinearHeatmapProbe, heatmap_head

__all__ = ["HeatmapKind", "VolumetricHead", "soft_argmax"]


class VolumetricHead(nn.Module):
    """Heat maps with a depth axis: `joints` (N, J, 3), the mean place under the softmax of each volume.

    The volume covers the image and, in depth, `extent` times its width, the root in its middle.
    """

    def __init__(
        self,
        info: FeatureInfo,
        joints: int,
        bins: int,
        *,
        extent: float,
        kind: HeatmapKind = "deconv",
        width: int | None = None,
        probe: bool = False,
    ) -> None:
        """Size the layers.

        Args:
            info: of a pyramid or tokens encoder.
            joints: J.
            bins: cells in depth.
            extent: of the volume in depth, in widths of the image.
            kind: of the heat maps, see `heatmap_head`.
            width: channels inside the head, see `heatmap_head`.
            probe: a linear layer on all maps, for frozen features, instead of `kind`.

        Raises:
            ConfigError: the encoder returns no maps, or none that is fine enough.
        """
        super().__init__()
        channels = joints * bins
        self.bins, self.extent = bins, extent
        self.volume = (
            LinearHeatmapProbe(info, channels) if probe else heatmap_head(info, channels, kind, width)
        )

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `joints` (N, J, 3) float32: x, y in pixels of the image, depth past the root in the same."""
        maps = self.volume(features, size)["heatmaps"]
        place = soft_argmax(maps.unflatten(1, (-1, self.bins)))
        height, width = size
        depth = (place[..., 2] - 0.5) * self.extent * width
        return {"joints": torch.stack([place[..., 0] * width, place[..., 1] * height, depth], -1)}


def soft_argmax(logits: Tensor) -> Tensor:
    """Mean place under the softmax over a volume.

    Args:
        logits: (N, J, D, h, w).

    Returns:
        x, y, z in 0..1 of the volume's sides, cells counting at their middles, (N, J, 3) float32.
    """
    with torch.autocast(logits.device.type, enabled=False):
        share = logits.float().flatten(2).softmax(2).view(logits.shape)
        sides = (share.sum((2, 3)), share.sum((2, 4)), share.sum((3, 4)))  # along w, h, D
        middles = ((torch.arange(s.shape[-1], device=s.device) + 0.5) / s.shape[-1] for s in sides)
        return torch.stack([side @ middle for side, middle in zip(sides, middles, strict=True)], -1)
