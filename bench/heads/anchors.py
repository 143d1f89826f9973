"""Anchors that vote for joints (A2J; Xiong et al., arXiv:1908.09999), and their losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import FeatureInfo, Features, Outputs
from bench.errors import ConfigError
from bench.heads.pixel import upsample
from bench.losses.numerics import in_float32

WIDEST = 256  # channels of a branch in A2J
COARSE = 16  # stride from which a cell has 4 x 4 anchors, as A2J on a ResNet; finer ones have 3 x 3
CROP = 288  # pixels of width in which the losses count (HCMoCo's released code)
DEPTH_SCALE = 50.0  # of metres, in the loss
DELTA_XY, DELTA_Z = 1.0, 3.0  # where smooth L1 turns linear: pixels; scaled metres
REGRESSION = 3.0  # weight of the regression beside the anchors' own places
SHARE_XY = 0.5  # of the regression in the plane


class AnchorHead(nn.Module):
    """All maps on the finest grid, then three branches: weights of the anchors, offsets and depths.

    Levels are joined by a 1x1 layer before the branches, so that their cost does not follow the width of the
    encoder (design choice: the original convolves the concatenation itself).
    """

    def __init__(self, info: FeatureInfo, joints: int, width: int | None = None, layers: int = 4) -> None:
        """Size the layers.

        Args:
            info: of a pyramid or tokens encoder.
            joints: J.
            width: channels; None takes those of the coarsest map, at most 256.
            layers: 3x3 convolutions of a branch before its last one.

        Raises:
            ConfigError: the encoder returns no maps.
        """
        super().__init__()
        if info.kind not in ("pyramid", "tokens"):
            raise ConfigError(f'a "{info.kind}" encoder has no image maps: anchors need pyramid or tokens')
        inner = min(WIDEST, info.channels[-1]) if width is None else width
        self.joints, self.per_side = joints, 4 if info.strides[0] >= COARSE else 3
        self.channels = list(info.channels)
        self.mix = nn.Conv2d(sum(self.channels), inner, 1, bias=False)  # batch norm has the bias
        self.norm = nn.BatchNorm2d(inner)
        anchors = self.per_side**2
        self.weights = _branch(inner, layers, anchors * joints)
        self.offsets = _branch(inner, layers, anchors * joints * 2)
        self.depths = _branch(inner, layers, anchors * joints)

    def forward(self, features: Features, size: tuple[int, int]) -> Outputs:
        """Return `xy` and `anchors` (N, J, 2), pixels, and `depth_m` (N, J), metres past the centre; float32.

        `anchors` is the weighted mean of the anchors, `xy` that of their votes.
        """
        finest = features.maps[0]
        cells = (finest.shape[2], finest.shape[3])
        kernels = torch.split(self.mix.weight, self.channels, 1)
        mixed = F.conv2d(finest, kernels[0])
        for level, kernel in zip(features.maps[1:], kernels[1:], strict=True):
            mixed = mixed + upsample(F.conv2d(level, kernel), cells)
        shared = torch.relu(self.norm(mixed))
        votes = self._per_anchor(self.weights(shared), 1)[..., 0].softmax(2)  # (N, J, A)
        places = anchor_places(cells, size, self.per_side).to(votes.device)  # (A, 2)
        # offsets are in cells of a crop of 288 pixels, so that a layer's scale does not follow the crop
        offsets = self._per_anchor(self.offsets(shared), 2) * (size[1] / CROP)
        anchors = votes @ places
        moved = torch.einsum("nja,njac->njc", votes, offsets)
        depth = (votes * self._per_anchor(self.depths(shared), 1)[..., 0]).sum(2) / DEPTH_SCALE
        return {"xy": anchors + moved, "anchors": anchors, "depth_m": depth}

    def _per_anchor(self, maps: Tensor, values: int) -> Tensor:
        """(N, k k J values, h, w) to (N, J, A, values), anchors as in `anchor_places`."""
        n, _, h, w = maps.shape
        split = maps.float().view(n, self.per_side**2, self.joints, values, h * w)
        return split.permute(0, 2, 4, 1, 3).reshape(n, self.joints, -1, values)


def anchor_places(cells: tuple[int, int], size: tuple[int, int], per_side: int) -> Tensor:
    """Places of all anchors: in the cells in rows, in each cell row by row.

    Three per side lie at 1/4, 1/2, 3/4 of the cell (pixels 1, 2, 3 of 4), four at 1/8, 3/8, 5/8, 7/8 (2, 6,
    10, 14 of 16).

    Args:
        cells: (h, w).
        size: (H, W) of the image, pixels.
        per_side: 3 or 4 anchors.

    Returns:
        x, y in pixels, (h w per_side^2, 2) float32.
    """
    inside = (torch.arange(per_side) + 1) / 4 if per_side == 3 else (torch.arange(per_side) + 0.5) / per_side
    rows = (torch.arange(cells[0])[:, None] + inside) * (size[0] / cells[0])  # (h, k)
    columns = (torch.arange(cells[1])[:, None] + inside) * (size[1] / cells[1])  # (w, k)
    y = rows[:, None, :, None].expand(-1, len(columns), -1, per_side)
    x = columns[None, :, None, :].expand(len(rows), -1, per_side, -1)
    return torch.stack([x, y], -1).reshape(-1, 2)


@in_float32
def anchor_losses(out: Outputs, xy: Tensor, depth_m: Tensor, width: int) -> dict[str, Tensor]:
    """Losses of A2J as in HCMoCo: anchors around the joint, plus three times the regression.

    Args:
        out: of `AnchorHead`.
        xy: true places, pixels, (N, J, 2).
        depth_m: true depths past the centre, metres, (N, J).
        width: of the crop, pixels; places are compared in 288ths of it.

    Returns:
        `anchors`, `places` and `depths`, scalars.
    """
    scale = CROP / width
    wanted = xy * scale
    around = F.smooth_l1_loss(out["anchors"] * scale, wanted, beta=DELTA_XY)
    places = F.smooth_l1_loss(out["xy"] * scale, wanted, beta=DELTA_XY)
    depths = F.smooth_l1_loss(out["depth_m"] * DEPTH_SCALE, depth_m * DEPTH_SCALE, beta=DELTA_Z)
    return {"anchors": around, "places": REGRESSION * SHARE_XY * places, "depths": REGRESSION * depths}


def _branch(width: int, layers: int, channels: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        parts += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts, nn.Conv2d(width, channels, 3, padding=1))
