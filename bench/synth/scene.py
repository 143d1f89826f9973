"""The static surroundings: planes, boxes, capsules and spheres with materials, light and backdrop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.backdrop import BANK, backdrop
from bench.synth.cuts import SLOTS
from bench.synth.materials import WIDTH, skin_colour, solid, surface
from bench.synth.noise import SEEDS
from bench.synth.rng import Stream, generator

Floats = NDArray[np.float64]

PLANE, BOX, CAPSULE, SPHERE = range(4)
_INDOORS: NDArray[np.float32] = np.full((2, 2, 3), 0.5, np.float32)  # never seen: walls are endless


class Solid(NamedTuple):
    """One primitive. Material numbers count on from those of the person."""

    kind: int
    centre: Floats  # (3,), metres; a plane: any point of it; a capsule: one end
    axes: Floats  # (3, 3); a plane: row 0 is the normal; a capsule: row 0 leads to the other end
    half: Floats  # (3,), half sizes of a box; element 0 is the radius of a capsule or sphere
    material: int


class Solids(NamedTuple):
    """Primitives as arrays."""

    kind: NDArray[np.int64]  # (P,)
    centre: Floats  # (P, 3)
    axes: Floats  # (P, 3, 3)
    half: Floats  # (P, 3)
    material: NDArray[np.int64]  # (P,)
    ball_centre: Floats  # of a sphere around each, (P, 3)
    ball_radius: Floats  # (P,), infinite for planes

    def take(self, rows: NDArray[np.bool_]) -> Solids:
        """Some of the primitives."""
        return Solids._make(column[rows] for column in self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Light:
    """One sun or lamp far away, light from everywhere, and a weak second lamp. Linear colours."""

    direction: Floats  # towards the light, unit, (3,)
    colour: Floats  # (3,)
    sky: Floats  # ambient from above, (3,)
    ground: Floats  # ambient from below, (3,)
    fill_direction: Floats  # (3,)
    fill: Floats  # (3,)

    def packed(self) -> Floats:
        """All numbers in the order above, (18,)."""
        return np.concatenate(
            [self.direction, self.colour, self.sky, self.ground, self.fill_direction, self.fill]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Surroundings of a clip. The floor is at y = 0, the person near the origin."""

    solids: Solids
    materials: NDArray[np.float32]  # (M, 18)
    light: Light
    backdrop: NDArray[np.float32]  # linear colours, (B, B, 3)
    turn: float  # of the backdrop, in turns
    rig_turn_deg: float  # azimuth of the middle of a camera rig
    structured_light: bool  # kind of the depth sensor of this room


def stack(solids: list[Solid]) -> Solids:
    """Put primitives together."""
    kind = np.array([s.kind for s in solids], np.int64)
    centre = np.array([s.centre for s in solids], np.float64).reshape(-1, 3)
    axes = np.array([s.axes for s in solids], np.float64).reshape(-1, 3, 3)
    half = np.array([s.half for s in solids], np.float64).reshape(-1, 3)
    link = np.where((kind == CAPSULE)[:, None], axes[:, 0] / 2, 0.0)
    radius = np.where(kind == BOX, np.linalg.norm(half, axis=1), half[:, 0]) + np.linalg.norm(link, axis=1)
    return Solids(
        kind=kind,
        centre=centre,
        axes=axes,
        half=half,
        material=np.array([s.material for s in solids], np.int64),
        ball_centre=centre + link,
        ball_radius=np.where(kind == PLANE, np.inf, radius),
    )


def joined(first: Solids, second: Solids) -> Solids:
    """The primitives of both."""
    return Solids._make(np.concatenate(pair) for pair in zip(first, second, strict=True))


def plane(point: Floats, normal: Floats, material: int) -> Solid:
    """A one-sided plane, seen from where the normal points."""
    return Solid(PLANE, point, np.stack([normal, np.zeros(3), np.zeros(3)]), np.zeros(3), material)


def box(centre: Floats, half: Floats, yaw: float, material: int) -> Solid:
    """A box that stands upright, turned about y."""
    c, s = np.cos(yaw), np.sin(yaw)
    return Solid(BOX, centre, np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]), half, material)


def capsule(start: Floats, link: Floats, radius: float, material: int) -> Solid:
    """A rod with round ends from `start` to `start + link`."""
    axes = np.stack([link, np.zeros(3), np.zeros(3)])
    return Solid(CAPSULE, start, axes, np.array([radius, 0, 0]), material)


def sphere(centre: Floats, radius: float, material: int) -> Solid:
    """A ball."""
    return Solid(SPHERE, centre, np.zeros((3, 3)), np.array([radius, 0, 0]), material)


@lru_cache(maxsize=64)
def draw_scene(seed: int, scene: int, block: int, *, lab: bool, colourfulness: float) -> Scene:
    """Draw the surroundings with that id.

    Args:
        seed: seed of the data set.
        scene: global id.
        block: number of the (domain, split), which owns the bank of backdrops.
        lab: a room with walls; otherwise open air in front of a backdrop.
        colourfulness: scales the saturation of surfaces.
    """
    rng = generator(seed, Stream.SCENE, scene)
    solids: list[Solid] = []
    rows: list[NDArray[np.float32]] = []

    def material(row: NDArray[np.float32] | None = None) -> int:
        rows.append(surface(rng, colourfulness) if row is None else row)
        return SLOTS + len(rows) - 1

    up = np.array([0.0, 1.0, 0.0])
    if lab or rng.random() < 0.8:
        solids.append(plane(np.zeros(3), up, material()))
    if lab:
        _furnish(rng, solids, material)
    else:
        _scatter(rng, solids, material)
    for _ in range(rng.integers(0, 3)):  # rods that could be limbs: colour alone must not give a person away
        place = _around(rng, 0.9, 2.4, rng.uniform(0.1, 1.6))
        link = rng.normal(size=3)
        link *= rng.uniform(0.2, 0.6) / np.linalg.norm(link)
        bare = rng.random() < 0.6
        row = solid(skin_colour(rng), grain=0.05, seed=int(rng.integers(SEEDS))) if bare else None
        solids.append(capsule(place, link, rng.uniform(0.03, 0.08), material(row)))
    return Scene(
        solids=stack(solids),
        materials=np.array(rows, np.float32).reshape(-1, WIDTH),
        light=_draw_light(rng),
        backdrop=_INDOORS if lab else _tinted(rng, seed, block),
        turn=rng.random(),
        rig_turn_deg=rng.uniform(-180, 180),
        structured_light=bool(rng.random() < 0.5),
    )


def _tinted(rng: Generator, seed: int, block: int) -> NDArray[np.float32]:
    image = backdrop(seed, block, int(rng.integers(BANK)))
    return image * rng.uniform(0.75, 1.2, 3).astype(np.float32)


def _around(rng: Generator, nearest: float, farthest: float, height: float) -> Floats:
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(nearest, farthest)
    return np.array([distance * np.cos(angle), height, distance * np.sin(angle)])


def _furnish(rng: Generator, solids: list[Solid], material: Callable[[], int]) -> None:
    """Four walls that can be seen from inside alone, with panels on them, and furniture."""
    for axis, sign in ((2, 1.0), (0, 1.0), (0, -1.0), (2, -1.0)):
        normal = np.zeros(3)
        normal[axis] = sign
        distance = rng.uniform(1.6, 3.4)
        solids.append(plane(-distance * normal, normal, material()))
        for _ in range(rng.integers(0, 3)):
            half = np.array([rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9)])
            half[axis] = 0.02
            centre = -distance * normal
            centre[1] = half[1] + rng.uniform(0, 1.6) * (rng.random() < 0.7)
            centre[2 - axis] = rng.uniform(-2.2, 2.2)
            solids.append(box(centre, half, 0.0, material()))
    for _ in range(rng.integers(1, 4)):
        half = np.array([rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.5)])
        solids.append(box(_around(rng, 1.2, 2.8, half[1]), half, rng.uniform(0, np.pi), material()))


def _scatter(rng: Generator, solids: list[Solid], material: Callable[[], int]) -> None:
    """Boxes, posts and balls around the person."""
    for _ in range(rng.integers(1, 6)):
        kind = rng.integers(3)
        if kind == 0:
            half = np.array([rng.uniform(0.1, 0.9), rng.uniform(0.2, 1.4), rng.uniform(0.1, 0.9)])
            solids.append(box(_around(rng, 1.5, 6.0, half[1]), half, rng.uniform(0, np.pi), material()))
        elif kind == 1:
            link = np.array([0.2 * rng.normal(), rng.uniform(1, 3), 0.2 * rng.normal()])
            place = _around(rng, 1.4, 5.0, 0.0)
            solids.append(capsule(place, link, rng.uniform(0.03, 0.2), material()))
        else:
            radius = rng.uniform(0.1, 0.5)
            place = _around(rng, 1.4, 5.0, rng.uniform(radius, 1.5))
            solids.append(sphere(place, radius, material()))


def _draw_light(rng: Generator) -> Light:
    def unit(vector: Floats) -> Floats:
        return np.asarray(vector / np.linalg.norm(vector))

    tint = 1 + 0.05 * rng.normal(size=3)
    ambient = rng.uniform(0.45, 0.75)
    return Light(
        direction=unit(np.array([rng.normal(), rng.uniform(0.6, 2.2), rng.normal()])),
        colour=rng.uniform(0.35, 0.85) * tint,
        sky=ambient * (1 + 0.04 * rng.normal(size=3)),
        ground=ambient * rng.uniform(0.5, 0.75) * (1 + 0.05 * rng.normal(size=3)),
        fill_direction=unit(np.array([rng.normal(), rng.uniform(-0.2, 1), rng.normal()])),
        fill=rng.uniform(0.05, 0.3) * (1 + 0.08 * rng.normal(size=3)),
    )
