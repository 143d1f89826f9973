"""Everyday actions as curves of joint angles. All numbers are design choices, judged by eye.

Every function fills in a `Pose` from a random generator and the phase of each frame (radians, (T,)). An
action that repeats does so once per 2 pi.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from bench.synth.angles import SIDES, Floats, Pose, Reach, Side


def ease(x: Floats) -> Floats:
    """Smooth step from 0 to 1 while x goes from 0 to 1; constant outside."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def there_and_back(phase: Floats) -> Floats:
    """0 at phase 0, 1 at phase pi, with soft turning points."""
    return ease(0.5 - 0.5 * np.cos(phase))


def one_side(rng: Generator) -> tuple[Side, Side, float]:
    """A random side, the other side, and the sign of x of the first."""
    return ("l", "r", 1.0) if rng.random() < 0.5 else ("r", "l", -1.0)


def loose_arms(pose: Pose, rng: Generator, share: float) -> None:
    """Put both arms anywhere in front and to the side; `share` scales how far they are lifted."""
    for side, _ in SIDES:
        lift, spread = rng.uniform(-20, 110) * share, rng.uniform(5, 80) * share
        pose.set(f"{side}_shoulder", lift, spread, rng.uniform(-25, 40))
        pose.set(f"{side}_elbow", rng.uniform(8, 120), rng.uniform(-40, 70))


def stand(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Idle, hands on hips, arms crossed, phone at the ear, or looking at the phone."""
    lean = rng.uniform(-5, 5)
    for side, _ in SIDES:
        pose.add(f"{side}_hip", 0, rng.uniform(0, 8))
    pose.root[:, 1] += lean / 2
    pose.add("spine", 0, -lean)
    side, _, sign = one_side(rng)
    kind = rng.integers(5)
    if kind == 1:
        for each, _ in SIDES:
            pose.set(f"{each}_shoulder", -22, 42, 62)
            pose.set(f"{each}_elbow", 100, 40)
            pose.set(f"{each}_wrist", 30, 0)
    elif kind == 2:
        pose.set("l_shoulder", 32, 8, 48)
        pose.set("l_elbow", 102, 10)
        pose.set("r_shoulder", 38, 6, 52)
        pose.set("r_elbow", 108, 5)
    elif kind == 3:
        pose.set(f"{side}_shoulder", 35, 30, 10)
        pose.set(f"{side}_elbow", 140, 0)
        pose.add("neck", 0, 10 * sign)
    elif kind == 4:
        pose.set(f"{side}_shoulder", 25, 12, 28)
        pose.set(f"{side}_elbow", 95, -50)
        pose.add("neck", 25)
    pose.add("neck", 0, 0, rng.uniform(-35, 35))


def walk(pose: Pose, rng: Generator, phase: Floats) -> None:
    """A step with each leg per period, arms against the legs."""
    pace, stride = rng.uniform(0.75, 1.25), rng.uniform(0.8, 1.2)
    for side, sign in SIDES:
        p = phase + (0 if sign > 0 else np.pi)
        swing = np.maximum(0, np.cos(p - 0.1))  # the thigh moves forward
        stance = np.clip(np.sin(p + 0.5), 0, 1) ** 2 * (1 - swing)
        pose.set(f"{side}_hip", 6 + 24 * pace * stride * np.sin(p))
        pose.set(f"{side}_knee", 6 + 52 * np.sqrt(pace) * swing**1.3 + 12 * stance)
        pose.set(f"{side}_ankle", 16 * np.clip(-np.sin(p - 0.4), 0, 1) - 7 * swing)
        pose.set(f"{side}_toe", 22 * np.clip(-np.sin(p - 0.2), 0, 1) ** 2)
        pose.set(f"{side}_shoulder", 4 - 21 * stride * pace * np.sin(p), 9, 8)
        pose.set(f"{side}_elbow", 18 - 12 * np.sin(p))
    pose.add("spine", 3, 0, 5 * pace * np.sin(phase))
    pose.root[:, 1] += 2.5 * np.cos(phase)
    pose.speed = 1.25 * pace


def run(pose: Pose, rng: Generator, phase: Floats) -> None:
    """As walking with higher knees, bent arms and a flight phase."""
    pace, stride = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2)
    for side, sign in SIDES:
        p = phase + (0 if sign > 0 else np.pi)
        swing = np.maximum(0, np.cos(p - 0.25))
        stance = np.clip(np.sin(p + 0.5), 0, 1) ** 2 * (1 - swing)
        pose.set(f"{side}_hip", 12 + 34 * pace * stride * np.sin(p))
        pose.set(f"{side}_knee", 18 + 88 * np.sqrt(pace) * swing**1.3 + 10 * stance)
        pose.set(f"{side}_ankle", 16 * np.clip(-np.sin(p - 0.4), 0, 1) - 7 * swing)
        pose.set(f"{side}_toe", 22 * np.clip(-np.sin(p - 0.2), 0, 1) ** 2)
        pose.set(f"{side}_shoulder", 2 - 32 * stride * pace * np.sin(p), 13, 18)
        pose.set(f"{side}_elbow", 82 - 14 * np.sin(p))
    pose.add("spine", 12, 0, 9 * pace * np.sin(phase))
    pose.root[:, 1] += 2.5 * np.cos(phase)
    pose.add("neck", -6)
    pose.hop += 0.05 * np.abs(np.sin(phase + 0.4))
    pose.speed = 2.6 * pace


def sit(pose: Pose, rng: Generator, phase: Floats) -> None:
    """On an invisible seat, legs side by side or crossed, hands on the thighs or free."""
    bend, spread = rng.uniform(70, 98), rng.uniform(3, 26)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", bend + rng.uniform(-6, 6), spread, 0)
        pose.set(f"{side}_knee", bend + rng.uniform(-20, 15))
        pose.set(f"{side}_ankle", rng.uniform(-8, 12))
    if rng.random() < 0.3:
        crossed = one_side(rng)[0]
        pose.set(f"{crossed}_hip", bend + 12, -8, -8)
        pose.set(f"{crossed}_knee", 75)
    pose.root[:, 0] += rng.uniform(-16, 8)
    pose.add("spine", rng.uniform(0, 28))
    for side, _ in SIDES:
        if rng.random() < 0.55:
            pose.set(f"{side}_shoulder", rng.uniform(25, 48), rng.uniform(5, 18), 15)
            pose.set(f"{side}_elbow", rng.uniform(35, 75), 40)
        else:
            pose.set(f"{side}_shoulder", rng.uniform(0, 75), rng.uniform(5, 40), rng.uniform(-10, 45))
            pose.set(f"{side}_elbow", rng.uniform(20, 130), rng.uniform(-40, 60))
    pose.add("neck", rng.uniform(-10, 22), 0, rng.uniform(-40, 40))


def floor(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Sit on the floor, or kneel on one or both knees."""
    if rng.random() < 0.5:
        for side, _ in SIDES:
            pose.set(f"{side}_hip", rng.uniform(75, 110), rng.uniform(5, 30), rng.uniform(0, 30))
            pose.set(f"{side}_knee", rng.uniform(5, 125))
        pose.root[:, 0] += rng.uniform(-25, -5)
        pose.add("spine", rng.uniform(0, 30))
        for side, _ in SIDES:
            if rng.random() < 0.5:
                pose.set(f"{side}_shoulder", -38, 22, -20)
                pose.set(f"{side}_elbow", 12, 60)
                pose.set(f"{side}_wrist", -50, 0)
            else:
                pose.set(f"{side}_shoulder", rng.uniform(30, 80), 10, 10)
                pose.set(f"{side}_elbow", rng.uniform(10, 80), 30)
        return
    upright = rng.random()
    for side, _ in SIDES:
        pose.set(f"{side}_hip", 15 + 70 * (1 - upright), rng.uniform(4, 14), 0)
        pose.set(f"{side}_knee", 100 + 35 * (1 - upright))
        pose.set(f"{side}_ankle", 35, 0)
    if rng.random() < 0.4:
        front = one_side(rng)[0]
        pose.set(f"{front}_hip", 88, 8, 0)
        pose.set(f"{front}_knee", 88)
        pose.set(f"{front}_ankle", 0, 0)
    pose.root[:, 0] += 25 * (1 - upright)
    loose_arms(pose, rng, 0.6)


def squat(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Down with the arms ahead, and up again."""
    depth = rng.uniform(0.5, 1.0) * there_and_back(phase)
    spread = rng.uniform(8, 26)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", 104 * depth, 4 + spread * depth, 10 * depth)
        pose.set(f"{side}_knee", 118 * depth)
        pose.set(f"{side}_ankle", -24 * depth)
        pose.set(f"{side}_shoulder", 10 + 72 * depth, 12, 8)
        pose.set(f"{side}_elbow", 18)
    pose.root[:, 0] += 30 * depth
    pose.add("spine", 12 * depth)
    pose.add("neck", -18 * depth)


def wave(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Stand and wave with one hand above the shoulder."""
    stand(pose, rng, phase)
    side = one_side(rng)[0]
    high, swing = rng.random(), 22 * np.sin(2 * phase)
    pose.set(f"{side}_shoulder", 20 + 25 * high, 82 + 22 * high + 0.35 * swing, -62)
    pose.set(f"{side}_elbow", 86 - 22 * high + 0.8 * swing, 30)
    pose.set(f"{side}_wrist", -8, 0.5 * swing)
    pose.set(f"{side}_collar", 10)
    pose.set(f"{side}_hand", 2)


def reach(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Stand and stretch one or both hands towards a point around the body, trunk following."""
    stand(pose, rng, phase)
    share = there_and_back(phase)
    sides = SIDES if rng.random() < 1 / 3 else (SIDES[int(rng.integers(2))],)
    for side, sign in sides:
        pose.reaches.append(
            Reach(
                side=side,
                azimuth=sign * (10 + 0.8 * rng.uniform(-70, 70)),
                elevation=rng.uniform(-55, 75),
                length=rng.uniform(0.65, 1.02),
                weight=share * rng.uniform(0.7, 1),
                elbow=np.array([sign * rng.uniform(0.3, 1), -1.0, -0.5]),
            )
        )
    pose.add("spine", share * rng.uniform(-5, 28), 0, share * rng.uniform(-25, 25))
    pose.add("neck", -8 * share)
    for side, _ in SIDES:
        pose.add(f"{side}_knee", 14 * share)
        pose.add(f"{side}_hip", 10 * share)


def pick_up(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Bend to the floor from the back or from the knees."""
    share, knees = rng.uniform(0.6, 1) * there_and_back(phase), rng.uniform(0.1, 1)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", (30 + 62 * knees) * share, 5 + 8 * share)
        pose.set(f"{side}_knee", 6 + 80 * knees * share)
        pose.set(f"{side}_ankle", -12 * knees * share)
        pose.set(f"{side}_shoulder", 20 + 62 * share, 8)
        pose.set(f"{side}_elbow", 12)
    if rng.random() < 0.5:
        idle = one_side(rng)[0]
        pose.set(f"{idle}_shoulder", 10, 14, 10)
        pose.set(f"{idle}_elbow", 60, 20)
    pose.root[:, 0] += 38 * share
    pose.add("spine", 48 * share)
    pose.add("neck", -10 * share)


def lie(pose: Pose, rng: Generator, phase: Floats) -> None:
    """On the back or on the front."""
    pose.root[:, 0] += -88.0 if rng.random() < 0.5 else 85.0
    loose_arms(pose, rng, 0.8)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", rng.uniform(0, 55), rng.uniform(2, 22), 0)
        pose.set(f"{side}_knee", rng.uniform(3, 85))
        pose.set(f"{side}_ankle", 25, 0)
    pose.add("neck", 0, 0, rng.uniform(-50, 50))
