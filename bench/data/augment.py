"""Geometric and photometric augmentation of whole batches.

One affine map per sample is shared by everything of the sample; the kind of a field says how it moves. All
random numbers come from `draws`, and as many are drawn whatever the options, so that switching one option off
leaves the others as they were. Options that came later (hue, chances of colour changes) draw only when they
are on, after all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import Batch, Draws
from bench.bodymodels.surface import TORSO_CHARTS
from bench.data import color, mirror
from bench.data.batches import inside, joints_of
from bench.dataset import Field, FieldKind, picture_size
from bench.errors import ConfigError
from bench.grid.augment_spec import Spec, parse

JOINTS = (
    "keypoints_pixels",
    "keypoints_labeled",
    "keypoints_visible",
    "kp2d",
)  # of the modality kp2d, which follow from the first two
DRAWS = 9  # uniform numbers per sample for the geometry


def augment(
    batch: Batch,
    fields: Mapping[str, Field],
    spec: Mapping[str, Any] | Spec,
    draws: Draws,
    *,
    joint_set: str,
) -> Batch:
    """Move, turn, zoom, mirror and tint the samples of a batch.

    Colour is resampled bilinearly; depth and label maps take the nearest pixel; what comes from outside is 0.
    Annotated pixels that leave the image become absent, joints invisible; `kp2d` is made anew. Mirroring
    swaps left and right joints, classes, charts and vertices. Geometry in the frame of the camera is mirrored
    and turned with the image, and the intrinsics take up the rest, so that it still projects to its place.
    Samples without a field (`valid.<name>`) keep what stands for it.

    Args:
        batch: as `bench.data.batches.to_batch` makes it.
        fields: what the data set says of its fields.
        spec: plain or parsed.
        draws: the only source of randomness.
        joint_set: of the modality kp2d.

    Returns:
        A new batch with the same keys and `crop`, float32 (N, 3, 3), the map in (x, y) pixels from the stored
        image to this one.

    Raises:
        ConfigError: the spec is wrong, or the batch has an entry that cannot be augmented.
    """
    options = spec if isinstance(spec, Spec) else parse(spec)
    first = next(iter(batch.values()))
    out = dict(batch)
    if "crop" not in out:
        out["crop"] = torch.eye(3, device=first.device).repeat(len(first), 1, 1)
    if options == Spec():
        return out
    uniform = draws.rand(len(first), DRAWS, dtype=torch.float64)
    normal = draws.randn(len(first), 2, dtype=torch.float64)
    tint = draws.rand(len(first), 3)
    if options.warps or options.flip:
        size = picture_size(fields)
        mirrored = (uniform[:, 0] < 0.5) & options.flip
        exact = affine(options, mirrored, uniform, normal, size)
        move = Move(
            batch=batch, fields=fields, exact=exact, flips=mirrored.to(first.device), warps=options.warps,
            flip=options.flip, size=size,
        )  # fmt: skip
        out |= {name: _moved(name, values, move) for name, values in batch.items() if name not in JOINTS}
        if "keypoints_pixels" in batch:
            out |= _joints(move, joint_set)
        out["crop"] = move.forward @ out["crop"]
    images = [name for name in batch if name in fields and fields[name].kind == "image"]
    for name in images:
        out[name] = _recoloured(out[name], options, tint, draws)
    return out


def affine(options: Spec, mirrored: Tensor, uniform: Tensor, normal: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps from old to new positions, in (x, y) pixels.

    Order: cut out a part of the image's shape and enlarge it, mirror, rotate and scale about the middle,
    shift.

    Args:
        options: what to do.
        mirrored: (N,) bool.
        uniform: in [0, 1), (N, 9); column 0 has decided on mirroring.
        normal: standard normal numbers, (N, 2).
        size: (H, W) of the images, pixels.

    Returns:
        (N, 3, 3) float64.
    """
    low, high = options.zoom
    scale = low + (high - low) * uniform[:, 1]
    angle = options.rotation * (2 * uniform[:, 2] - 1)
    if options.distribution == "normal":
        scale = (1 + (high - low) / 2 * normal[:, 0]).clamp(low, high)
        angle = options.rotation * normal[:, 1].clamp(-2, 2)
    angle = torch.where(uniform[:, 3] < options.rotation_p, angle, 0) * math.pi / 180
    area = options.crop_area[0] + (options.crop_area[1] - options.crop_area[0]) * uniform[:, 4]
    height, width = size
    extent = torch.tensor([width, height], dtype=torch.float64)
    side = area.sqrt()[:, None] * extent  # (N, 2)
    cut = _matrix(width / side[:, 0], -(extent * (extent - side) / side) * uniform[:, 5:7])
    flip = torch.where(mirrored, -1.0, 1.0).to(torch.float64)
    shift = options.shift * extent * (2 * uniform[:, 7:9] - 1)
    turn = torch.zeros(len(uniform), 3, 3, dtype=torch.float64)
    turn[:, 0, 0], turn[:, 0, 1] = scale * angle.cos() * flip, -scale * angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos()
    turn[:, 2, 2] = 1
    middle = turn[:, :2, :2].sum(2) * (width / 2) + turn[:, :2, 1] * ((height - width) / 2)
    turn[:, :2, 2] = extent / 2 + shift - middle
    return turn @ cut


def _matrix(zoom: Tensor, move: Tensor) -> Tensor:
    """Scale by `zoom` (N,) about the origin, then move by (N, 2): (N, 3, 3)."""
    matrix = torch.zeros(len(zoom), 3, 3, dtype=torch.float64)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
    matrix[:, :2, 2] = move
    matrix[:, 2, 2] = 1
    return matrix


@dataclass(kw_only=True)
class Move:
    """The maps of a batch, and what follows from them; each is computed when something needs it."""

    batch: Batch
    fields: Mapping[str, Field]
    exact: Tensor  # (N, 3, 3) float64, CPU: old to new (x, y) pixels
    flips: Tensor  # (N,) bool: mirrored
    warps: bool  # images are resampled; mirroring alone is exact
    flip: bool  # some samples may be mirrored
    size: tuple[int, int]  # (H, W)

    @cached_property
    def forward(self) -> Tensor:
        """Old to new (x, y) pixels, (N, 3, 3) float32."""
        return self.exact.float().to(self.flips.device)

    @cached_property
    def sources(self) -> tuple[Tensor, Tensor]:
        """Where each new pixel centre comes from: x and y in pixels of the old image, (N, H, W) each."""
        matrix = torch.linalg.inv(self.exact).float().to(self.flips.device)[:, :2, :, None, None]
        height, width = self.size
        along = (torch.arange(width, device=matrix.device) + 0.5)[None, None, :]
        down = (torch.arange(height, device=matrix.device) + 0.5)[None, :, None]
        x, y = (matrix[:, k, 0] * along + (matrix[:, k, 1] * down + matrix[:, k, 2]) for k in (0, 1))
        return x, y

    @cached_property
    def nearest(self) -> tuple[Tensor, Tensor]:
        """Number of the old pixel that each new one shows, and whether there is one, (N, H, W) each."""
        (x, y), (height, width) = self.sources, self.size
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return (y.int() * width + x.int()).masked_fill_(~within, 0), within

    @cached_property
    def turn(self) -> Tensor:
        """In-plane rotation and mirror in the frame of the camera, (N, 3, 3) float64, on the CPU.

        The linear part of the map is a scale times a rotation times the mirror.
        """
        linear = self.exact[:, :2, :2]
        full = torch.eye(3, dtype=torch.float64).repeat(len(linear), 1, 1)
        full[:, :2, :2] = linear / torch.linalg.det(linear).abs().sqrt()[:, None, None]
        return full

    def choose(self, yes: Tensor, no: Tensor) -> Tensor:
        """Take `yes` for mirrored samples."""
        return choose(self.flips, yes, no)

    def swapped(self, values: Tensor, flip: str) -> Tensor:
        """Exchange the sides along axis 1 of mirrored samples."""
        if not flip or not self.flip:
            return values
        return self.choose(values[:, mirror.table(flip, values.device)], values)

    def torso(self, charts: str, needed_by: str) -> Tensor:
        """Where the mirror image of a chart is the chart itself."""
        if charts not in self.batch:
            raise ConfigError(f'"{needed_by}" can be augmented only together with "{charts}"')
        known = torch.tensor(TORSO_CHARTS, device=self.flips.device)
        return torch.isin(self.batch[charts], known)


def choose(flags: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Pick rows by (N,) flags."""
    return torch.where(flags.view(-1, *[1] * (no.ndim - 1)), yes, no)


def _moved(name: str, values: Tensor, move: Move) -> Tensor:
    """Move one entry of a batch."""
    if name in ("sample_id", "crop") or name.startswith("valid."):
        return values
    if name not in move.fields:
        raise ConfigError(f'batches with "{name}" cannot be augmented: the data have no such field')
    field = move.fields[name]
    moved = MOVERS[field.kind](name, values, field, move)
    valid = move.batch.get(f"valid.{name}")
    return moved if valid is None or field.kind in ("image", "depth") else choose(valid, moved, values)


def _image(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    if not move.warps:
        return move.choose(values.flip(-1), values)
    height, width = move.size
    x, y = move.sources
    grid = torch.stack([x, y], -1).mul_(torch.tensor([2 / width, 2 / height], device=x.device)).sub_(1)
    return F.grid_sample(values, grid, align_corners=False)


def _map(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Take the nearest pixel of (N, [C,] H, W)."""
    if not move.warps:
        return move.choose(values.flip(-1), values)
    index, within = move.nearest
    planes = values[:, None] if values.ndim == 3 else values
    first = torch.arange(len(index), device=index.device)[:, None, None] * math.prod(move.size)
    flat = (index + first).flatten()
    read = [planes[:, c].flatten().index_select(0, flat).view(within.shape) for c in range(planes.shape[1])]
    return torch.stack(read, 1).masked_fill_(~within[:, None], 0).view(values.shape)


def _classes(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    moved = _map(name, values, field, move)
    return _other_side(moved, field.flip, move)


def _other_side(classes: Tensor, flip: str, move: Move) -> Tensor:
    """Exchange left and right classes of mirrored samples."""
    if not flip or not move.flip:
        return classes
    table = mirror.table(flip, classes.device)
    swapped = table.index_select(0, classes.flatten()).view(
        classes.shape
    )  # on a CPU faster than table[classes]
    return move.choose(swapped, classes)


def _uv(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Move surface coordinates; mirrored ones change on the torso alone (`bodymodels.surface.flip_uv`)."""
    torso = move.torso(field.of, name)
    turned = torch.where(torso, 1 - values[:, 0], values[:, 0])
    if move.flip and field.of in move.fields and move.fields[field.of].flip:
        values = move.choose(torch.stack([turned, values[:, 1]], 1), values)
    return _map(name, values, field, move)


def _places(name: str, move: Move) -> tuple[Tensor, Tensor]:
    """Where annotated pixels go, as positions in the plane, and which of them stay in the image."""
    if name not in move.batch:
        raise ConfigError(f'what belongs to "{name}" can be augmented only together with "{name}"')
    given = move.batch[name]
    moved = _shifted(given + 0.5, move)
    return moved, (given > -1).all(-1) & inside(moved, move.size)


def _pixels(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    moved, kept = _places(name, move)
    return torch.where(kept[..., None], moved - 0.5, float(field.absent))


def _point_classes(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    _, kept = _places(field.of, move)
    return torch.where(kept, _other_side(values, field.flip, move), 0)


def _point_uv(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    _, kept = _places(field.of, move)
    charts = [n for n, f in move.fields.items() if f.kind == "point_classes" and f.of == field.of]
    if move.flip and charts:
        torso = move.torso(charts[0], name)
        turned = torch.stack([torch.where(torso, 1 - values[..., 0], values[..., 0]), values[..., 1]], -1)
        values = move.choose(turned, values)
    return torch.where(kept[..., None], values, 0.0)


def _boxes(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Take the box around the moved corners, inside the image: exact, but for rotations and cut bodies."""
    left, top, right, bottom = values.unbind(-1)
    corners = torch.stack([top, left, top, right, bottom, left, bottom, right], -1)  # (row, col) of each
    moved = _shifted(corners.view(len(values), 4 * values.shape[1], 2), move).view(*values.shape[:2], 4, 2)
    limit = torch.tensor(move.size, dtype=values.dtype, device=values.device)
    low, high = (corner.clamp(min=0).minimum(limit) for corner in (moved.amin(2), moved.amax(2)))
    there = (right > left) & (bottom > top) & (high > low).all(-1)
    boxes = torch.cat([low.flip(-1), high.flip(-1)], -1)
    return torch.where(there[..., None], boxes, 0.0)


def _joints2d(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    swapped = move.swapped(values, field.flip)
    pixels = _shifted(swapped[..., :2], move)
    visible = torch.where(inside(pixels, move.size), swapped[..., -1], 0.0)
    return torch.cat([pixels, swapped[..., 2:-1], visible[..., None]], -1)


def _space(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Mirror and turn positions (N, P, 3 or more) in the frame of the camera."""
    swapped = move.swapped(values, field.flip)
    turn = move.turn.to(values.device, values.dtype)
    return torch.cat([swapped[..., :3] @ turn.transpose(1, 2), swapped[..., 3:]], -1)


def _rotations(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Mirror all rotations, and turn the first one, which is in the frame of the camera."""
    mirrored = values * torch.tensor([1.0, -1.0, -1.0], device=values.device)
    out = move.choose(move.swapped(mirrored, field.flip), values)
    plane = move.turn.to(values.device, values.dtype)
    sign = torch.where(move.flips, -1.0, 1.0)  # the mirror comes before the rotation
    angle = torch.atan2(plane[:, 1, 0] * sign, plane[:, 0, 0] * sign)
    first = torch.where((angle != 0)[:, None], _turned(out[:, 0], angle), out[:, 0])
    return torch.cat([first[:, None], out[:, 1:]], 1)


def _turned(vector: Tensor, angle: Tensor) -> Tensor:
    """Rotate by an axis-angle vector (N, 3), then by an angle (N,) about z; as quaternions."""
    size = torch.linalg.vector_norm(vector, dim=-1)
    w, xyz = (size / 2).cos(), vector * (torch.sinc(size / (2 * math.pi)) / 2)[:, None]
    c, s = (angle / 2).cos(), (angle / 2).sin()
    x, y, z = xyz.unbind(-1)
    scalar = c * w - s * z
    product = torch.stack([c * x - s * y, c * y + s * x, c * z + s * w], -1)
    length = torch.linalg.vector_norm(product, dim=-1)
    sign = torch.where(scalar < 0, -1.0, 1.0)  # the shorter way round
    whole = 2 * torch.atan2(length, scalar * sign)
    factor = torch.where(length > 1e-6, whole / length.clamp_min(1e-12), 2.0)
    return product * (sign * factor)[:, None]


def _camera(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Take up what the geometry does not: crop, zoom and shift."""
    given = values.to("cpu", torch.float64)
    return (move.exact @ given @ move.turn.transpose(1, 2)).to(values.device, values.dtype)


def _plain(name: str, values: Tensor, field: Field, move: Move) -> Tensor:
    """Leave values as they are, but for classes of the whole sample that tell left from right."""
    return _other_side(values, field.flip, move)


MOVERS: dict[FieldKind, Callable[[str, Tensor, Field, Move], Tensor]] = {
    "image": _image, "depth": _map, "classes": _classes, "mask": _map, "uv": _uv, "pixels": _pixels,
    "point_classes": _point_classes, "point_uv": _point_uv, "boxes": _boxes, "joints2d": _joints2d,
    "joints3d": _space, "vertices": _space, "rotations": _rotations, "camera": _camera, "plain": _plain,
}  # fmt: skip


def _joints(move: Move, joint_set: str) -> Batch:
    """Move detected joints, and normalise them anew."""
    known = move.swapped(move.batch["keypoints_labeled"], joint_set)
    pixels = _shifted(move.swapped(move.batch["keypoints_pixels"], joint_set), move)
    return joints_of(torch.where(known[..., None], pixels, -1.0), known, move.size, joint_set)


def _shifted(positions: Tensor, move: Move) -> Tensor:
    """Map (row, col) positions (N, P, 2)."""
    forward = move.forward
    moved = positions.flip(-1) @ forward[:, :2, :2].transpose(1, 2) + forward[:, None, :2, 2]
    return moved.flip(-1)


def _recoloured(rgb: Tensor, options: Spec, tint: Tensor, draws: Draws) -> Tensor:
    """Apply changes of colour, each to the samples that chance picks."""
    count, device = len(rgb), rgb.device
    color_jitter, turn = torch.tensor(options.color_jitter[:3]), options.hue
    shift = (2 * draws.rand(count) - 1) * turn if turn else torch.zeros(count)

    def picked(share: float) -> Tensor:
        drawn = draws.rand(count) < share if 0 < share < 1 else torch.full((count,), share > 0)
        return drawn.to(device)

    if any(options.color_jitter):
        changed = (
            color.tint(rgb, (1 + (2 * tint - 1) * color_jitter).to(device))
            if any(options.color_jitter[:3])
            else rgb
        )
        changed = color.hue(changed, shift.to(device)) if turn else changed
        rgb = changed if options.color_jitter_p == 1 else choose(picked(options.color_jitter_p), changed, rgb)
    if options.gray_p:
        rgb = choose(picked(options.gray_p), color.grey(rgb), rgb)
    if options.blur_p:
        rows, (low, high) = picked(options.blur_p), options.blur_sigma
        sigma = (low + (high - low) * draws.rand(count)).to(device)
        rgb = choose(rows, color.blur(rgb, sigma), rgb)
    if options.solarize_p:
        rgb = choose(picked(options.solarize_p), color.solarise(rgb), rgb)
    return rgb
