"""Poses of a right hand: articulation in degrees, 18 gestures, free poses, and how gestures face the viewer.

An articulation is an array (5, 4) in degrees, one row per finger of `FINGERS`. Fingers have MCP, PIP and DIP
flexion and abduction (positive towards the thumb); the thumb has opposition, adduction, MCP and IP flexion.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from bench.bodymodels.rotations import axis_angle_to_matrix

Floats = NDArray[np.float64]
Side = Literal["palm", "back", "side", "any"]  # of the hand, as the viewer sees it
Pointing = Literal["fingers up", "thumb up", "thumb down"]
Angles = tuple[float, float, float, float]

FINGERS = ("thumb", "index", "middle", "ring", "little")
FIRST = (13, 1, 4, 10, 7)  # joint of `mano16` at which each finger starts

_FAN = (0.10, 0.02, -0.06, -0.14)  # radians that the fingers point towards the thumb at rest
_THUMB = np.array([-0.72, -0.28, 0.64])  # where the thumb points at rest
_CURL = np.array([-0.25, -0.72, -0.62])  # where it bends to
_CROSS = np.cross(_THUMB, _CURL)
_THUMB_AXIS = _CROSS / np.linalg.norm(_CROSS)
_BENDS = [[np.sin(fan), 0, np.cos(fan)] for fan in _FAN]  # axes that the fingers bend about
# The first joint of a finger turns about two axes, the others about one: columns of the articulation, axes.
_ORDER = np.array([[0, 1, 2, 3], *[[3, 0, 1, 2]] * 4])
_AXES = np.array(
    [[[1, 0, 0], [0, -1, 0], _THUMB_AXIS, _THUMB_AXIS], *[[[0, 1, 0], bend, bend, bend] for bend in _BENDS]]
)
_NOISE = np.array([[6, 6, 7, 8], *[[7, 7, 5, 3.5]] * 4])  # degrees
_VIEW_NOISE = np.radians([16, 20, 14])
_COUPLING = 0.62  # DIP follows PIP
_LOW = np.array([[-40, -40, -30, -40], *[[-22, -4, -6, -25]] * 4])  # where noise stops, degrees
_HIGH = np.array([[90, 60, 70, 85], *[[92, 112, 75, 25]] * 4])


class Gesture(NamedTuple):
    """One gesture of HaGRID (Kapitanov et al., arXiv:2206.08219); the angles are our own."""

    articulation: Floats  # (5, 4), degrees
    side: Side
    pointing: Pointing


def articulation(
    thumb: Angles,
    index: ArrayLike,
    middle: ArrayLike,
    ring: ArrayLike,
    little: ArrayLike,
    abduction: Angles = (4, 0, 0, -4),
) -> Floats:
    """Put an articulation (5, 4) together from flexions (3,) of the fingers and their abductions, degrees."""
    flexion = np.stack([np.asarray(finger, np.float64) for finger in (index, middle, ring, little)])
    return np.concatenate(
        [np.asarray(thumb, np.float64)[None], np.column_stack([flexion, np.asarray(abduction)])]
    )


_O, _C = (3, 4, 2), (82, 98, 62)  # an open and a curled finger
_OUT, _IN, _PALM, _UP = (0, -8, -6, -4), (38, 22, 38, 42), (46, 34, 40, 52), (-12, -18, -8, -12)
_SPREAD = (14, 4, -5, -16)
_FLAT = (4, 26, 4, 8)
_CLOSED = (-4, 0, 3, 7)
_PEACE = articulation(_IN, _O, _O, _C, _C, (15, -9, 0, 0))
_STOP = articulation(_FLAT, _O, _O, _O, _O, _CLOSED)
_TWO = articulation(_IN, _O, _O, _C, _C, (-3, 4, 0, 0))
_LIKE = articulation(_UP, _C, _C, _C, _C)

GESTURE_TABLE: dict[str, Gesture] = {
    "call": Gesture(articulation(_OUT, _C, _C, _C, _O, (0, 0, 0, -16)), "any", "fingers up"),
    "dislike": Gesture(_LIKE, "any", "thumb down"),
    "fist": Gesture(articulation(_PALM, _C, _C, _C, _C), "any", "fingers up"),
    "four": Gesture(articulation(_PALM, _O, _O, _O, _O, _SPREAD), "palm", "fingers up"),
    "like": Gesture(_LIKE, "any", "thumb up"),
    "mute": Gesture(articulation(_IN, _O, _C, _C, _C), "side", "fingers up"),
    "ok": Gesture(
        articulation((29, 21, -8, 11), (50, 49, 28), (8, 8, 4), (4, 6, 3), (2, 4, 2), (0, 2, -5, -14)),
        "palm",
        "fingers up",
    ),
    "one": Gesture(articulation(_IN, _O, _C, _C, _C), "palm", "fingers up"),
    "palm": Gesture(articulation(_OUT, _O, _O, _O, _O, _SPREAD), "palm", "fingers up"),
    "peace": Gesture(_PEACE, "palm", "fingers up"),
    "peace_inverted": Gesture(_PEACE, "back", "fingers up"),
    "rock": Gesture(articulation(_IN, _O, _C, _C, _O, (6, 0, 0, -12)), "any", "fingers up"),
    "stop": Gesture(_STOP, "palm", "fingers up"),
    "stop_inverted": Gesture(_STOP, "back", "fingers up"),
    "three": Gesture(articulation(_PALM, _O, _O, _O, _C, (14, 0, -12, 0)), "palm", "fingers up"),
    "three2": Gesture(articulation(_OUT, _O, _O, _C, _C, (12, -6, 0, 0)), "palm", "fingers up"),
    "two_up": Gesture(_TWO, "palm", "fingers up"),
    "two_up_inverted": Gesture(_TWO, "back", "fingers up"),
}
GESTURES = tuple(GESTURE_TABLE)


def local_rotations(degrees: ArrayLike) -> Floats:
    """Local joint rotations of articulations.

    Args:
        degrees: (..., 5, 4).

    Returns:
        (..., 16, 3, 3) in the order of `mano16`; the wrist (row 0) is the identity.
    """
    angles = np.radians(np.asarray(degrees, np.float64)[..., np.arange(5)[:, None], _ORDER])
    turns = axis_angle_to_matrix(angles[..., None] * _AXES)  # (..., 5, 4, 3, 3)
    local = np.tile(np.eye(3), (*angles.shape[:-2], 16, 1, 1))
    local[..., FIRST, :, :] = turns[..., 0, :, :] @ turns[..., 1, :, :]
    for k in (1, 2):
        local[..., np.add(FIRST, k), :, :] = turns[..., k + 1, :, :]
    return local


def jitter(degrees: Floats, rng: Generator, strength: float = 1.0) -> Floats:
    """Add noise to an articulation (5, 4); DIP joints follow PIP joints half-way, and joints stay in range.

    Args:
        degrees: (5, 4).
        rng: the random stream; 20 numbers are drawn.
        strength: 1 = deviations of 7, 7, 5, 3.5 degrees at the fingers and 6, 6, 7, 8 at the thumb.
    """
    noisy: Floats = degrees + rng.normal(size=(5, 4)) * _NOISE * strength
    noisy[1:, 2] = (noisy[1:, 2] + _COUPLING * noisy[1:, 1]) / 2
    return np.clip(noisy, np.minimum(_LOW, degrees), np.maximum(_HIGH, degrees))


def view_rotation(side: Side, pointing: Pointing, rng: Generator, strength: float = 1.0) -> Floats:
    """Rotation (3, 3) of the wrist that shows a hand to a viewer.

    Args:
        side: which side of the hand the viewer sees; "any" draws one. Plays no part where the thumb points.
        pointing: what points where in the picture.
        rng: the random stream.
        strength: 1 = noise of 16, 20 and 14 degrees about the viewer's x, y and z axes.

    Returns:
        From the hand's rest frame to the viewer's: x right, y up, z towards the viewer.
    """
    noise = rng.normal(size=3) * _VIEW_NOISE * strength
    pick = rng.random()
    if pointing == "fingers up":
        drawn = ("palm", "back", "side")[int(3 * pick)] if side == "any" else side
        fingers, palm = (0, 1, 0), {"palm": (0, 0, 1), "back": (0, 0, -1), "side": (-1, 0, 0)}[drawn]
    else:
        towards = 1 if pick < 0.5 else -1  # the viewer sees the palm, or the back
        fingers, palm = (-towards if pointing == "thumb up" else towards, 0, 0), (0, 0, towards)
    x, y = -np.array(fingers, float), -np.array(palm, float)
    facing = np.stack([x, y, np.cross(x, y)], 1)
    about_x, about_y, about_z = (axis_angle_to_matrix(n * e) for n, e in zip(noise, np.eye(3), strict=True))
    rotation: Floats = about_z @ about_y @ about_x @ facing
    return rotation


def any_rotation(rng: Generator) -> Floats:
    """Uniform random rotation, (3, 3)."""
    quaternion = rng.normal(size=4)
    return np.asarray(Rotation.from_quat(quaternion).as_matrix())


def gesture(name: str, rng: Generator, strength: float = 1.0) -> Floats:
    """Draw a gesture as a viewer sees it.

    Args:
        name: one of `GESTURES`.
        rng: the random stream.
        strength: of the noise of the articulation and of the view.

    Returns:
        (16, 3, 3) in the order of `mano16`: row 0 leads to the viewer's axes (x right, y up, z towards the
        viewer), the others are local.
    """
    row = GESTURE_TABLE[name]
    rotations = local_rotations(jitter(row.articulation, rng, strength))
    rotations[0] = view_rotation(row.side, row.pointing, rng, strength)
    return rotations


def free_articulation(rng: Generator, strength: float = 1.2) -> Floats:
    """Draw an articulation (5, 4) between two gestures; each finger lies where it likes between them."""
    first, second = rng.integers(len(GESTURES), size=2)
    share = np.clip(rng.random() + 0.25 * rng.normal(size=(5, 1)), 0, 1)
    a, b = (GESTURE_TABLE[GESTURES[k]].articulation for k in (first, second))
    return jitter(a + (b - a) * share, rng, strength)


def free_motion(rng: Generator, frames: int, strength: float = 1.2) -> Floats:
    """Draw a movement from one free articulation to another, slow at both ends, (frames, 5, 4)."""
    first, last = free_articulation(rng, strength), free_articulation(rng, strength)
    time = np.linspace(0, 1, frames)[:, None, None]
    movement: Floats = first + (last - first) * (time * time * (3 - 2 * time))
    return movement
