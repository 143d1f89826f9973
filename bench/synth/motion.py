"""Draw the motion of one clip: an action with personal style, within limits and without self-collision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.bodymodels.rotations import forward_kinematics
from bench.synth.actions import ACTIONS
from bench.synth.angles import IS_LEG, JOINTS, SIDES, Floats, Pose, Reach, limited, rotations
from bench.synth.collision import penetration

STYLE_DEG = 4.0  # sd of the constant offset of every angle, half of it on the legs
WOBBLE_DEG = 2.5  # amplitude of the slow noise on every angle, 40 % of it on the legs
WOBBLE_S = 0.6
YAW_WOBBLE = 0.05  # radians
ATTEMPTS = 8
STROLL_M = 0.6  # farthest way from the origin: rooms are small
DEEPEST_M = 0.045  # overlap of body parts that is accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """A clip of one body, feet not yet on the ground."""

    rotations: Floats  # local, (T, 24, 3, 3); the root holds the heading
    turned: Floats  # global, (T, 24, 3, 3)
    joints: Floats  # posed, metres, pelvis where the rest shape has it, (T, 24, 3)
    path: Floats  # way over the floor, metres, x and z, (T, 2); centred
    hop: Floats  # height of the lowest point, metres, (T,)
    overlap: float  # deepest self-penetration, metres


def draw_motion(
    action: str,
    rng: Generator,
    rest_joints: Floats,
    parents: NDArray[np.int32],
    *,
    times_s: Floats,
    heading_rad: float,
) -> Motion:
    """Draw one clip; of up to eight tries keep the first whose parts do not go through each other.

    Args:
        action: key of `ACTIONS`.
        rng: source of all randomness.
        rest_joints: joints of the identity, metres, (24, 3).
        parents: joint tree, (24,).
        times_s: time of every frame from the first, seconds, (T,).
        heading_rad: yaw of the body; 0 faces +z, positive turns to +x.
    """
    best: Motion | None = None
    for _ in range(ATTEMPTS):
        drawn = _attempt(action, rng, rest_joints, parents, times_s, heading_rad)
        if best is None or drawn.overlap < best.overlap:
            best = drawn
        if best.overlap < DEEPEST_M:
            break
    assert best is not None
    return best


def _attempt(
    action: str,
    rng: Generator,
    rest_joints: Floats,
    parents: NDArray[np.int32],
    times_s: Floats,
    heading_rad: float,
) -> Motion:
    kind = ACTIONS[action]
    frames = len(times_s)
    pose = Pose(frames)
    clock = times_s + rng.uniform(0, 10)
    kind.fill(pose, rng, 2 * np.pi * kind.rate * rng.uniform(0.85, 1.15) * clock)
    style = rng.normal(size=pose.angles.shape[1]) * STYLE_DEG * np.where(IS_LEG, 0.5, 1.0)
    wobble = smooth_noise(rng, times_s, pose.angles.shape[1] + 1)
    pose.angles += style + wobble[:, :-1] * WOBBLE_DEG * np.where(IS_LEG, 0.4, 1.0)
    pose.angles = limited(pose.angles)
    yaw = heading_rad + YAW_WOBBLE * wobble[:, -1]
    pose.root[:, 2] += np.degrees(yaw)
    local = rotations(pose)
    rest = np.broadcast_to(rest_joints, (frames, *rest_joints.shape))
    turned, joints = forward_kinematics(local, rest, parents)
    for aim in pose.reaches:
        reach(local, turned, joints, aim)
    if pose.reaches:
        turned, joints = forward_kinematics(local, rest, parents)
    step = times_s - times_s.mean()
    path = np.clip(pose.speed * step, -STROLL_M, STROLL_M)[:, None]
    path = path * np.array([np.sin(heading_rad), np.cos(heading_rad)])
    overlap = float(penetration(joints, turned).max())
    return Motion(rotations=local, turned=turned, joints=joints, path=path, hop=pose.hop, overlap=overlap)


def smooth_noise(rng: Generator, times_s: Floats, channels: int) -> Floats:
    """Band-limited noise of unit amplitude: a cubic B-spline over random knots, (T, channels)."""
    knots = int(np.ceil(np.ptp(times_s) / WOBBLE_S)) + 4
    value = rng.normal(size=(knots, channels))
    x = (times_s - times_s[0]) / WOBBLE_S + rng.random()
    index = np.floor(x).astype(int)
    f = (x - index)[:, None]
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    spline: Floats = sum(
        (w * value[np.minimum(index + k, knots - 1)] for k, w in enumerate(weights)),
        np.zeros((len(times_s), channels)),
    )
    spline /= 6
    return spline


def reach(local: Floats, turned: Floats, joints: Floats, aim: Reach) -> None:
    """Two-bone inverse kinematics of one arm; changes the rotations of shoulder and elbow in place.

    Args:
        local: local rotations, (T, 24, 3, 3), changed.
        turned: global rotations before, (T, 24, 3, 3).
        joints: joints before, metres, (T, 24, 3).
        aim: where the wrist goes.
    """
    sign = dict(SIDES)[aim.side]
    shoulder, elbow, wrist, collar = (
        JOINTS[f"{aim.side}_{name}"] for name in ("shoulder", "elbow", "wrist", "collar")
    )
    chest = turned[:, JOINTS["spine3"]]
    upper = float(np.linalg.norm(joints[0, elbow] - joints[0, shoulder]))
    lower = float(np.linalg.norm(joints[0, wrist] - joints[0, elbow]))
    azimuth, elevation = np.radians(aim.azimuth), np.radians(aim.elevation)
    direction = np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
    )
    goal = joints[:, shoulder] + aim.length * (upper + lower) * (chest @ direction)
    target = joints[:, wrist] + aim.weight[:, None] * (goal - joints[:, wrist])
    span = target - joints[:, shoulder]
    distance = np.clip(np.linalg.norm(span, axis=1), abs(upper - lower) + 0.08, 0.995 * (upper + lower))
    along = _unit(span)
    cosine = np.clip((upper**2 + distance**2 - lower**2) / (2 * upper * distance), -1, 1)
    hint = chest @ aim.elbow
    aside = _unit(hint - _along(hint, along))
    bone = along * cosine[:, None] + aside * np.sqrt(1 - cosine**2)[:, None]
    forearm = _unit(along * distance[:, None] - bone * upper)
    bend = _unit(forearm - _along(forearm, bone))
    frame = np.stack([sign * bone, np.cross(bend, sign * bone), bend], -1)  # columns x, y, z
    flexion = np.arccos(np.clip((bone * forearm).sum(-1), -1, 1))
    free = aim.weight > 1e-3
    local[free, shoulder] = (np.swapaxes(turned[:, collar], -1, -2) @ frame)[free]
    local[free, elbow] = _about_y(-sign * flexion)[free]


def _along(vector: Floats, unit: Floats) -> Floats:
    part: Floats = (vector * unit).sum(-1, keepdims=True) * unit
    return part


def _unit(vector: Floats) -> Floats:
    length = np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
    return np.asarray(vector / length, np.float64)


def _about_y(angle: Floats) -> Floats:
    cosine, sine = np.cos(angle), np.sin(angle)
    zero, one = np.zeros_like(angle), np.ones_like(angle)
    rows = np.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], -1)
    return rows.reshape(-1, 3, 3)
