"""Grasps: a hand closes onto an object until its fingers touch.

Everything is in the rest frame of `surrogate_hand()`: fingers along -x, palm towards -y, thumb at +z, metres.
The classes are the rows of `bench.synth.grasp_table`.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix, forward_kinematics
from bench.synth.grasp_objects import Held, Shape, part, together
from bench.synth.grasp_table import GRASP_TABLE, Between, Palm
from bench.synth.grasping_numba import close_finger
from bench.synth.hand_poses import FINGERS, FIRST, jitter, local_rotations
from bench.synth.scene import CAPSULE

__all__ = ["GRASPS", "Held", "close"]

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int64]

GRASPS = tuple(GRASP_TABLE)
MARGIN = 5e-4  # metres at which a finger touches
STEPS = 46  # of the closing, from half-way beyond open (-0.5) to closed (1)
START = 15  # step at which a hand is open
SHARES = np.linspace(-0.5, 1, STEPS)
NOISE = {Palm: 0.45, Between: 0.3}  # of the articulation, against that of gestures; pads have to meet
LEAN = (0.06, 0.08, 0.06)  # deviations of the object's axes, radians
SHIFT = 0.002  # deviation of its place, metres
_FAR = 0.2  # metres below the palm, where objects start towards it
_FLESH = 0.0065  # radius of a closed finger that the thumb stops at
_WEB = np.array([0.012, 0.004, 0.020])  # from the knuckle of the index finger to where a pen rests
_GAP = np.array([0.0, 0.012, 0.0])  # from between the knuckles of index and middle finger to above them


class _Hand(NamedTuple):
    """What of the hand matters here."""

    pads: dict[str, int]  # name -> vertex
    inner: Ints  # vertices of the palm and of the first phalanges
    fingers: list[tuple[Ints, Floats, Ints]]  # vertices, weights (n, 4), phalanx (n,) of each
    tips: dict[int, int]  # last joint of each finger -> vertex


@cache
def _hand() -> _Hand:
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
    inner = model.weights[:, [0, *FIRST[1:]]].sum(1) > 0.6
    last = {first + 2: tips[f"{finger} tip"] for finger, first in zip(FINGERS, FIRST, strict=True)}
    return _Hand(pads=pads, inner=np.flatnonzero(inner), fingers=fingers, tips=last)


def close(name: str, rng: Generator, betas: ArrayLike) -> tuple[Floats, Held]:
    """Draw a grasp: an object of the class, and a hand closed onto it.

    Fingers that take part start open and close step by step until they touch; the thumb comes last and stops
    at index and middle finger, too. The others keep the articulation of the class, with noise.

    Args:
        name: one of `GRASPS`.
        rng: the random stream.
        betas: shape of the hand, (B',).

    Returns:
        Local rotations (16, 3, 3) in the order of `mano16`, row 0 = identity; and the object in the rest
        frame of the hand. A hand that turns by R about its wrist joint J takes it along: `held.moved(R, J - R
        @ J)`.
    """
    grasp = GRASP_TABLE[name]
    vertices, joints = surrogate_hand().shape(betas)
    rest = vertices.astype(np.float64)
    shape = grasp.shape(rng)
    noise = jitter(np.zeros((5, 4)), rng, NOISE[type(grasp.place)])
    noise[1:, 2] = 0
    if isinstance(grasp.place, Between) and grasp.place.alike:
        noise[2] = noise[1]
    opened, closed = (side + noise for side in grasp.hand)
    lean = rng.normal(size=3) * LEAN
    shift = rng.normal(size=3) * SHIFT
    path = opened + (closed - opened) * SHARES[:, None, None]
    turns = local_rotations(path)  # (S, 16, 3, 3)
    if isinstance(grasp.place, Palm):
        fit = START
        inner = surrogate_hand().pose(vertices, joints, turns[START])[0][_hand().inner]
        held = _in_palm(shape, grasp.place, inner, lean, shift)
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
    rotations: Floats = turns[0].copy()
    for first, row in zip(FIRST, steps, strict=True):
        for k, step in enumerate(row):
            rotations[first + k] = turns[step, first + k]
    return rotations


def _in_palm(shape: Shape, place: Palm, inner: Single, lean: Floats, shift: Floats) -> Held:
    """Bring the object from below to the inside (n, 3) of the open hand."""
    angle = np.radians(place.turn)
    along = np.array([-np.sin(angle), 0, np.cos(angle)])
    up = np.array([0.0, 1, 0])
    frame = np.stack([along, up, np.cross(along, up)], 1) @ axis_angle_to_matrix(lean)
    centre = np.array([place.x, -_FAR, place.z]) + place.slide * along + shift * [1, 0, 1]
    held = shape.held.moved(frame, centre)
    for _ in range(40):  # a step as long as the smallest distance never goes too far
        room = held.distances(inner).min() - MARGIN - place.gap
        held = held.moved(np.eye(3), [0, room, 0])
        if room < 1e-4:
            break
    return held


def _between(
    shape: Shape, place: Between, rest: Floats, joints: Floats, turns: Floats
) -> tuple[int, Floats, Floats]:
    """Step of the closing at which the object fits between the pads; its axes as columns and its centre."""
    model = surrogate_hand()
    names = (*place.one, *place.other)
    ids = [_hand().pads[name] for name in names]
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

    def across(direction: Floats) -> Floats:
        """Part of a direction at right angles to the grip, as a unit vector."""
        left = direction - (direction @ grip) * grip
        unit: Floats = left / np.linalg.norm(left)
        return unit

    def bone(joint: int) -> Floats:
        """Where a phalanx points."""
        last = rest[_hand().tips[joint]] if joint in _hand().tips else joints[joint + 1]
        pointing: Floats = turned[fit, joint] @ (last - joints[joint])
        return pointing

    if len(place.other) > 1:
        row = across(second[fit, 0] - second[fit, -1])
        ahead = np.cross(row, grip)  # towards the finger tips
    else:
        ahead = across(bone(int(weights[-1].argmax())))
        row = np.cross(grip, ahead)
    centre = (one[fit] + other[fit]) / 2
    if place.flat:
        bones = [bone(int(weights[k].argmax())) for k in range(len(place.one), len(names))]
        ahead = np.sum(bones, 0) / np.linalg.norm(np.sum(bones, 0))
        if len(bones) == 1:  # pads that nearly meet do not say how the grip runs
            row = turned[fit, int(weights[-1].argmax())] @ [0, 0, 1]
        row = row - (row @ ahead) * ahead
        row /= np.linalg.norm(row)
        grip = np.cross(ahead, row)
        centre = other[fit] - (shape.width / 2 + MARGIN) * grip
    centre = centre + place.shift * ahead
    along = {
        "row": row,
        "ahead": ahead,
        "down": across(np.array([0.0, -1, 0])),
        "web": across(joints[1] + _WEB - centre),
        "gap": across((joints[1] + joints[4]) / 2 + _GAP - centre),
        "thumb": across(bone(15)),
    }[place.along]
    frame = np.stack([along, grip, np.cross(along, grip)], 1)
    return fit, frame, centre + place.slide * along


def _with_fingers(held: Held, turns: Floats, steps: Ints, joints: Floats, rest: Floats) -> Held:
    """Return the object together with the posed index and middle finger, as capsules."""
    model = surrogate_hand()
    rotations = _at(turns, steps)
    turned, placed = forward_kinematics(rotations[None], joints[None], model.parents)
    parts = [held]
    for finger in (1, 2):
        last = FIRST[finger] + 2
        tip = rest[_hand().tips[last]]
        end = placed[0, last] + 0.8 * turned[0, last] @ (tip - joints[last])
        chain = [*placed[0, last - 2 : last + 1], end]
        for a, b in pairwise(chain):
            length = float(np.linalg.norm(b - a))
            axes = np.zeros((3, 3))
            axes[0] = (b - a) / length
            parts.append(part(CAPSULE, (_FLESH, length / 2, 0), (a + b) / 2, axes))
    return together(*parts)


def _closed_steps(finger: int, rest: Floats, joints: Floats, turns: Floats, around: Held) -> Ints:
    chosen, weights, owner = _hand().fingers[finger]
    first = FIRST[finger]
    state = np.full(3, START)
    close_finger(
        np.ascontiguousarray(rest[chosen]), weights, owner, np.ascontiguousarray(joints[first : first + 3]),
        np.ascontiguousarray(turns[:, first : first + 3].swapaxes(0, 1)), state,
        *around, MARGIN, np.empty((3, 3, 4)), np.empty(3),
    )  # fmt: skip
    return state
