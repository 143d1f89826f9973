"""The kernels of the renderer once more, on arrays: what tests compare the compiled code with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.camera import Camera
from bench.synth.cast_numba import PERSON, SKY
from bench.synth.clothes import Outfit
from bench.synth.cuts import (
    ACCESSORY,
    BOTTOM,
    GLOVE_X,
    HAIR,
    HAIR_SLOPE,
    HAIR_Y,
    HAIRLINE_Y,
    HAIRLINE_Z,
    HAT,
    HEAD_X,
    HEAD_Y,
    HEM_Y,
    JACKET,
    JACKET_GAP,
    LONG_HAIR_Y,
    NECK_DROP,
    NECK_X,
    NECK_Y,
    NEVER,
    SHOE_Y,
    SHOES,
    SKIN,
    SLEEVE_X,
    SLOTS,
    TOP,
    TROUSER_Y,
    TRUNK_X,
    TRUNK_Y,
)  # fmt: skip
from bench.synth.materials import (
    BRICKS,
    CAMOUFLAGE,
    CHECKS,
    DIRECTION,
    DOTS,
    DUTY,
    FREQUENCY,
    GRADIENT,
    NOISE,
    PATTERN,
    PHASE,
    PLAID,
    STRIPES,
)  # fmt: skip
from bench.synth.noise import CELLS, SEEDS, lattice
from bench.synth.raster import Raster
from bench.synth.raster_numba import NEAR, SLACK
from bench.synth.scene import BOX, CAPSULE, PLANE, Solids

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]
Slots = NDArray[np.uint8]
Row = NDArray[np.float32]
Rays = tuple[Floats, NDArray[np.bool_], Floats, Floats]  # depth, hit, normal, local position


def rasterize(pixels: Floats, faces: Ints, size: int) -> Raster:
    """`raster.rasterize`: test all pixels of all bounding boxes at once."""
    pixels, height, width = pixels.T, size, size
    depth = np.full((size, size), np.inf, np.float32)
    ids = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 2), np.float32)
    a, b, c = (pixels[faces[:, k]] for k in range(3))  # (F, 3)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    x0 = np.maximum(0, np.ceil(low[:, 0] - 0.5)).astype(np.int64)
    y0 = np.maximum(0, np.ceil(low[:, 1] - 0.5)).astype(np.int64)
    columns = np.minimum(width - 1, np.floor(high[:, 0] - 0.5)).astype(np.int64) - x0 + 1
    rows = np.minimum(height - 1, np.floor(high[:, 1] - 0.5)).astype(np.int64) - y0 + 1
    keep = np.flatnonzero((area < 0) & (low[:, 2] >= NEAR) & (columns > 0) & (rows > 0))
    boxes = columns[keep] * rows[keep]
    face = np.repeat(keep, boxes)  # (N,) candidates, face numbers ascending
    place = np.arange(len(face)) - np.repeat(np.cumsum(boxes) - boxes, boxes)
    x, y = x0[face] + place % columns[face], y0[face] + place // columns[face]
    px, py = x + 0.5, y + 0.5
    scale = 1.0 / area[face]
    a, b, c = a[face], b[face], c[face]
    w0 = ((b[:, 0] - px) * (c[:, 1] - py) - (c[:, 0] - px) * (b[:, 1] - py)) * scale
    w1 = ((c[:, 0] - px) * (a[:, 1] - py) - (a[:, 0] - px) * (c[:, 1] - py)) * scale
    w2 = 1.0 - w0 - w1
    inside = np.flatnonzero((w0 >= SLACK) & (w1 >= SLACK) & (w2 >= SLACK))
    face, place = face[inside], y[inside] * width + x[inside]
    q0, q1 = w0[inside] * (1.0 / a[inside, 2]), w1[inside] * (1.0 / b[inside, 2])
    z = 1.0 / (q0 + q1 + w2[inside] * (1.0 / c[inside, 2]))
    order = np.lexsort((face, z.astype(np.float32), place))
    first = order[np.r_[True, place[order][1:] != place[order][:-1]]] if len(order) else order
    depth.reshape(-1)[place[first]] = z[first]
    ids.reshape(-1)[place[first]] = face[first]
    bary.reshape(-1, 2)[place[first]] = np.stack([q0[first] * z[first], q1[first] * z[first]], 1)
    return Raster(ids=ids, depth=depth, bary=bary, front=keep.astype(np.int32))


def vertex_normals(vertices: Single, faces: Ints) -> Floats:
    """`raster.vertex_normals`."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a).astype(np.float64)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(vertices)) for k in range(3)], 1
    )
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-20)


def resolve(camera: Camera, solids: Solids, ids: Ints, person: Single) -> tuple[Single, Ints]:
    """`cast.resolve`, without bounds of primitives."""
    depth = person.copy()
    who = np.where(ids >= 0, PERSON, SKY).astype(np.int32)
    direction = pixel_rays(camera, len(ids))
    for p in range(len(solids.kind)):
        t, hit, _, _ = strike(camera.eye, direction, solids, p)
        nearer = hit & (t < depth)
        depth[nearer], who[nearer] = t[nearer], p
    return depth, who


def pixel_rays(camera: Camera, size: int) -> Floats:
    """Rays of the pixel centres with unit depth, in the world, (S, S, 3)."""
    place = np.arange(size) + 0.5
    across, down = (place - camera.cx) / camera.focal, (place - camera.cy) / camera.focal
    right, below, ahead = camera.rotation
    rays: Floats = across[None, :, None] * right + down[:, None, None] * below + ahead
    return rays


def strike(eye: Floats, direction: Floats, solids: Solids, p: int) -> Rays:
    """Rays (..., 3) from one point against primitive `p`."""
    kind, axes, half = int(solids.kind[p]), solids.axes[p], solids.half[p]
    origin = eye - solids.centre[p]
    if kind == PLANE:
        facing = direction @ axes[0]
        t = -(origin @ axes[0]) / np.where(facing > -1e-9, -1.0, facing)
        hit = (facing <= -1e-9) & (t > NEAR)
        return t, hit, np.broadcast_to(axes[0], direction.shape), origin + t[..., None] * direction
    if kind == BOX:
        return _strike_box(axes @ origin, direction @ axes.T, axes, half)
    link = axes[0] if kind == CAPSULE else np.zeros(3)
    return _strike_rod(origin, direction, link, float(half[0]))


def _strike_box(origin: Floats, direction: Floats, axes: Floats, half: Floats) -> Rays:
    steep = np.where(np.abs(direction) > 1e-9, direction, 1e-9)
    reach, middle = half / np.abs(steep), -origin / steep
    enter, leave = (middle - reach).max(-1), (middle + reach).min(-1)
    side = (middle - reach).argmax(-1)
    sign = -np.sign(np.take_along_axis(steep, side[..., None], -1))
    hit = (enter > NEAR) & (enter < leave)
    return enter, hit, sign * axes[side], origin + enter[..., None] * direction


def _strike_rod(origin: Floats, direction: Floats, link: Floats, radius: float) -> Rays:
    length = link @ link
    dd = (direction**2).sum(-1)
    start = np.broadcast_to(origin, direction.shape)
    t, share = np.full(dd.shape, -1.0), np.zeros(dd.shape)
    cap = np.full(dd.shape, length == 0)
    if length > 0:
        bd, bo = direction @ link, float(origin @ link)
        od, oo = direction @ origin, float(origin @ origin) - radius**2
        aa, hb = length * dd - bd * bd, length * od - bo * bd
        disc = hb * hb - aa * (length * oo - bo * bo)
        side = (disc >= 0) & (aa > 1e-12)
        t = np.where(side, (-hb - np.sqrt(np.maximum(disc, 0))) / np.maximum(aa, 1e-12), -1.0)
        share = (bo + t * bd) / length
        cap = side & ((share < 0) | (share > 1))
        start = np.where((side & (share > 1))[..., None], origin - link, origin)
    od = (start * direction).sum(-1)
    disc = od * od - dd * ((start * start).sum(-1) - radius**2)
    ball = np.where(disc >= 0, (-od - np.sqrt(np.maximum(disc, 0))) / dd, -1.0)
    t = np.where(cap, ball, t)
    local = origin + t[..., None] * direction
    normal = (local - np.clip(share, 0, 1)[..., None] * link) / radius
    return t, t > NEAR, normal, local


def slots_of(cuts: Floats, points: NDArray[np.floating]) -> Slots:
    """Which garment covers canonical points (N, 3): a slot number each, (N,)."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    head = (y > cuts[HEAD_Y]) & (x < cuts[HEAD_X])
    above = y > cuts[HAIR_Y] - cuts[HAIR_SLOPE] * np.maximum(0.0, z)
    hairy = above & ((z < cuts[HAIRLINE_Z]) | (y > cuts[HAIRLINE_Y]))
    mane = (y > cuts[LONG_HAIR_Y]) & (z < -0.03) & (x < 0.12)
    trunk = (x < cuts[TRUNK_X]) | (y < cuts[TRUNK_Y])
    below = y < cuts[HEM_Y]
    neck = (y > cuts[NECK_Y] - cuts[NECK_DROP] * np.where(z > 0, 1.0, 0.3)) & (x < cuts[NECK_X])
    worn = cuts[JACKET_GAP] < NEVER
    opened = np.where(worn & ((z < 0.02) | (x > cuts[JACKET_GAP])), JACKET, TOP)
    rules = (
        (head & hairy, np.full(len(x), ACCESSORY if cuts[HAT] > 0.5 else HAIR)),
        (head, np.full(len(x), SKIN)),
        (mane, np.full(len(x), HAIR)),
        (x > cuts[GLOVE_X], np.full(len(x), ACCESSORY)),
        (y < cuts[SHOE_Y], np.full(len(x), SHOES)),
        (trunk & below, np.where(y > cuts[TROUSER_Y], BOTTOM, SKIN)),
        (trunk & neck, np.full(len(x), SKIN)),
        (trunk, opened),
        (x < cuts[SLEEVE_X], np.full(len(x), JACKET if worn else TOP)),
    )
    return np.select([mask for mask, _ in rules], [slot for _, slot in rules], SKIN).astype(np.uint8)


def stand_off(outfit: Outfit, points: Single) -> Single:
    """`clothes.stand_off`."""
    slots = slots_of(outfit.cuts, points)
    scale = outfit.wrinkle[slots]
    scaled = points.astype(np.float64) * np.stack([scale, scale * 0.7, scale], 1)
    folds = np.zeros(len(points))
    for slot in range(SLOTS):
        rows = np.flatnonzero(slots == slot)
        folds[rows] = value_noise(scaled[rows], (outfit.seed + 97 * slot) % SEEDS)
    return (outfit.thickness[slots] * (0.45 + 1.1 * folds)).astype(np.float32)


def patterned(row: Row, points: NDArray[np.floating]) -> Floats:
    """Share of the second colour at points of one material, without noise patterns.

    Args:
        row: material, (18,).
        points: positions, (N, 3).

    Returns:
        Mixing factor in [0, 1], (N,).
    """
    kind, frequency = int(row[PATTERN]), float(row[FREQUENCY])
    along = points @ row[DIRECTION : DIRECTION + 3].astype(np.float64) * frequency + row[PHASE]
    scaled, shift = points * frequency, np.float64(row[PHASE])
    share: Floats = np.full(len(points), 0.5 if kind in (NOISE, CAMOUFLAGE) else 0.0)
    if kind == STRIPES:
        share[along % 1 < row[DUTY]] = 1.0
    elif kind == CHECKS:
        share = np.floor(scaled + shift).sum(1) % 2
    elif kind == DOTS:
        share[(((scaled + shift) % 1 - 0.5) ** 2).sum(1) < 0.3 * row[DUTY]] = 1.0
    elif kind == PLAID:
        share = ((scaled + shift)[:, :2] % 1 < row[DUTY]).mean(1)
    elif kind == BRICKS:
        share = np.where(along % 1 < 0.06, 1.0, 0.15)
    elif kind == GRADIENT:
        share = np.clip(0.5 + along, 0, 1)
    return share


def value_noise(points: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Smooth noise in [0, 1] with one feature per unit length.

    Args:
        points: positions, (..., 3); noise repeats every 32 units.
        seed: chooses the part of the lattice, 0..32767.
    """
    cell = np.floor(points)
    f = points - cell
    f = f * f * (3 - 2 * f)
    base = cell.astype(np.int64) + np.array([seed, seed >> 5, seed >> 10])
    table, mask = lattice(), CELLS - 1
    x0, y0, z0 = (base[..., k] & mask for k in range(3))
    x1, y1, z1 = ((base[..., k] + 1) & mask for k in range(3))
    fx, fy, fz = (f[..., k] for k in range(3))

    def mix(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        return a + (b - a) * t

    def at(x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.int64]) -> NDArray[np.float64]:
        return table[x, y, z].astype(np.float64)

    low = mix(mix(at(x0, y0, z0), at(x1, y0, z0), fx), mix(at(x0, y1, z0), at(x1, y1, z0), fx), fy)
    high = mix(mix(at(x0, y0, z1), at(x1, y0, z1), fx), mix(at(x0, y1, z1), at(x1, y1, z1), fx), fy)
    return mix(low, high, fz)
