"""The 33 grasps: what is held, where it lies in the hand, how the hand is open and where its fingers go.

The classes are those of the GRASP taxonomy (Feix et al., IEEE Trans. Human-Machine Systems 46(1), 2016), in
its order; shapes, places and angles are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.synth.grasp_objects import Shape, ball, disk, knife, rod, scissors, slab, spoon
from bench.synth.hand_poses import FINGERS, Angles, articulation

Floats = NDArray[np.float64]


class Palm(NamedTuple):
    """Lies in the palm: pushed along +y until the palm touches it."""

    x: float  # metres along the hand; fingers start at -0.105
    turn: float = 0.0  # degrees that the long side, along +z at 0, turns towards the finger tips
    z: float = 0.0  # metres
    slide: float = 0.0  # metres along the long side
    gap: float = 0.0  # metres between palm and object


class Between(NamedTuple):
    """Lies between the pads of one side and those of the other, where they are as far apart as it is wide.

    Its long side follows the row of the fingers, points ahead of their tips or down from the palm, lies in
    the web of the thumb or in the gap between index and middle finger, or follows the thumb.
    """

    one: tuple[str, ...]
    other: tuple[str, ...]
    along: Literal["row", "ahead", "down", "web", "gap", "thumb"] = "row"
    slide: float = 0.0  # metres along the long side
    flat: bool = False  # lies along the fingers of the other side, whatever the thumb does
    alike: bool = False  # the noise of the middle finger is that of the index finger
    shift: float = 0.0  # metres across the grip and the row of fingers, towards the finger tips


class Grasp(NamedTuple):
    """One class."""

    shape: Callable[[Generator], Shape]
    place: Palm | Between
    fingers: tuple[str, ...]  # which close until they touch
    hand: tuple[Floats, Floats]  # articulations (5, 4) in degrees, open and closed


def _alike(thumb: Angles, finger: ArrayLike) -> Floats:
    """Articulation whose four fingers bend alike."""
    return articulation(thumb, finger, finger, finger, finger, (0, 0, 0, 0))


_ALL = FINGERS
_FOUR = FINGERS[1:]
_WRAP = _alike((70, 4, 42, 52), (86, 105, 65))
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


def _fixed_fingers(
    thumb_open: ArrayLike, thumb_closed: ArrayLike, index: ArrayLike, others: ArrayLike
) -> tuple[Floats, Floats]:
    """Open and closed hands of a grasp whose thumb alone moves, given the flexions of the fingers."""
    opened = articulation((0, 0, 0, 0), index, others, others, others, (0, 0, 0, 0))
    return _row(opened, thumb=thumb_open), _row(opened, thumb=thumb_closed)


GRASP_TABLE: dict[str, Grasp] = {
    "large_diameter": Grasp(rod(0.034, 0.041, 0.05, 0.08), Palm(-0.100), _ALL, (_READY, _WRAP)),
    "small_diameter": Grasp(rod(0.010, 0.013, 0.07, 0.12), Palm(-0.098), _ALL, (_READY, _WRAP)),
    "medium_wrap": Grasp(rod(0.019, 0.024, 0.06, 0.11), Palm(-0.098), _ALL, (_READY, _WRAP)),
    "adducted_thumb": Grasp(
        rod(0.013, 0.016, 0.08, 0.12), Palm(-0.086, turn=34, slide=0.03), _ALL,
        (_row(_READY, thumb=(18, -15, -6, -4)), _row(_WRAP, thumb=(26, 42, 10, 12))),
    ),
    "light_tool": Grasp(knife, Palm(-0.105, turn=18, slide=0.01), _ALL, (_ADDUCTED_OPEN, _ADDUCTED)),
    "prismatic_4_finger": Grasp(
        rod(0.006, 0.009, 0.06, 0.09), Between(("thumb",), _FOUR), _ALL, _pinching(*_PINCH4, idle=_AWAY)
    ),
    "prismatic_3_finger": Grasp(
        rod(0.006, 0.009, 0.05, 0.08), Between(("thumb",), _FOUR[:3]), _ALL[:4],
        _pinching(*_PINCH3, idle=_AWAY),
    ),
    "prismatic_2_finger": Grasp(
        rod(0.006, 0.009, 0.04, 0.07), Between(("thumb",), _FOUR[:2]), _ALL[:3],
        _pinching(*_PINCH2, idle=_TUCKED),
    ),
    "palmar_pinch": Grasp(
        slab((0.016, 0.023), (0.002, 0.004), (0.016, 0.023)),
        Between(("thumb",), ("index",), shift=0.006, flat=True), _ALL[:2],
        _pinching(*_PINCH, idle=_AWAY, spread=1),
    ),
    "power_disk": Grasp(
        disk((0.038, 0.046), (0.008, 0.012), "y"), Palm(-0.098), _ALL,
        (_row(_READY, thumb=(20, -22, -8, -6)), _row(_WRAP, thumb=(50, 20, 50, 60))),
    ),
    "power_sphere": Grasp(ball(0.034, 0.043), Palm(-0.096, z=0.006), _ALL, (_READY, _WRAP)),
    "precision_disk": Grasp(
        disk((0.034, 0.042), (0.005, 0.008), "z"), Between(("thumb",), _FOUR), _ALL,
        _pinching(*_PINCH4, idle=_AWAY),
    ),
    "precision_sphere": Grasp(
        ball(0.026, 0.033), Between(("thumb",), _FOUR), _ALL, _pinching(*_PINCH4, idle=_AWAY, spread=1.5)
    ),
    "tripod": Grasp(
        ball(0.013, 0.018), Between(("thumb",), _FOUR[:2]), _ALL[:3], _pinching(*_PINCH2, idle=_TUCKED)
    ),
    "fixed_hook": Grasp(
        rod(0.008, 0.012, 0.06, 0.09), Palm(-0.121, turn=9), _FOUR,
        (
            _alike((0, -5, 0, 5), (4, 40, 5)),
            _alike((0, -5, 0, 5), (10, 112, 75)),
        ),
    ),
    "lateral": Grasp(
        slab((0.026, 0.036), (0.0012, 0.002), (0.014, 0.02)),
        Between(("thumb",), ("index+",), along="thumb", slide=0.018), ("thumb",),
        _fixed_fingers((15, 0, -20, 0), (2, 42, -16, 28), (58, 72, 40), (66, 80, 40)),
    ),
    "index_finger_extension": Grasp(
        knife, Palm(-0.100, turn=40), _ALL,
        (
            _row(_ADDUCTED_OPEN, index=(6, 8, 5, 2)),
            _row(_ADDUCTED, thumb=(20, 30, 15, 20), index=(40, 16, 8, 2)),
        ),
    ),
    "extension_type": Grasp(
        slab((0.05, 0.065), (0.010, 0.014), (0.045, 0.055)), Between(("thumb",), _FOUR, shift=0.015), _ALL,
        _pinching((78, -2, -4, -6), *[(66, 6, 4)] * 4, idle=_AWAY),
    ),
    "distal_type": Grasp(
        scissors, Between(("thumb",), _FOUR[:2]), (), _pinching(*_PINCH2, idle=_RELAXED)
    ),
    "writing_tripod": Grasp(
        rod(0.0035, 0.005, 0.065, 0.08), Between(("thumb",), ("index",), along="web", slide=0.035),
        _ALL[:2], _pinching(*_PINCH, idle=(58, 62, 30)),
    ),
    "tripod_variation": Grasp(
        rod(0.0035, 0.005, 0.07, 0.09), Between(("thumb",), _FOUR[:2], along="gap", slide=0.035), (),
        _pinching(*_PINCH2, idle=_TUCKED, spread=2),
    ),
    "parallel_extension": Grasp(
        slab((0.045, 0.06), (0.002, 0.004), (0.04, 0.05)), Between(("thumb",), _FOUR, shift=0.02, flat=True),
        _ALL, _pinching((80, -4, -4, -6), *[(88, 6, 3)] * 4, idle=_AWAY),
    ),
    "adduction_grip": Grasp(
        rod(0.004, 0.0055, 0.04, 0.05), Between(("middle+",), ("index-",), along="down", slide=0.008,
        alike=True), (), (
            articulation((20, 10, 10, 15), _AWAY, _AWAY, (8, 10, 5), (10, 12, 6), (16, -8, -9, -12)),
            articulation((20, 10, 10, 15), _AWAY, _AWAY, (8, 10, 5), (10, 12, 6), (-12, 10, -9, -12)),
        ),
    ),
    "tip_pinch": Grasp(
        rod(0.002, 0.003, 0.028, 0.036), Between(("thumb",), ("index",), slide=0.024, flat=True), _ALL[:2],
        _pinching((26, 29, -17, 33), (47, 62, 46), idle=(10, 14, 8), spread=0.8),
    ),
    "lateral_tripod": Grasp(
        spoon, Between(("thumb",), ("index+",), along="thumb", slide=0.02), ("thumb",),
        _fixed_fingers((20, 0, -12, 0), (5, 42, -14, 5), (52, 62, 33), (62, 72, 35)),
    ),
    "sphere_4_finger": Grasp(
        ball(0.024, 0.029), Palm(-0.108, z=0.010), _ALL[:4],
        (_row(_READY, thumb=(66, -18, -10, -6), little=_AWAY), _row(_WRAP, thumb=(76, 14, 12, 20))),
    ),
    "quadpod": Grasp(
        ball(0.017, 0.022), Between(("thumb",), _FOUR[:3]), _ALL[:4], _pinching(*_PINCH3, idle=_TUCKED)
    ),
    "sphere_3_finger": Grasp(
        ball(0.019, 0.024), Palm(-0.108, z=0.020), _ALL[:3],
        (
            _row(_READY, thumb=(66, -15, -10, -6), ring=(60, 70, 35), little=(66, 74, 35)),
            _row(_WRAP, thumb=(76, 14, 12, 20)),
        ),
    ),
    "stick": Grasp(
        rod(0.0035, 0.005, 0.08, 0.1), Between(("thumb",), ("index+",), along="thumb", slide=0.045),
        ("thumb",), _fixed_fingers((15, 0, -20, 0), (2, 42, -16, 28), (58, 72, 40), _TUCKED),
    ),
    "palmar": Grasp(
        slab((0.042, 0.052), (0.008, 0.012), (0.022, 0.028)), Palm(-0.083, z=-0.022), _ALL,
        (
            _row(_READY, thumb=(8, -12, -6, -4)),
            _alike((14, 44, 6, 10), (88, 30, 15)),
        ),
    ),
    "ring": Grasp(
        rod(0.019, 0.024, 0.05, 0.08), Palm(-0.115, z=0.02, gap=0.01), _ALL[:2],
        (_row(_READY, middle=_AWAY, ring=_AWAY, little=_AWAY), _WRAP),
    ),
    "ventral": Grasp(
        slab((0.06, 0.08), (0.006, 0.009), (0.011, 0.014)), Palm(-0.105, turn=12, slide=0.025), _ALL,
        (_row(_ADDUCTED_OPEN, thumb=(20, -10, 0, 0)), _row(_ADDUCTED, thumb=(40, 25, 20, 15))),
    ),
    "inferior_pincer": Grasp(
        ball(0.013, 0.017), Between(("thumb",), ("index",)), _ALL[:2],
        _pinching((50, 10, -10, -10), (66, 24, 4), idle=_AWAY, spread=1),
    ),
}  # fmt: skip
