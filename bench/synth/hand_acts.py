"""What a hand does in a clip: its pose over time, what it holds, and how its owner stands behind it.

Directions are those of a viewer: x right, y up, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.synth import hand_poses
from bench.synth.grasp_objects import Held
from bench.synth.grasping import GRASPS, close
from bench.synth.hand_domains import HandSource
from bench.synth.hand_users import HandUser

Floats = NDArray[np.float64]

WRIST_SD_DEG = (5.0, 9.0, 20.0)  # of the forearm: twist, to the sides, flexion
WRIST_LIMIT = 2.0  # standard deviations
MUTE = hand_poses.GESTURES.index("mute")
MUTE_HEADS = 0.7  # share of its pictures with a head
FOREARM_AHEAD, TRIES = 0.5, 8  # cosine between forearm and viewer that poses from anywhere stay below
GESTURE_NOISE = 0.85
TURN_SD_DEG = 25.0  # of a hand over a clip
LIP_M = np.array([0.0, -0.03, -0.034])  # from the tip of the index finger to the mouth behind it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Where the owner's head is."""

    tip: bool  # from the tip of the index finger; otherwise from the middle of the hand
    offset: Floats  # to the mouth, metres, (3,)
    turn: Floats  # of the body, (3, 3)
    nod: Floats  # axis-angle of the head, (3,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Act:
    """Everything a hand does in a clip."""

    rotations: Floats  # of the joints, row 0 turns the hand to the viewer's axes, (F, 16, 3, 3)
    forearm: Floats  # rotation in the frame of the hand, (3, 3)
    held: Held | None = None  # in the rest frame of the hand
    egocentric: bool = False
    head: Head | None = None


def perform(settings: HandSource, label: int, user: HandUser, rng: Generator) -> Act:
    """Draw what the hand of a clip does.

    Args:
        settings: of the source.
        label: gesture or grasp, -1 = neither.
        user: whose hand.
        rng: stream of the clip.
    """
    draw = {"free": _free, "gesture": _gesture, "grasp": _grasp}[settings.subject]
    return draw(settings, label, user, rng)


def _free(settings: HandSource, label: int, user: HandUser, rng: Generator) -> Act:
    """A hand that moves between two free poses and turns a little; what holds something keeps its grasp."""
    frames = settings.domain.frames
    facing, holds = rng.random() < settings.facing, rng.random() < settings.objects
    forearm = _forearm(rng)
    first = hand_poses.view_rotation("any", "fingers up", rng)
    if not facing:
        turned = (hand_poses.any_rotation(rng) for _ in range(TRIES))
        first = next((turn for turn in turned if turn[2, 0] < FOREARM_AHEAD), first)
    spin = rng.normal(size=3) * np.radians(TURN_SD_DEG)
    time = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(1)
    if holds:
        name = GRASPS[int(rng.integers(len(GRASPS)))]
        local, held = close(name, rng, user.betas)
        rotations = np.repeat(local[None], frames, 0)
    else:
        held = None
        start, end = hand_poses.free_articulation(rng), hand_poses.free_articulation(rng)
        share = (0.5 + time)[:, None, None]
        rotations = hand_poses.local_rotations(start + (end - start) * share)
    rotations[:, 0] = axis_angle_to_matrix(time[:, None] * spin) @ first
    return Act(rotations=rotations, forearm=forearm, held=held)


def _gesture(settings: HandSource, label: int, user: HandUser, rng: Generator) -> Act:
    """A gesture as it is shown to a camera, sometimes in front of the face."""
    mute = label == MUTE
    rotations = hand_poses.gesture(hand_poses.GESTURES[label], rng, GESTURE_NOISE)
    if mute:  # the thumb is on the side of the face
        rotations[0] = np.diag([-1.0, 1.0, -1.0]) @ rotations[0]
    forearm = _forearm(rng)
    head = None
    if rng.random() < (MUTE_HEADS if mute else settings.heads):
        normal = rng.normal(size=(3, 3))
        offset = normal[0] * (0.1, 0.06, 0.0) + (0.0, 0.03, -rng.uniform(0.16, 0.45))
        head = Head(
            tip=mute,
            offset=LIP_M + 0.006 * normal[0] if mute else offset,
            turn=axis_angle_to_matrix(normal[1] * (0.08, 0.25, 0.06) * (0.5 if mute else 1.0)),
            nod=normal[2] * (0.12, 0.15, 0.08) * (0.3 if mute else 1.0),
        )
    return Act(rotations=rotations[None], forearm=forearm, head=head)


def _grasp(settings: HandSource, label: int, user: HandUser, rng: Generator) -> Act:
    """A grasp in front of its owner, fingers away from the owner, the palm down or to the inside."""
    rotations, held = close(GRASPS[label], rng, user.betas)
    normal = rng.normal(size=3)
    lift, aside, roll = np.radians(np.array([12, 0, 45]) + normal * (18, 20, 32))
    fingers = np.array([np.sin(aside) * np.cos(lift), np.sin(lift), -np.cos(aside) * np.cos(lift)])
    inside = np.cross([0.0, 1.0, 0.0], fingers)
    inside /= np.linalg.norm(inside)  # to the left, where the left hand is
    palm = np.cos(roll) * np.cross(inside, fingers) + np.sin(roll) * inside
    rotations[0] = np.stack([-fingers, -palm, np.cross(fingers, palm)], 1)
    egocentric = bool(rng.random() < settings.egocentric)
    return Act(rotations=rotations[None], forearm=_forearm(rng), held=held, egocentric=egocentric)


def _forearm(rng: Generator) -> Floats:
    normal = np.clip(rng.normal(size=3), -WRIST_LIMIT, WRIST_LIMIT)
    return axis_angle_to_matrix(np.radians(normal * WRIST_SD_DEG))
