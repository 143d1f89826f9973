"""Geometric and photometric augmentation of whole batches.

One affine map per sample is shared by all pictures, label maps and positions of the sample. All random
numbers come from `draws`, and as many are drawn whatever the options, so that switching one option off
leaves the others as they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import Batch, Draws
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.surface import DP24_FLIP, P25_FLIP, TORSO_CHARTS
from bench.data.augment_spec import Spec, parse
from bench.data.batches import inside, joints_of
from bench.errors import ConfigError

UNTOUCHED = ("sample_id", "cluster", "betas")  # and `valid.*`
NEAREST = ("depth", "parts", "chart", "mask", "uv")  # label maps and depth; padded with 0
POSITIONS = ("points", "point_chart", "point_uv", "kp", "kp_pix", "kp_vis", "kp_known", "kp2d")
DRAWS = 9  # uniform numbers per sample for the geometry


def augment(
    batch: Batch, spec: Mapping[str, Any] | Spec, draws: Draws, *, joint_set: str = "smpl24"
) -> Batch:
    """Move, turn, zoom, mirror and tint the samples of a batch.

    Colour is resampled bilinearly; depth and label maps take the nearest pixel; what comes from outside is 0.
    Points that leave the picture become absent, joints invisible; `kp2d` is computed anew. Mirroring swaps
    left and right joints, classes and charts.

    Args:
        batch: as `bench.data.batches.to_batch` makes it.
        spec: plain or parsed.
        draws: the only source of randomness.
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
    uniform = draws.rand(len(first), DRAWS, dtype=torch.float64)
    normal = draws.randn(len(first), 2, dtype=torch.float64)
    tint = draws.rand(len(first), 3)
    out = dict(batch)
    if options.warps or options.flip:
        size = _size(batch)
        mirrored = (uniform[:, 0] < 0.5) & options.flip
        exact = affine(options, mirrored, uniform, normal, size)
        forward, backward = (m.float().to(first.device) for m in (exact, torch.linalg.inv(exact)))
        flips = mirrored.to(first.device)
        out |= _maps(batch, options, backward, flips, size)
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


def _maps(batch: Batch, options: Spec, backward: Tensor, flips: Tensor, size: int) -> Batch:
    """Resample pictures and label maps, and swap the sides of labels."""
    out = {name: batch[name] for name in ("rgb", *NEAREST) if name in batch}
    device = flips.device
    if options.warps:
        x, y = _sources(backward, size)
        if "rgb" in out:
            grid = torch.stack([x, y], -1).mul_(2 / size).sub_(1)
            out["rgb"] = F.grid_sample(out["rgb"], grid, align_corners=False)
        within = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        index = (y.int() * size + x.int()).masked_fill_(~within, 0)  # (N, H, W)
        for name in out.keys() - {"rgb"}:
            out[name] = _gather(out[name], index, within)
    else:
        for name, values in out.items():
            out[name] = _choose(flips, values.flip(-1), values)
    if "chart" in out and "uv" in out and options.flip:
        torso = torch.isin(out["chart"], torch.tensor(TORSO_CHARTS, device=device))
        turned = torch.where(torso, 1 - out["uv"][:, 0], out["uv"][:, 0])
        out["uv"] = _choose(flips, torch.stack([turned, out["uv"][:, 1]], 1), out["uv"])
    for name, table in _swaps(device).items():
        if name in out and options.flip:
            out[name] = _choose(flips, _look_up(table, out[name]), out[name])
    return out


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]`; several times as fast on a CPU."""
    return table.index_select(0, index.flatten()).view(index.shape)


def _sources(backward: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Where each new pixel centre comes from: x and y in pixels of the old picture, (N, H, W) each."""
    matrix = backward[:, :2, :, None, None]  # (N, 2, 3, 1, 1)
    centres = torch.arange(size, device=backward.device) + 0.5
    along, down = centres[None, None, :], centres[None, :, None]
    x, y = (matrix[:, k, 0] * along + (matrix[:, k, 1] * down + matrix[:, k, 2]) for k in (0, 1))
    return x, y


def _gather(values: Tensor, index: Tensor, within: Tensor) -> Tensor:
    """Read (N, [C,] H, W) at pixel numbers (N, H, W) of each sample; 0 outside."""
    planes = values[:, None] if values.ndim == 3 else values
    first = torch.arange(len(index), device=index.device)[:, None, None] * within[0].numel()
    flat = (index + first).flatten()
    read = [planes[:, c].flatten().index_select(0, flat).view(within.shape) for c in range(planes.shape[1])]
    return torch.stack(read, 1).masked_fill_(~within[:, None], 0).view(values.shape)


def _points(batch: Batch, forward: Tensor, flips: Tensor, size: int) -> Batch:
    """Move annotated points; those that leave the picture become absent."""
    if "points" not in batch:
        return {name: batch[name] for name in POSITIONS if name in batch and name.startswith("point")}
    chart, uv = batch["point_chart"], batch["point_uv"]
    moved = _move(batch["points"] + 0.5, forward)  # from pixels to positions in the plane
    kept = (chart > 0) & inside(moved, size)
    torso = torch.isin(chart, torch.tensor(TORSO_CHARTS, device=flips.device))
    turned = torch.stack([torch.where(torso, 1 - uv[..., 0], uv[..., 0]), uv[..., 1]], -1)
    swapped = _look_up(_swaps(flips.device)["chart"], chart)
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
    moved = positions.flip(-1) @ forward[:, :2, :2].transpose(1, 2) + forward[:, None, :2, 2]
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
