"""Geometric and photometric augmentation of whole batches.

One affine map per sample is shared by all pictures, label maps and positions of the sample. All random
numbers come from the generator, and as many are drawn whatever the options, so that switching one option off
leaves the others as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import Batch
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.surface import DP24_FLIP, P25_FLIP, TORSO_CHARTS
from bench.data.batches import inside, joints_of
from bench.errors import ConfigError, nearest

LAWS = ("uniform", "normal")
UNTOUCHED = ("sample_id", "cluster", "betas")  # and `valid.*`
NEAREST = ("depth", "parts", "chart", "mask", "uv")  # label maps and depth; padded with 0
POSITIONS = ("points", "point_chart", "point_uv", "kp", "kp_pix", "kp_vis", "kp_known", "kp2d")
DRAWS = 9  # uniform numbers per sample for the geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The `augment` section of a method's stage or of a task. The default changes nothing."""

    scale: tuple[float, float] = (1.0, 1.0)  # factor on the size of the person
    rotation: float = 0.0  # degrees, both ways
    rotation_p: float = 1.0  # share of samples that are rotated
    shift: float = 0.0  # of the side, both ways, both axes
    flip: bool = False  # mirror half of the samples
    crop_scale: tuple[float, float] = (1.0, 1.0)  # area of a square cut out at a random place and enlarged
    law: str = "uniform"  # or "normal": scale N(1, half the range) in the range, rotation N(0, r) within 2 r
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)  # brightness, contrast, saturation: factors 1 +- j

    @property
    def warps(self) -> bool:
        """Whether pictures are resampled; mirroring alone is exact."""
        rotates = self.rotation > 0 and self.rotation_p > 0
        return rotates or self.shift > 0 or self.scale != (1.0, 1.0) or self.crop_scale != (1.0, 1.0)


def parse(given: Mapping[str, Any]) -> Spec:
    """Check a plain augmentation spec; absent keys change nothing.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    known = [field.name for field in fields(Spec)]
    for key in given:
        if key not in known:
            raise ConfigError(f'augment: unknown key "{key}".{nearest(str(key), known)}')
    values: dict[str, Any] = {}
    for name, value in given.items():
        default = getattr(Spec(), name)
        try:
            values[name] = tuple(map(float, value)) if isinstance(default, tuple) else type(default)(value)
        except (TypeError, ValueError):
            raise ConfigError(f"augment.{name}: {value!r} is no value like {default!r}") from None
    spec = Spec(**values)
    for name, pair in (("scale", spec.scale), ("crop_scale", spec.crop_scale)):
        if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
            raise ConfigError(f"augment.{name}: {list(pair)} is not a range of positive numbers")
    if spec.crop_scale[1] > 1:
        raise ConfigError(f"augment.crop_scale: {list(spec.crop_scale)} exceeds the area of the picture, 1")
    if len(spec.jitter) != 3 or not all(0 <= j < 1 for j in spec.jitter):
        raise ConfigError(f"augment.jitter: {list(spec.jitter)} is not three numbers in [0, 1)")
    if spec.rotation < 0 or spec.shift < 0 or not 0 <= spec.rotation_p <= 1:
        raise ConfigError("augment: rotation and shift must not be negative, rotation_p lies in [0, 1]")
    if spec.law not in LAWS:
        raise ConfigError(f'augment.law: unknown "{spec.law}".{nearest(spec.law, LAWS)}')
    return spec


def augment(
    batch: Batch, spec: Mapping[str, Any] | Spec, generator: torch.Generator, *, joint_set: str = "smpl24"
) -> Batch:
    """Move, turn, zoom, mirror and tint the samples of a batch.

    Colour is resampled bilinearly; depth and label maps take the nearest pixel; what comes from outside is 0.
    Points that leave the picture become absent, joints invisible; `kp2d` is computed anew. Mirroring swaps
    left and right joints, classes and charts.

    Args:
        batch: as `bench.data.batches.to_batch` makes it.
        spec: plain or parsed.
        generator: on the CPU; the only source of randomness.
        joint_set: of the joints.

    Returns:
        A new batch with the same keys; the batch itself where the spec changes nothing.

    Raises:
        ConfigError: the spec is wrong, or the batch has an entry that cannot be augmented.
    """
    options = spec if isinstance(spec, Spec) else parse(spec)
    if options == Spec():
        return batch
    _check(batch, options)
    first = next(iter(batch.values()))
    uniform = torch.rand(len(first), DRAWS, generator=generator, dtype=torch.float64)
    normal = torch.randn(len(first), 2, generator=generator, dtype=torch.float64)
    tint = torch.rand(len(first), 3, generator=generator)
    out = dict(batch)
    if options.warps or options.flip:
        size = _size(batch)
        mirrored = (uniform[:, 0] < 0.5) & options.flip
        forward = affine(options, mirrored, uniform, normal, size)
        flips = mirrored.to(first.device)
        out |= _maps(batch, options, forward, flips, size)
        out |= _points(batch, forward, flips, size)
        out |= _key_points(batch, forward, flips, size, joint_set)
    if "rgb" in batch and any(options.jitter):
        factors = 1 + (2 * tint - 1) * torch.tensor(options.jitter)
        out["rgb"] = _tint(out["rgb"], factors.to(first.device))
    return out


def _check(batch: Batch, options: Spec) -> None:
    if not (options.warps or options.flip):
        return
    known = ("rgb", *NEAREST, *POSITIONS, *UNTOUCHED)
    for name in batch:
        if name not in known and not name.startswith("valid."):
            raise ConfigError(
                f'batches with "{name}" cannot be augmented geometrically; known: {", ".join(known)}'
            )
    if "uv" in batch and "chart" not in batch:
        raise ConfigError('"uv" maps can be augmented only together with "chart"')
    if "points" in batch and not {"point_chart", "point_uv"} <= batch.keys():
        raise ConfigError('"points" can be augmented only together with "point_chart" and "point_uv"')


def _size(batch: Batch) -> int:
    for name in ("rgb", *NEAREST):
        if name in batch:
            return int(batch[name].shape[-1])
    raise ConfigError("a batch without pictures cannot be augmented geometrically")


def affine(options: Spec, mirrored: Tensor, uniform: Tensor, normal: Tensor, size: int) -> Tensor:
    """Maps from old to new positions, in (x, y) pixels.

    Order: cut out a square and enlarge it, mirror, rotate and scale about the middle, shift.

    Args:
        options: what to do.
        mirrored: (N,) bool.
        uniform: in [0, 1), (N, 9); column 0 has decided on mirroring.
        normal: standard normal numbers, (N, 2).
        size: of the pictures, pixels.

    Returns:
        (N, 3, 3) float64.
    """
    low, high = options.scale
    scale = low + (high - low) * uniform[:, 1]
    angle = options.rotation * (2 * uniform[:, 2] - 1)
    if options.law == "normal":
        scale = (1 + (high - low) / 2 * normal[:, 0]).clamp(low, high)
        angle = options.rotation * normal[:, 1].clamp(-2, 2)
    angle = torch.where(uniform[:, 3] < options.rotation_p, angle, 0) * math.pi / 180
    area = options.crop_scale[0] + (options.crop_scale[1] - options.crop_scale[0]) * uniform[:, 4]
    side = area.sqrt() * size
    middle = size / 2
    cut = _matrix(size / side, -(size * (size - side) / side)[:, None] * uniform[:, 5:7])
    mirror = torch.where(mirrored, -1.0, 1.0).to(torch.float64)
    shift = options.shift * size * (2 * uniform[:, 7:9] - 1)
    turn = torch.zeros(len(uniform), 3, 3, dtype=torch.float64)
    turn[:, 0, 0], turn[:, 0, 1] = scale * angle.cos() * mirror, -scale * angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = scale * angle.sin() * mirror, scale * angle.cos()
    turn[:, 2, 2] = 1
    turn[:, :2, 2] = middle + shift - turn[:, :2, :2].sum(2) * middle
    return turn @ cut


def _matrix(zoom: Tensor, move: Tensor) -> Tensor:
    """Scale by `zoom` (N,) about the origin, then move by (N, 2): (N, 3, 3)."""
    matrix = torch.zeros(len(zoom), 3, 3, dtype=torch.float64)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
    matrix[:, :2, 2] = move
    matrix[:, 2, 2] = 1
    return matrix


def _maps(batch: Batch, options: Spec, forward: Tensor, flips: Tensor, size: int) -> Batch:
    """Resample pictures and label maps, and swap the sides of labels."""
    out = {name: batch[name] for name in ("rgb", *NEAREST) if name in batch}
    device = flips.device
    if options.warps:
        grid = _grid(forward, size).to(device)  # (N, H, W, 2)
        place = ((grid + 1) * (size / 2)).floor().long()
        within = inside(place, size)  # (N, H, W)
        index = (place[..., 1] * size + place[..., 0]).masked_fill(~within, 0).flatten(1)  # (N, H W)
        for name, values in out.items():
            if name == "rgb":
                out[name] = F.grid_sample(values, grid, align_corners=False)
            else:
                out[name] = _gather(values, index, within)
    else:
        for name, values in out.items():
            out[name] = _choose(flips, values.flip(-1), values)
    if "chart" in out and "uv" in out:
        torso = torch.isin(out["chart"], torch.tensor(TORSO_CHARTS, device=device))
        turned = torch.where(torso, 1 - out["uv"][:, 0], out["uv"][:, 0])
        out["uv"] = _choose(flips, torch.stack([turned, out["uv"][:, 1]], 1), out["uv"])
    for name, table in _swaps(device).items():
        if name in out:
            out[name] = _choose(flips, table[out[name]], out[name])
    return out


def _grid(forward: Tensor, size: int) -> Tensor:
    """Where each new pixel centre comes from, in the coordinates of `grid_sample`, (N, H, W, 2) float32."""
    to_unit = torch.tensor([[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1]], dtype=torch.float64)
    backward = to_unit @ torch.linalg.inv(forward) @ torch.linalg.inv(to_unit)
    return F.affine_grid(backward[:, :2].float(), [len(forward), 1, size, size], align_corners=False)


def _gather(values: Tensor, index: Tensor, within: Tensor) -> Tensor:
    """Read (N, [C,] H, W) at flat pixel positions (N, H W); 0 outside."""
    if values.ndim == 3:
        return values.flatten(1).gather(1, index).view(within.shape).masked_fill(~within, 0)
    channels = index[:, None].expand(-1, values.shape[1], -1)
    return values.flatten(2).gather(2, channels).view(values.shape).masked_fill(~within[:, None], 0)


def _points(batch: Batch, forward: Tensor, flips: Tensor, size: int) -> Batch:
    """Move annotated points; those that leave the picture become absent."""
    if "points" not in batch:
        return {name: batch[name] for name in POSITIONS if name in batch and name.startswith("point")}
    chart, uv = batch["point_chart"], batch["point_uv"]
    moved = _move(batch["points"] + 0.5, forward)  # from pixels to positions in the plane
    kept = (chart > 0) & inside(moved, size)
    torso = torch.isin(chart, torch.tensor(TORSO_CHARTS, device=flips.device))
    turned = torch.stack([torch.where(torso, 1 - uv[..., 0], uv[..., 0]), uv[..., 1]], -1)
    swapped = _swaps(flips.device)["chart"][chart]
    return {
        "points": torch.where(kept[..., None], moved - 0.5, -1.0),
        "point_chart": torch.where(kept, _choose(flips, swapped, chart), 0),
        "point_uv": torch.where(kept[..., None], _choose(flips, turned, uv), 0.0),
    }


def _key_points(batch: Batch, forward: Tensor, flips: Tensor, size: int, joint_set: str) -> Batch:
    """Move exact and detected joints, and normalise the latter anew."""
    order = torch.tensor(JOINT_SETS[joint_set].flip, device=flips.device)
    out: Batch = {}
    if "kp" in batch:
        joints = _choose(flips, batch["kp"][:, order], batch["kp"])
        pixels = _move(joints[..., :2], forward)
        visible = torch.where(inside(pixels, size), joints[..., 3], 0.0)
        out["kp"] = torch.cat([pixels, joints[..., 2:3], visible[..., None]], -1)
    if "kp_pix" in batch:
        known = _choose(flips, batch["kp_known"][:, order], batch["kp_known"])
        pixels = _move(_choose(flips, batch["kp_pix"][:, order], batch["kp_pix"]), forward)
        out |= joints_of(torch.where(known[..., None], pixels, -1.0), known, size, joint_set)
    return out


def _move(positions: Tensor, forward: Tensor) -> Tensor:
    """Map (row, col) positions (N, P, 2)."""
    matrix = forward.to(positions.device, positions.dtype)
    moved = positions.flip(-1) @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 2]
    return moved.flip(-1)


def _choose(flags: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Pick rows by (N,) flags."""
    return torch.where(flags.view(-1, *[1] * (no.ndim - 1)), yes, no)


@cache
def _swaps(device: torch.device) -> dict[str, Tensor]:
    """What classes and charts become in the mirror."""
    tables = {"parts": P25_FLIP, "chart": DP24_FLIP}
    return {name: torch.from_numpy(table.astype("int64")).to(device) for name, table in tables.items()}


def _tint(rgb: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast (about the mean grey) and saturation (about the grey of each pixel)."""
    brightness, contrast, saturation = factors.to(rgb.dtype).view(-1, 3, 1, 1, 1).unbind(1)
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
    bright = (rgb * brightness).clamp(0, 1)
    mean = (bright * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    spread = torch.lerp(mean, bright, contrast).clamp(0, 1)
    return torch.lerp((spread * weights).sum(1, keepdim=True), spread, saturation).clamp(0, 1)
