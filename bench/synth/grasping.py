"""Grasps: a hand closes onto an object until its fingers touch.

The classes are the 33 of the GRASP taxonomy (Feix et al., IEEE Trans. Human-Machine Systems 46(1), 2016); shapes,
places and angles are our own. A class is one row of `GRASP_TABLE`: what is held, where it lies in the hand, how the
hand is open, and where its fingers go until they touch. Everything is in the rest frame of `surrogate_hand()`: fingers
along -x, palm towards -y, thumb on the side of +z, metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix, forward_kinematics
from bench.synth.grasping_numba import close_finger, distances
from bench.synth.hand_poses import FINGERS, FIRST, articulation, jitter, local_rotations
from bench.synth.scene import BOX, CAPSULE, SPHERE, Solid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARGIN = 5e-4  # metres at which a finger touches
STEPS = 46  # of the closing, from half-way beyond open (-0.5) to closed (1)
START = 15  # step at which a hand is open
SHARES = np.linspace(-0.5, 1, STEPS)
_FAR = 0.2  # metres below the palm, where objects start towards it
_FLESH = 0.0065  # radius of a closed finger that the thumb stops at


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


class Palm(NamedTuple):
    """Lies in the palm: pushed along +y until the palm touches it."""

    x: float  # metres along the hand; fingers start at -0.105
    turn: float = 0.0  # degrees that the long side, along +z at 0, turns towards the finger tips
    z: float = 0.0  # metres
    slide: float = 0.0  # metres along the long side
    gap: float = 0.0  # metres between palm and object
    tip: float = 0.0  # degrees that the long side leans away from the palm


class Between(NamedTuple):
    """Lies between the pads of one side and those of the other, where they are as far apart as it is wide."""

    one: tuple[str, ...]
    other: tuple[str, ...]
    along: str = (
        "fingers"  # the long side: the row of "fingers", "across" it, or towards the "web" of the thumb
    )
    slide: float = 0.0  # metres along the long side
    shift: float = 0.0  # metres across the grip and the row of fingers, towards the finger tips


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grasp:
    """One class."""

    shape: Callable[[Generator], Shape]
    place: Palm | Between
    fingers: tuple[str, ...]  # which close; the others stay as they are in `opened`
    opened: Floats  # (5, 4), degrees
    closed: Floats  # (5, 4)


def _part(kind: int, half: ArrayLike, centre: ArrayLike = (0, 0, 0), axes: ArrayLike | None = None) -> Held:
    """One solid as an object."""
    return Held(
        kinds=np.array([kind]),
        centres=np.array([centre], np.float64),
        axes=np.eye(3)[None] if axes is None else np.array([axes], np.float64),
        halves=np.resize(np.asarray(half, np.float64), 3)[None],
    )


def _together(*parts: Held) -> Held:
    return Held._make(np.concatenate(column) for column in zip(*parts, strict=True))


def _turned(axis: str, degrees: float) -> Floats:
    return axis_angle_to_matrix(np.radians(degrees) * np.eye(3)["xyz".index(axis)])


def _ball(low: float, high: float) -> Callable[[Generator], Shape]:
    """A sphere with a radius between two."""

    def draw(rng: Generator) -> Shape:
        radius = rng.uniform(low, high)
        return Shape(_part(SPHERE, radius), 2 * radius)

    return draw


def _rod(low: float, high: float, short: float, long: float) -> Callable[[Generator], Shape]:
    """A capsule along x with radius and half length between two."""

    def draw(rng: Generator) -> Shape:
        radius, half = rng.uniform(low, high), rng.uniform(short, long)
        return Shape(_part(CAPSULE, (radius, half, 0)), 2 * radius)

    return draw


def _slab(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
) -> Callable[[Generator], Shape]:
    """A box with half sizes between two."""

    def draw(rng: Generator) -> Shape:
        half = np.array([rng.uniform(*x), rng.uniform(*y), rng.uniform(*z)])
        return Shape(_part(BOX, half), 2 * half[1])

    return draw


def _disk(radii: tuple[float, float], halves: tuple[float, float], axis: str) -> Callable[[Generator], Shape]:
    """A prism of twelve sides about the y or z axis, from six boxes."""

    def draw(rng: Generator) -> Shape:
        radius, half = rng.uniform(*radii), rng.uniform(*halves)
        side = radius * np.tan(np.pi / 12)  # half of it; radius is that of the inscribed circle
        sizes = (radius, half, side) if axis == "y" else (radius, side, half)
        boxes = [_part(BOX, sizes, axes=_turned(axis, 30 * k)) for k in range(6)]
        return Shape(_together(*boxes), 2 * half if axis == "y" else 2 * radius)

    return draw


def _knife(rng: Generator) -> Shape:
    """A handle along x and a blade beyond its end at +x."""
    radius, half, blade = rng.uniform(0.007, 0.009), rng.uniform(0.04, 0.05), rng.uniform(0.035, 0.05)
    steel = _part(BOX, (blade, 0.008, 0.001), (half + blade, 0.001, 0))
    return Shape(_together(_part(CAPSULE, (radius, half, 0)), steel), 2 * radius)


def _scissors(rng: Generator) -> Shape:
    """Two loops at y = -/+ and two blades that cross towards +x, in the plane of x and y."""
    loop, wire, blade = rng.uniform(0.0125, 0.014), 0.0022, rng.uniform(0.04, 0.05)
    parts = []
    for side in (-1, 1):
        centre = np.array([0, side * 1.15 * loop, 0])
        for k in range(8):
            turn = _turned("z", 45 * k)
            rim = centre + turn @ [0, loop, 0]
            parts.append(_part(CAPSULE, (wire, loop * np.tan(np.pi / 8), 0), rim, turn.T))
        lean = _turned("z", -side * 13)
        shaft = lean @ [1, 0, 0]
        parts.append(_part(BOX, (blade, 0.0035, 0.0012), centre + shaft * (loop + blade), lean.T))
    return Shape(_together(*parts), 2.3 * loop)


_ALL = FINGERS
_FOUR = FINGERS[1:]
_CURLED = (86, 105, 65)
_WRAP = articulation((70, 4, 42, 52), _CURLED, _CURLED, _CURLED, _CURLED, (0, 0, 0, 0))
_READY = articulation((58, -22, -8, -6), (10, 8, 5), (10, 8, 5), (10, 8, 5), (10, 8, 5), (6, 1, -4, -9))
_RELAXED = (28, 30, 14)  # a finger that takes no part
_AWAY = (6, 8, 4)
_TUCKED = (74, 92, 50)


def _row(base: Floats, **changes: ArrayLike) -> Floats:
    """Return an articulation with some fingers replaced; three numbers keep the abduction."""
    rows = base.copy()
    for finger, angles in changes.items():
        values = np.asarray(angles, np.float64)
        rows[FINGERS.index(finger), : len(values)] = values
    return rows


def _pinching(
    thumb: ArrayLike, *fingers: ArrayLike, idle: ArrayLike, spread: float = 0.0
) -> tuple[Floats, Floats]:
    """Open and closed hands of a precision grasp, given the closed thumb and fingers from the index on."""
    closed = np.zeros((5, 4))
    closed[0] = thumb
    closed[1:, :3] = idle
    closed[1:, 3] = np.array([5, 1, -4, -9]) * spread
    opened = closed.copy()
    opened[0] += [0, -14, -14, -12]
    for row, angles in enumerate(fingers, start=1):
        closed[row, :3] = angles
        opened[row, :3] = np.asarray(angles) * [0.45, 0.5, 0.6]
    return opened, closed


_ADDUCTED_OPEN = _row(_READY, thumb=(-16, 4, -6, -4))
_ADDUCTED = _row(_WRAP, thumb=(2, 30, 10, 12))
_PINCH = ((45, 17, -10, -4), (52, 44, 20))
_PINCH2 = ((56, 10, -5, -5), (54, 50, 21), (53, 47, 19))
_PINCH3 = ((64, 6, 0, -5), (53, 50, 20), (53, 49, 20), (53, 49, 20))
_PINCH4 = ((72, 3, 4, -5), (51, 49, 20), (53, 50, 20), (53, 50, 20), (50, 47, 20))
_TIPS = FINGERS[1:]


def _grasp(
    shape: Callable[[Generator], Shape],
    place: Palm | Between,
    fingers: tuple[str, ...],
    hand: tuple[Floats, Floats],
) -> Grasp:
    return Grasp(shape=shape, place=place, fingers=fingers, opened=hand[0], closed=hand[1])


def _side_hand(
    thumb_open: ArrayLike, thumb_closed: ArrayLike, index: ArrayLike, others: ArrayLike
) -> tuple[Floats, Floats]:
    opened = articulation((0, 0, 0, 0), index, others, others, others, (0, 0, 0, 0))
    return _row(opened, thumb=thumb_open), _row(opened, thumb=thumb_closed)


GRASP_TABLE: dict[str, Grasp] = {
    "large_diameter": _grasp(_rod(0.034, 0.041, 0.05, 0.08), Palm(-0.100), _ALL, (_READY, _WRAP)),
    "small_diameter": _grasp(_rod(0.010, 0.013, 0.07, 0.12), Palm(-0.098), _ALL, (_READY, _WRAP)),
    "medium_wrap": _grasp(_rod(0.019, 0.024, 0.06, 0.11), Palm(-0.098), _ALL, (_READY, _WRAP)),
    "adducted_thumb": _grasp(
        _rod(0.013, 0.016, 0.08, 0.12), Palm(-0.088, turn=25, slide=0.02), _ALL, (_ADDUCTED_OPEN, _ADDUCTED)
    ),
    "light_tool": _grasp(_knife, Palm(-0.105, turn=18, slide=0.01), _ALL, (_ADDUCTED_OPEN, _ADDUCTED)),
    "prismatic_4_finger": _grasp(
        _rod(0.006, 0.009, 0.06, 0.09), Between(("thumb",), _TIPS), _ALL, _pinching(*_PINCH4, idle=_AWAY)
    ),
    "prismatic_3_finger": _grasp(
        _rod(0.006, 0.009, 0.05, 0.08),
        Between(("thumb",), _TIPS[:3]),
        _ALL[:4],
        _pinching(*_PINCH3, idle=_AWAY),
    ),
    "prismatic_2_finger": _grasp(
        _rod(0.006, 0.009, 0.04, 0.07), Between(("thumb",), _TIPS[:2]), _ALL[:3], _pinching(*_PINCH2, idle=_TUCKED)
    ),
    "palmar_pinch": _grasp(
        _slab((0.013, 0.018), (0.0015, 0.003), (0.013, 0.018)),
        Between(("thumb",), ("index",), shift=0.006),
        _ALL[:2],
        _pinching(*_PINCH, idle=_AWAY, spread=1),
    ),
    "power_disk": _grasp(
        _disk((0.038, 0.046), (0.008, 0.012), "y"), Palm(-0.098), _ALL,
        (_row(_READY, thumb=(20, -22, -8, -6)), _row(_WRAP, thumb=(50, 20, 50, 60))),
    ),
    "power_sphere": _grasp(_ball(0.034, 0.043), Palm(-0.096, z=0.006), _ALL, (_READY, _WRAP)),
    "precision_disk": _grasp(
        _disk((0.034, 0.042), (0.005, 0.008), "z"), Between(("thumb",), _TIPS), _ALL, _pinching(*_PINCH4, idle=_AWAY)
    ),
    "precision_sphere": _grasp(
        _ball(0.026, 0.033), Between(("thumb",), _TIPS), _ALL, _pinching(*_PINCH4, idle=_AWAY, spread=1.5)
    ),
    "tripod": _grasp(
        _ball(0.013, 0.018), Between(("thumb",), _TIPS[:2]), _ALL[:3], _pinching(*_PINCH2, idle=_TUCKED)
    ),
    "fixed_hook": _grasp(
        _rod(0.008, 0.012, 0.06, 0.09), Palm(-0.150), _FOUR,
        (
            articulation((0, -5, 0, 5), (4, 40, 5), (4, 40, 5), (4, 40, 5), (4, 40, 5), (0, 0, 0, 0)),
            articulation((0, -5, 0, 5), (18, 110, 70), (18, 110, 70), (18, 110, 70), (18, 110, 70), (0, 0, 0, 0)),
        ),
    ),
    "lateral": _grasp(
        _slab((0.022, 0.032), (0.0012, 0.002), (0.014, 0.02)),
        Between(("thumb",), ("index+",), along="across", slide=0.018),
        ("thumb",),
        _side_hand((10, -10, 0, 0), (26, 40, 25, 20), (60, 70, 40), (72, 92, 50)),
    ),
    "index_finger_extension": _grasp(
        _knife, Palm(-0.100, turn=40, slide=0.0), ("thumb", *FINGERS[2:]),
        (_row(_ADDUCTED_OPEN, index=(14, 10, 6, 2)), _row(_ADDUCTED, thumb=(20, 30, 15, 20), index=(14, 10, 6, 2))),
    ),
    "extension_type": _grasp(
        _slab((0.05, 0.065), (0.008, 0.012), (0.05, 0.06)),
        Between(("thumb",), _TIPS, shift=-0.02),
        _ALL,
        _pinching((60, 0, 0, 0), *[(62, 6, 4)] * 4, idle=_AWAY),
    ),
    "distal_type": _grasp(
        _scissors, Between(("thumb",), _TIPS[:2]), (), _pinching(*_PINCH2, idle=_RELAXED)
    ),
    "writing_tripod": _grasp(
        _rod(0.0035, 0.005, 0.065, 0.08),
        Between(("thumb",), ("index",), along="web", slide=0.035),
        ("thumb", "index"),
        _pinching(*_PINCH, idle=(58, 62, 30)),
    ),
    "tripod_variation": _grasp(
        _rod(0.0035, 0.005, 0.065, 0.08),
        Between(("middle+",), ("index-",), along="web", slide=0.02),
        ("thumb",),
        _pinching(*_PINCH2, idle=_TUCKED),
    ),
    "parallel_extension": _grasp(
        _slab((0.045, 0.06), (0.002, 0.004), (0.04, 0.05)),
        Between(("thumb",), _TIPS, shift=0.02),
        _ALL,
        _pinching((60, 0, 0, 0), *[(66, 4, 2)] * 4, idle=_AWAY),
    ),
    "adduction_grip": _grasp(
        _rod(0.004, 0.0055, 0.04, 0.05),
        Between(("middle+",), ("index-",), along="across", slide=0.01),
        (),
        (
            articulation((20, 10, 10, 15), (8, 8, 5), (8, 8, 5), (20, 20, 10), (24, 22, 10), (16, -8, -4, -6)),
            articulation((20, 10, 10, 15), (8, 8, 5), (8, 8, 5), (20, 20, 10), (24, 22, 10), (-12, 10, -4, -6)),
        ),
    ),
    "tip_pinch": _grasp(
        _ball(0.0035, 0.005), Between(("thumb",), ("index",)), _ALL[:2],
        _pinching((42, 12, 20, 38), (42, 62, 40), idle=_RELAXED),
    ),
    "lateral_tripod": _grasp(
        _ball(0.011, 0.014), Between(("thumb",), ("index+",)), ("thumb", "middle"),
        _side_hand((20, -10, 0, 0), (40, 35, 25, 20), (50, 60, 30), (60, 70, 35)),
    ),
    "sphere_4_finger": _grasp(
        _ball(0.024, 0.029), Palm(-0.112, z=0.010, gap=0.006), _ALL[:4], (_row(_READY, little=_AWAY), _WRAP)
    ),
    "quadpod": _grasp(
        _ball(0.017, 0.022), Between(("thumb",), _TIPS[:3]), _ALL[:4], _pinching(*_PINCH3, idle=_TUCKED)
    ),
    "sphere_3_finger": _grasp(
        _ball(0.019, 0.024), Palm(-0.112, z=0.020, gap=0.008), _ALL[:3],
        (_row(_READY, ring=_TUCKED, little=_TUCKED), _WRAP),
    ),
    "stick": _grasp(
        _rod(0.0035, 0.005, 0.08, 0.1), Palm(-0.118, turn=-10, slide=0.03), _ALL,
        (_row(_ADDUCTED_OPEN, thumb=(6, -6, 0, 0)), _row(_ADDUCTED, thumb=(26, 30, 20, 15))),
    ),
    "palmar": _grasp(
        _slab((0.05, 0.065), (0.006, 0.01), (0.035, 0.045)), Palm(-0.085), _ALL,
        (_ADDUCTED_OPEN, _row(_ADDUCTED, index=(86, 20, 10), middle=(86, 20, 10), ring=(86, 20, 10), little=(86, 20, 10))),
    ),
    "ring": _grasp(
        _rod(0.019, 0.024, 0.05, 0.08), Palm(-0.115, z=0.02, gap=0.01), _ALL[:2],
        (_row(_READY, middle=_AWAY, ring=_AWAY, little=_AWAY), _WRAP),
    ),
    "ventral": _grasp(
        _slab((0.06, 0.08), (0.006, 0.009), (0.011, 0.014)), Palm(-0.105, turn=12, slide=0.025), _ALL,
        (_row(_ADDUCTED_OPEN, thumb=(20, -10, 0, 0)), _row(_ADDUCTED, thumb=(40, 25, 20, 15))),
    ),
    "inferior_pincer": _grasp(
        _ball(0.013, 0.017), Between(("thumb",), ("index",)), _ALL[:2],
        _pinching((50, 10, -10, -10), (66, 24, 4), idle=_AWAY, spread=1),
    ),
}  # fmt: skip
GRASPS = tuple(GRASP_TABLE)


@cache
def _hand_parts() -> tuple[dict[str, int], Ints, list[tuple[Ints, Floats, Ints]]]:
    """Pads (name -> vertex), vertices of the palm, and per finger its vertices, weights (n, 4) and owners."""
    model = surrogate_hand()
    vertices, joints = model.shape(np.zeros(10))
    tips = model.landmarks or {}

    def pad(joint: int, end: Floats, towards: ArrayLike, low: float, high: float) -> int:
        """Vertex of a phalanx farthest in a direction, between two shares of its length."""
        bone = end - joints[joint]
        length = np.linalg.norm(bone)
        along = (vertices - joints[joint]) @ bone / length**2
        across = vertices - joints[joint] - along[:, None] * bone
        direction = np.asarray(towards, np.float64) - np.dot(towards, bone) * bone / length**2
        direction /= np.linalg.norm(direction)
        aside = np.linalg.norm(np.cross(across, direction), axis=1)
        inside = (model.weights[:, joint] > 0.5) & (along > low) & (along < high)
        return int(np.where(inside, across @ direction - aside / 2, -1).argmax())

    pads = {}
    for finger, first in zip(FINGERS, FIRST, strict=True):
        tip = vertices[tips[f"{finger} tip"]].astype(np.float64)
        pads[finger] = pad(
            first + 2, tip, (-0.25, -0.72, -0.62) if finger == "thumb" else (0, -1, 0), 0.4, 0.8
        )
        if finger in ("index", "middle"):
            for sign, side in ((1, "+"), (-1, "-")):
                pads[finger + side] = pad(first + 1, joints[first + 2], (0, 0, sign), 0.3, 0.9)
    fingers = []
    for first in FIRST:
        own = model.weights[:, first : first + 3].astype(np.float64)
        chosen = np.flatnonzero(own.sum(1) > 0.5)
        weights = np.column_stack([1 - own[chosen].sum(1), own[chosen]])
        fingers.append((chosen, weights, own[chosen].argmax(1)))
    return pads, np.flatnonzero(model.weights[:, 0] > 0.6), fingers


def close(name: str, rng: Generator, betas: ArrayLike) -> tuple[Floats, Held]:
    """Draw a grasp: an object of the class, and a hand closed onto it.

    Fingers that take part start open and close step by step until they touch; the thumb comes last and also stops at
    index and middle finger. The others keep the articulation of the class, with noise.

    Args:
        name: one of `GRASPS`.
        rng: the random stream.
        betas: shape of the hand, (B',).

    Returns:
        Local rotations (16, 3, 3) in the order of `mano16`, row 0 = identity; and the object in the rest frame of
        the hand. A hand that is turned by R about its wrist joint J carries it along: `held.moved(R, J - R @ J)`.
    """
    grasp = GRASP_TABLE[name]
    vertices, joints = surrogate_hand().shape(betas)
    rest = vertices.astype(np.float64)
    shape = grasp.shape(rng)
    noise = jitter(np.zeros((5, 4)), rng, 0.45)
    noise[1:, 2] = 0
    opened, closed = grasp.opened + noise, grasp.closed + noise
    lean = rng.normal(size=3) * [0.06, 0.08, 0.06]
    shift = rng.normal(size=3) * 0.002
    path = opened + (closed - opened) * SHARES[:, None, None]
    turns = local_rotations(path)  # (S, 16, 3, 3)
    if isinstance(grasp.place, Palm):
        fit = START
        held = _in_palm(shape, grasp.place, rest, lean, shift)
    else:
        fit, frame, centre = _between(shape, grasp.place, rest, joints, turns)
        held = shape.held.moved(frame @ axis_angle_to_matrix(lean), centre)
    steps = np.full((5, 3), fit)
    for finger in (1, 2, 3, 4, 0):
        if FINGERS[finger] in grasp.fingers:
            around = _with_fingers(held, turns, steps, joints, rest) if finger == 0 else held
            steps[finger] = _closed_steps(finger, rest, joints, turns, around)
    return _at(turns, steps), held


def _at(turns: Floats, steps: Ints) -> Floats:
    """Rotations (16, 3, 3) with each joint at its own step, (5, 3)."""
    rotations = turns[0].copy()
    for first, row in zip(FIRST, steps, strict=True):
        for k, step in enumerate(row):
            rotations[first + k] = turns[step, first + k]
    return rotations


def _in_palm(shape: Shape, place: Palm, rest: Floats, lean: Floats, shift: Floats) -> Held:
    """Bring the object to the palm from below."""
    angle = np.radians(place.turn)
    along = np.array([-np.sin(angle), 0, np.cos(angle)])
    up = np.array([0.0, 1, 0])
    frame = np.stack([along, up, np.cross(along, up)], 1)
    frame = frame @ _turned("z", -place.tip) @ axis_angle_to_matrix(lean)
    centre = np.array([place.x, -_FAR, place.z]) + place.slide * along + shift * [1, 0, 1]
    held = shape.held.moved(frame, centre)
    palm = rest[_hand_parts()[1]]
    for _ in range(40):  # a step as long as the smallest distance never goes too far
        room = held.distances(palm).min() - MARGIN - place.gap
        held = held.moved(np.eye(3), [0, room, 0])
        if room < 1e-4:
            break
    return held


def _between(
    shape: Shape, place: Between, rest: Floats, joints: Floats, turns: Floats
) -> tuple[int, Floats, Floats]:
    """Step of the closing at which the object fits between the pads, its axes as columns and its centre there."""
    model = surrogate_hand()
    names = (*place.one, *place.other)
    ids = [_hand_parts()[0][name] for name in names]
    turned, placed = forward_kinematics(turns, np.broadcast_to(joints, (len(turns), 16, 3)), model.parents)
    moved = placed - np.einsum("sjik,jk->sji", turned, joints)
    weights = model.weights[ids].astype(np.float64)
    pads = np.einsum("vj,sjik,vk->svi", weights, turned, rest[ids]) + np.einsum("vj,sji->svi", weights, moved)
    first, second = pads[:, : len(place.one)], pads[:, len(place.one) :]
    one, other = first.mean(1), second.mean(1)
    apart = np.linalg.norm(other - one, axis=1)
    fits = np.flatnonzero(apart[START:] <= shape.width + 2 * MARGIN)
    fit = START + int(fits[0]) if len(fits) else START + int(apart[START:].argmin())
    grip = (other[fit] - one[fit]) / apart[fit]
    if len(place.other) > 1:
        row = second[fit, 0] - second[fit, -1]
    else:  # about which the finger bends
        joint = int(weights[-1].argmax())
        row = turned[fit, joint] @ [0, 0, 1]
    row -= (row @ grip) * grip
    row /= np.linalg.norm(row)
    ahead = np.cross(grip, row)  # towards the finger tips
    centre = (one[fit] + other[fit]) / 2 + place.shift * ahead
    if place.along == "fingers":
        along = row
    elif place.along == "across":
        along = ahead
    else:
        web = joints[1] + _WEB - centre
        web -= (web @ grip) * grip
        along = web / np.linalg.norm(web)
    frame = np.stack([along, grip, np.cross(along, grip)], 1)
    return fit, frame, centre + place.slide * along


_WEB = np.array([0.012, 0.004, 0.020])  # from the knuckle of the index finger to where a pen rests


def _with_fingers(held: Held, turns: Floats, steps: Ints, joints: Floats, rest: Floats) -> Held:
    """Return the object together with the posed index and middle finger, as capsules."""
    model = surrogate_hand()
    rotations = _at(turns, steps)
    turned, placed = forward_kinematics(rotations[None], joints[None], model.parents)
    parts = [held]
    for finger in (1, 2):
        last = FIRST[finger] + 2
        tip = rest[(model.landmarks or {})[f"{FINGERS[finger]} tip"]]
        end = placed[0, last] + 0.8 * turned[0, last] @ (tip - joints[last])
        chain = [*placed[0, last - 2 : last + 1], end]
        for a, b in zip(chain[:-1], chain[1:], strict=True):
            length = float(np.linalg.norm(b - a))
            axes = np.zeros((3, 3))
            axes[0] = (b - a) / length
            parts.append(_part(CAPSULE, (_FLESH, length / 2, 0), (a + b) / 2, axes))
    return _together(*parts)


def _closed_steps(finger: int, rest: Floats, joints: Floats, turns: Floats, around: Held) -> Ints:
    chosen, weights, owner = _hand_parts()[2][finger]
    first = FIRST[finger]
    state = np.full(3, START)
    close_finger(
        np.ascontiguousarray(rest[chosen]), weights, owner, np.ascontiguousarray(joints[first : first + 3]),
        np.ascontiguousarray(turns[:, first : first + 3].swapaxes(0, 1)), state,
        *around, MARGIN, np.empty((3, 3, 4)), np.empty(3),
    )  # fmt: skip
    return state
