"""What hands hold: objects made of solids, and the shapes that the grasps draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.synth.grasping_numba import distances
from bench.synth.scene import BOX, CAPSULE, SPHERE, Solid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Held(NamedTuple):
    """An object made of solids, P of them."""

    kinds: Ints  # (P,), BOX, CAPSULE or SPHERE of `bench.synth.scene`
    centres: Floats  # (P, 3), metres
    axes: Floats  # (P, 3, 3), rows are a solid's own axes; a capsule lies along row 0
    halves: Floats  # (P, 3): half sizes of a box; radius and half length of a capsule; radius of a sphere

    def moved(self, rotation: ArrayLike, shift: ArrayLike) -> Held:
        """The object after a rotation (3, 3) about the origin and a shift (3,)."""
        turn = np.asarray(rotation, np.float64)
        centres = self.centres @ turn.T + np.asarray(shift, np.float64)
        return self._replace(centres=centres, axes=self.axes @ turn.T)

    def distances(self, points: ArrayLike) -> Floats:
        """Signed distances of points (N, 3) to the surface of the object, metres, negative inside, (N,)."""
        given = np.ascontiguousarray(points, np.float64)
        out = np.empty(len(given))
        distances(*self, given, out)
        return out

    def solids(self, material: int) -> list[Solid]:
        """The object as primitives of a scene."""
        found = []
        for kind, centre, axes, half in zip(*self, strict=True):
            if kind == CAPSULE:
                link = np.stack([2 * half[1] * axes[0], np.zeros(3), np.zeros(3)])
                found.append(
                    Solid(CAPSULE, centre - half[1] * axes[0], link, np.array([half[0], 0, 0]), material)
                )
            else:
                found.append(Solid(int(kind), centre, axes, half, material))
        return found


class Shape(NamedTuple):
    """An object in its own frame: x is its long side, y the side that is pinched."""

    held: Held
    width: float  # along y, metres


def part(kind: int, half: ArrayLike, centre: ArrayLike = (0, 0, 0), axes: ArrayLike | None = None) -> Held:
    """One solid as an object."""
    return Held(
        kinds=np.array([kind]),
        centres=np.array([centre], np.float64),
        axes=np.eye(3)[None] if axes is None else np.array([axes], np.float64),
        halves=np.resize(np.asarray(half, np.float64), 3)[None],
    )


def together(*parts: Held) -> Held:
    """Several objects as one."""
    return Held._make(np.concatenate(column) for column in zip(*parts, strict=True))


def _turned(axis: str, degrees: float) -> Floats:
    return axis_angle_to_matrix(np.radians(degrees) * np.eye(3)["xyz".index(axis)])


def ball(low: float, high: float) -> Callable[[Generator], Shape]:
    """A sphere with a radius between two."""

    def draw(rng: Generator) -> Shape:
        radius = rng.uniform(low, high)
        return Shape(part(SPHERE, radius), 2 * radius)

    return draw


def rod(low: float, high: float, short: float, long: float) -> Callable[[Generator], Shape]:
    """A capsule along x with radius and half length between two."""

    def draw(rng: Generator) -> Shape:
        radius, half = rng.uniform(low, high), rng.uniform(short, long)
        return Shape(part(CAPSULE, (radius, half, 0)), 2 * radius)

    return draw


def slab(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
) -> Callable[[Generator], Shape]:
    """A box with half sizes between two."""

    def draw(rng: Generator) -> Shape:
        half = np.array([rng.uniform(*x), rng.uniform(*y), rng.uniform(*z)])
        return Shape(part(BOX, half), 2 * half[1])

    return draw


def disk(radii: tuple[float, float], halves: tuple[float, float], axis: str) -> Callable[[Generator], Shape]:
    """A prism of twelve sides about the y or z axis, from six boxes."""

    def draw(rng: Generator) -> Shape:
        radius, half = rng.uniform(*radii), rng.uniform(*halves)
        side = radius * np.tan(np.pi / 12)  # half of it; radius is that of the inscribed circle
        sizes = (radius, half, side) if axis == "y" else (radius, side, half)
        boxes = [part(BOX, sizes, axes=_turned(axis, 30 * k)) for k in range(6)]
        return Shape(together(*boxes), 2 * half if axis == "y" else 2 * radius)

    return draw


def knife(rng: Generator) -> Shape:
    """A handle along x and a blade beyond its end at +x."""
    radius, half, blade = rng.uniform(0.007, 0.009), rng.uniform(0.04, 0.05), rng.uniform(0.035, 0.05)
    steel = part(BOX, (blade, 0.008, 0.001), (half + blade, 0.001, 0))
    return Shape(together(part(CAPSULE, (radius, half, 0)), steel), 2 * radius)


def scissors(rng: Generator) -> Shape:
    """Two loops at y = -/+ and two blades that cross towards +x, in the plane of x and y."""
    loop, wire, blade = rng.uniform(0.0125, 0.014), 0.0022, rng.uniform(0.04, 0.05)
    parts = []
    for side in (-1, 1):
        centre = np.array([0, side * 1.15 * loop, 0])
        for k in range(8):
            turn = _turned("z", 45 * k)
            rim = centre + turn @ [0, loop, 0]
            parts.append(part(CAPSULE, (wire, loop * np.tan(np.pi / 8), 0), rim, turn.T))
        lean = _turned("z", -side * 13)
        shaft = lean @ [1, 0, 0]
        parts.append(part(BOX, (blade, 0.0035, 0.0012), centre + shaft * (loop + blade), lean.T))
    return Shape(together(*parts), 2.3 * loop)


def spoon(rng: Generator) -> Shape:
    """A thin handle along x with a bowl at +x."""
    radius, half, bowl = rng.uniform(0.003, 0.004), rng.uniform(0.045, 0.055), rng.uniform(0.011, 0.014)
    return Shape(
        together(part(CAPSULE, (radius, half, 0)), part(SPHERE, bowl, (half + bowl, 0, 0))), 2 * radius
    )
