"""Sport and dance as curves of joint angles; same conventions as the everyday actions."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from bench.synth.actions_daily import ease, loose_arms, one_side, there_and_back
from bench.synth.angles import SIDES, Floats, Pose

KEY_POSES = 5  # of a dance


def bump(x: Floats, centre: float, width: float) -> Floats:
    """Bell curve of height 1."""
    return np.exp(-(((x - centre) / width) ** 2))


def jump(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Crouch, fly with more or less tucked legs, land."""
    x = phase / (2 * np.pi) % 1.0
    crouch = bump(x, 0.25, 0.1) + 0.6 * bump(x, 0.8, 0.09)
    flight = np.where((x > 0.38) & (x < 0.74), np.sin((x - 0.38) / 0.36 * np.pi), 0.0)
    tuck, spread = rng.uniform(0, 0.9), rng.uniform(0, 35)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", 75 * crouch + tuck * 70 * flight, 4 + spread * flight, 0)
        pose.set(f"{side}_knee", 4 + 92 * crouch + tuck * 95 * flight)
        pose.set(f"{side}_ankle", 32 * flight - 18 * crouch)
        pose.set(f"{side}_shoulder", 5 + 150 * flight - 35 * crouch, 12 + 25 * flight, 5)
        pose.set(f"{side}_elbow", 22 + 25 * crouch)
    pose.root[:, 0] += 25 * crouch
    pose.add("spine", 12 * crouch - 6 * flight)
    pose.hop += rng.uniform(0.2, 0.5) * flight


def jumping_jack(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Arms and legs out and in together."""
    share = 0.5 - 0.5 * np.cos(phase)
    for side, _ in SIDES:
        pose.set(f"{side}_hip", 2, 3 + 24 * share)
        pose.set(f"{side}_knee", 8 + 14 * np.sin(2 * phase) ** 2)
        pose.set(f"{side}_shoulder", 8, 12 + 140 * share, 0)
        pose.set(f"{side}_elbow", 10 + 12 * share)
    pose.hop += 0.1 * np.abs(np.sin(phase))


def kick(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Wind up, kick to the front or the side, arms balancing."""
    x = phase / (2 * np.pi) % 1.0
    leg, support, _ = one_side(rng)
    back, strike = bump(x, 0.25, 0.12), bump(x, 0.55, 0.12)
    height, sideways = rng.uniform(0.5, 1.15), rng.uniform(0, 40)
    pose.set(f"{leg}_hip", 98 * height * strike - 24 * back, 4 + sideways * strike, 0)
    pose.set(f"{leg}_knee", 8 + 78 * back + 12 * strike)
    pose.set(f"{leg}_ankle", 20 * strike)
    pose.set(f"{support}_knee", 10 + 14 * strike)
    pose.set(f"{support}_hip", 4 + 8 * strike)
    pose.root[:, 0] -= 14 * strike * height
    pose.add("spine", 16 * strike)
    for side, direction in ((leg, -1), (support, 1)):
        pose.set(f"{side}_shoulder", 10 + direction * 38 * strike, 24 + 32 * strike, 0)
        pose.set(f"{side}_elbow", 42)


def box(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Punch with left and right in turn from a guard."""
    lead, rear, sign = one_side(rng)
    for side, direction in SIDES:
        punch = np.clip(np.sin(phase + (0 if direction > 0 else np.pi)), 0, 1) ** 1.5
        pose.set(f"{side}_shoulder", 42 + 46 * punch, 14 + 8 * punch, 32 - 12 * punch)
        pose.set(f"{side}_elbow", 128 - 112 * punch, 30 + 40 * punch)
        pose.set(f"{side}_hand", 65)
        pose.set(f"{side}_collar", 0, 16 * punch)
    pose.add("spine", 12, 0, -20 * np.sin(phase))
    pose.add("neck", 0, 0, 12 * np.sin(phase))
    pose.set(f"{lead}_hip", 22, 10, 10)
    pose.set(f"{lead}_knee", 32)
    pose.set(f"{lead}_ankle", -10)
    pose.set(f"{rear}_hip", -8, 10, 18)
    pose.set(f"{rear}_knee", 28)
    pose.set(f"{rear}_ankle", 8)
    pose.root[:, 2] -= sign * 12


def throw(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Wind up with one arm, turn the trunk, release over the shoulder."""
    x = phase / (2 * np.pi) % 1.0
    arm, other, sign = one_side(rng)
    wind, release = bump(x, 0.3, 0.16), bump(x, 0.62, 0.14)
    pose.set(f"{arm}_shoulder", 8 + 102 * release - 8 * wind, 10 + 88 * wind + 22 * release)
    pose.of(f"{arm}_shoulder")[:, 2] = 22 * release - 58 * wind
    pose.set(f"{arm}_elbow", 14 + 96 * wind + 22 * release, 20)
    pose.add("spine", 28 * release - 10 * wind, 0, sign * (32 * wind - 34 * release))
    pose.set(f"{other}_shoulder", 5 + 62 * wind, 22, 10)
    pose.set(f"{other}_hip", 34 * wind + 28 * release)
    pose.set(f"{other}_knee", 22 + 26 * release)
    pose.set(f"{arm}_hip", -4 - 16 * release)
    pose.set(f"{arm}_knee", 22 + 26 * wind)


def lunge(pose: Pose, rng: Generator, phase: Floats) -> None:
    """A deep step forward and back."""
    share = rng.uniform(0.6, 1) * there_and_back(phase)
    front, rear, _ = one_side(rng)
    pose.set(f"{front}_hip", 82 * share, 6, 0)
    pose.set(f"{front}_knee", 86 * share)
    pose.set(f"{rear}_hip", -20 * share, 5, 0)
    pose.set(f"{rear}_knee", 62 * share)
    pose.set(f"{rear}_toe", 38 * share)
    pose.set(f"{rear}_ankle", -8 * share)
    loose_arms(pose, rng, 0.9)


def stretch(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Arms to a T or Y with a side bend, one arm over the head, one-leg balance, or a straddle."""
    share, kind = there_and_back(phase), rng.integers(4)
    side, other, sign = one_side(rng)
    if kind == 0:
        for each, _ in SIDES:
            pose.set(f"{each}_shoulder", 10, 60 + rng.uniform(0, 95), 0)
            pose.set(f"{each}_elbow", rng.uniform(5, 40))
        pose.add("spine", 0, rng.uniform(-30, 30) * share)
    elif kind == 1:
        pose.set(f"{side}_shoulder", 15, 10 + 150 * share, 0)
        pose.set(f"{side}_elbow", 18)
        pose.set(f"{other}_shoulder", -20, 40, 60)
        pose.set(f"{other}_elbow", 98, 40)
        pose.add("spine", 0, -sign * 30 * share)
        for each, _ in SIDES:
            pose.set(f"{each}_hip", 2, rng.uniform(5, 20))
    elif kind == 2:
        pose.set(f"{side}_hip", 45, 38, 46)
        pose.set(f"{side}_knee", 122)
        for each, _ in SIDES:
            pose.set(f"{each}_shoulder", 20, 140, 0)
            pose.set(f"{each}_elbow", 42, 0)
    else:
        spread = rng.uniform(18, 40)
        for each, _ in SIDES:
            pose.set(f"{each}_hip", 2, spread * share)
            pose.set(f"{each}_shoulder", 10, 12 + 78 * share, 0)
            pose.set(f"{each}_elbow", 8)
        pose.add("spine", rng.uniform(0, 60) * share, 0, rng.uniform(-40, 40) * share)


def clap(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Both hands meet in front of the chest or the face."""
    share, high = 0.5 - 0.5 * np.cos(2 * phase), rng.random()
    for side, _ in SIDES:
        pose.set(f"{side}_shoulder", 38 + 38 * high, 14 + 8 * share, 42 - 16 * share)
        pose.set(f"{side}_elbow", 82 - 25 * high - 12 * share, -10)
        pose.set(f"{side}_hand", 3)


def dance(pose: Pose, rng: Generator, phase: Floats) -> None:
    """Move smoothly between random key poses."""
    keys = [_key_pose(rng) for _ in range(KEY_POSES)]
    clock = phase / np.pi % KEY_POSES
    index = np.floor(clock).astype(int)
    share = ease(clock - index)[:, None]
    angles = np.stack([key.angles[0] for key in keys])
    pose.angles[:] = angles[index] * (1 - share) + angles[(index + 1) % KEY_POSES] * share
    turn, sway, start = rng.uniform(-40, 40), rng.uniform(0, 6), rng.uniform(0, 2 * np.pi)
    pose.root[:, 2] += turn * np.sin(0.5 * phase + start)
    pose.root[:, 1] += sway * np.sin(phase + start)


def _key_pose(rng: Generator) -> Pose:
    key = Pose(1)
    for side, _ in SIDES:
        key.set(f"{side}_shoulder", rng.uniform(-25, 120), rng.uniform(5, 115), rng.uniform(-40, 45))
        key.set(f"{side}_elbow", rng.uniform(8, 125), rng.uniform(-40, 60))
        key.set(f"{side}_wrist", rng.uniform(-35, 35), rng.uniform(-12, 12))
        key.set(f"{side}_hip", rng.uniform(-10, 42), rng.uniform(0, 28), rng.uniform(-12, 26))
        key.set(f"{side}_knee", rng.uniform(4, 60))
        key.set(f"{side}_ankle", rng.uniform(-12, 25), 0)
    if rng.random() < 0.35:
        raised = one_side(rng)[0]
        key.set(f"{raised}_hip", rng.uniform(40, 95), rng.uniform(0, 40), rng.uniform(-10, 30))
        key.set(f"{raised}_knee", rng.uniform(30, 115))
    key.set("spine", rng.uniform(-14, 24), rng.uniform(-22, 22), rng.uniform(-28, 28))
    key.set("neck", rng.uniform(-22, 22), rng.uniform(-14, 14), rng.uniform(-40, 40))
    return key
