"""PointNet++ on depth: measured pixels as points in the frame of the camera (arXiv:1706.02413).

Multi-scale grouping on positions alone, the second depth encoder of HCMoCo (arXiv:2203.13815). Only
differences of positions enter, so that nothing has to be centred. Design choices: the points are an even part
of the measured pixels rather than a draw, so that equal images have equal features; a ball gives its nearest
points rather than the first ones found, so that their order does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Encoder, FeatureInfo, Features
from bench.errors import ConfigError, StepError
from bench.settings import Count, Positive

CHUNK = 2**24  # distances that are in memory at once
GUARD = 1e-8  # metres, added to distances that are divided by
NEIGHBOURS = 3  # of an interpolation


@dataclass(frozen=True, slots=True, kw_only=True)
class PointNet2Config:
    points: tuple[Count, ...] = (4096, 1024, 256, 64)  # per level, fine to coarse; the first are drawn
    # metres, per level and scale
    radii: tuple[tuple[Positive, ...], ...] = ((0.025, 0.125), (0.125, 0.25), (0.25, 0.5), (0.5, 1.0))
    samples: tuple[Count, ...] = (16, 32)  # at most so many points in a ball, per scale
    widths: tuple[tuple[tuple[Count, ...], ...], ...] = (  # of the layers, per level and scale
        ((16, 32), (32, 64)),
        ((64, 128), (64, 128)),
        ((128, 256), (128, 256)),
        ((256, 512), (256, 512)),
    )
    back: tuple[tuple[Count, ...], ...] = ((128, 128), (256, 256), (512, 512), (512, 512))  # on the way back
    stride: Count = 4  # pixels per cell of the map that is interpolated from the points

    def __post_init__(self) -> None:
        """Check that levels and scales go together.

        Raises:
            ConfigError: they do not.
        """
        levels, scales = len(self.points), len(self.samples)
        if not levels or not (levels == len(self.radii) == len(self.widths) == len(self.back)):
            raise ConfigError("PointNet++: points, radii, widths and back need one entry per level each")
        if any(len(part) != scales for level in (self.radii, self.widths) for part in level):
            raise ConfigError(f"PointNet++: radii and widths need {scales} entries per level, as samples has")
        if any(coarse > fine for fine, coarse in zip(self.points, self.points[1:], strict=False)):
            raise ConfigError(f"PointNet++: points {list(self.points)} must not grow from level to level")
        if not all(layers for layers in (*self.back, *(w for level in self.widths for w in level))):
            raise ConfigError("PointNet++: widths and back need at least one layer each")


class PointNet2(Encoder):
    """Four levels of sampling and grouping, and the way back to all points.

    `tokens` are the features of the points, `pooled` their mean; the one map is interpolated between them,
    zero where nothing was measured. It reads the field `camera` besides.
    """

    Config = PointNet2Config
    fields: ClassVar[tuple[str, ...]] = ("camera",)

    def __init__(self, cfg: PointNet2Config, modality: str, joint_set: str | None = None) -> None:
        """Create the layers.

        Args:
            cfg: see `PointNet2Config`.
            modality: `depth`.
            joint_set: unused, depth has no joints.

        Raises:
            ConfigError: another modality.
        """
        super().__init__()
        if modality != "depth":
            raise ConfigError(f'PointNet++ reads depth, not "{modality}"')
        self.cfg = cfg
        inputs = [0]
        self.down = nn.ModuleList()
        for points, radii, widths in zip(cfg.points, cfg.radii, cfg.widths, strict=True):
            self.down.append(SetAbstraction(points, radii, cfg.samples, widths, inputs[-1]))
            inputs.append(sum(layers[-1] for layers in widths))
        self.up = nn.ModuleList()  # coarse to fine
        coarse = inputs[-1]
        for skipped, layers in zip(reversed(inputs[:-1]), reversed(cfg.back), strict=True):
            self.up.append(_Layers(coarse + skipped, layers))
            coarse = layers[-1]
        self.feature_info = FeatureInfo(
            kind="points", channels=(coarse,), strides=(cfg.stride,), pooled=coarse
        )

    def forward(self, x: Tensor, camera: Tensor | None = None) -> Features:
        """Encode depth.

        Args:
            x: (N, 1, H, W) metres, 0 = no measurement.
            camera: (N, 3, 3) intrinsics of these pixels.

        Raises:
            StepError: without the camera.
        """
        if camera is None:
            raise StepError("PointNet++ needs the field `camera` of the data: positions are metres")
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            positions = back_project(x, camera.to(x.dtype))
            xyz = spread_points(positions, x[:, 0] > 0, self.cfg.points[0])
        tokens = self.encode_points(xyz)
        grid = (-(-x.shape[2] // self.cfg.stride), -(-x.shape[3] // self.cfg.stride))
        with torch.no_grad():
            cells = F.interpolate(positions, grid, mode="nearest").flatten(2).mT  # (N, h w, 3)
            measured = F.interpolate(x, grid, mode="nearest").flatten(2).mT > 0  # (N, h w, 1)
        between = torch.where(measured, interpolate(cells, xyz, tokens), 0.0)
        return Features(
            maps=(between.mT.reshape(len(x), between.shape[2], *grid),),
            pooled=tokens.mean(1),
            tokens=tokens,
            xyz=xyz,
        )

    def encode_points(self, xyz: Tensor) -> Tensor:
        """Map points (N, P, 3) in metres to features (N, P, C)."""
        levels: list[tuple[Tensor, Tensor | None]] = [(xyz, None)]
        for abstraction in self.down:
            levels.append(abstraction(*levels[-1]))
        places, features = levels.pop()
        assert features is not None
        for layers in self.up:
            finer, skipped = levels.pop()
            features = interpolate(finer, places, features)
            if skipped is not None:
                features = torch.cat([features, skipped.to(features.dtype)], 2)
            features, places = layers(features), finer
        return features


class SetAbstraction(nn.Module):
    """Choose centres, collect what lies in balls of several radii around them, keep the maximum."""

    def __init__(
        self,
        points: int,
        radii: Sequence[float],
        samples: Sequence[int],
        widths: Sequence[Sequence[int]],
        inputs: int,
    ) -> None:
        super().__init__()
        self.points = points
        self.radii, self.samples = tuple(radii), tuple(samples)
        self.scales = nn.ModuleList(_Layers(3 + inputs, layers) for layers in widths)

    def forward(self, xyz: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return centres (N, m, 3) and their features (N, m, C'); from points (N, n, 3) and (N, n, C)."""
        centres = xyz
        if xyz.shape[1] > self.points:
            centres = pick(xyz, farthest_points(xyz, self.points))
        distances, nearest = neighbours(centres, xyz, max(self.samples))
        found = []
        for radius, samples, layers in zip(self.radii, self.samples, self.scales, strict=True):
            index, near = nearest[..., :samples], distances[..., :samples] <= radius
            index = torch.where(near, index, nearest[..., :1])  # repeats leave the maximum as it is
            grouped = pick(xyz, index) - centres[:, :, None]  # (N, m, k, 3)
            if features is not None:
                grouped = torch.cat([grouped.to(features.dtype), pick(features, index)], 3)
            found.append(layers(grouped).amax(2))
        return centres, torch.cat(found, 2)


class _Layers(nn.Module):
    """Linear layers with batch norm and ReLU on the last axis."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
            inputs = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x.flatten(0, -2))
        return out.view(*x.shape[:-1], out.shape[1])


def back_project(depth: Tensor, camera: Tensor) -> Tensor:
    """Return where each pixel lies in the frame of the camera (x right, y down, z ahead).

    Args:
        depth: (N, 1, H, W) metres along z.
        camera: (N, 3, 3) intrinsics in pixels, pixel centres at .5.

    Returns:
        (N, 3, H, W) metres; the origin where nothing was measured.
    """
    h, w = depth.shape[2:]
    rows, columns = (torch.arange(n, device=depth.device, dtype=depth.dtype) + 0.5 for n in (h, w))
    columns, rows = torch.meshgrid(columns, rows, indexing="xy")  # (H, W) each
    pixels = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)  # (3, H W)
    rays: Tensor = torch.linalg.inv(camera) @ pixels
    return rays.view(len(depth), 3, h, w) * depth


def spread_points(positions: Tensor, measured: Tensor, count: int) -> Tensor:
    """Take an even part of the measured pixels, row by row; pixels repeat where there are too few.

    Args:
        positions: (N, 3, H, W).
        measured: (N, H, W) bool; where it holds nowhere the points are those of the first pixel.
        count: P.

    Returns:
        (N, P, 3).
    """
    flat = measured.flatten(1)
    order = flat.int().argsort(dim=1, descending=True, stable=True)  # measured pixels first
    there = flat.sum(1, keepdim=True).clamp(min=1)
    ranks = torch.arange(count, device=flat.device) * there // count
    return pick(positions.flatten(2).mT.contiguous(), order.gather(1, ranks))


@torch.no_grad()
def farthest_points(xyz: Tensor, count: int) -> Tensor:
    """Choose points one by one, each the farthest from all before it; the first is point 0.

    Args:
        xyz: (N, n, 3).
        count: m.

    Returns:
        (N, m) int64; of equally far points the first one.
    """
    chosen = torch.zeros(len(xyz), count, dtype=torch.int64, device=xyz.device)
    gap = xyz.new_full(xyz.shape[:2], torch.inf)
    for i in range(1, count):
        last = xyz.gather(1, chosen[:, i - 1, None, None].expand(-1, 1, 3))
        gap = torch.minimum(gap, (xyz - last).square().sum(2))
        chosen[:, i] = gap.argmax(1)
    return chosen


@torch.no_grad()
def neighbours(centres: Tensor, xyz: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the nearest points of each centre.

    Args:
        centres: (N, m, 3).
        xyz: (N, n, 3).
        count: k; fewer where there are fewer points.

    Returns:
        Distances, and positions in `xyz`; (N, m, k) each, nearest first.
    """
    distances, found = [], []
    for part in torch.split(centres, max(1, CHUNK // max(1, xyz.shape[:2].numel())), 1):
        # the product form of distances is wrong by millimetres where points are close
        gaps = torch.cdist(part, xyz, compute_mode="donot_use_mm_for_euclid_dist")
        near = gaps.topk(min(count, xyz.shape[1]), largest=False)
        distances.append(near.values)
        found.append(near.indices)
    return torch.cat(distances, 1), torch.cat(found, 1)


def interpolate(places: Tensor, xyz: Tensor, features: Tensor) -> Tensor:
    """Read features (N, n, C) of points (N, n, 3) at places (N, m, 3): (N, m, C).

    Of the three nearest points, weighted by the inverse of their distance.
    """
    index, weights = inverse_distance(places, xyz)
    first = torch.arange(len(xyz), device=xyz.device)[:, None, None] * xyz.shape[1]
    read = F.embedding_bag(
        (index + first).flatten(0, 1),
        features.flatten(0, 1),
        per_sample_weights=weights.flatten(0, 1).to(features.dtype),
        mode="sum",
    )
    return read.view(*places.shape[:2], features.shape[2])


@torch.no_grad()
def inverse_distance(places: Tensor, xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Return the three nearest points of each place, and their weights, which add up to 1; (N, m, 3) each."""
    distances, index = neighbours(places, xyz, NEIGHBOURS)
    weights = 1 / (distances + GUARD)
    return index, weights / weights.sum(2, keepdim=True)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Read rows of values (N, n, C) at (N, ...): (N, ..., C). Its gradient is deterministic on a GPU."""
    first = torch.arange(len(values), device=values.device) * values.shape[1]
    return F.embedding(index + first.view(-1, *[1] * (index.ndim - 1)), values.flatten(0, 1))
