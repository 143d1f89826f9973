"""Joints in the image: where, how far, whether visible, and what a detector would say."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.angles import JOINTS
from bench.synth.camera import Camera

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

OUTSIDE, HIDDEN, VISIBLE = 0, 1, 2
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck")
_WIDE = ("l_hip", "r_hip", "l_shoulder", "r_shoulder", "l_collar", "r_collar", "head")
_THIN = ("l_wrist", "r_wrist", "l_hand", "r_hand", "l_toe", "r_toe")
# distance from a joint to the skin in front of it, metres
DEPTH_OF_JOINT: Floats = np.array(
    [0.20 if j in _TRUNK else 0.12 if j in _WIDE else 0.04 if j in _THIN else 0.07 for j in JOINTS]
)
_LOOSE = np.array([JOINTS[j] for j in ("l_wrist", "r_wrist", "l_hand", "r_hand", "l_ankle", "r_ankle")])
LIMBS: tuple[tuple[str, ...], ...] = (("shoulder", "elbow", "wrist", "hand"), ("hip", "knee", "ankle", "toe"))


def project_joints(camera: Camera, joints: Floats, depth: Single, reach: Floats = DEPTH_OF_JOINT) -> Single:
    """Joints (J, 3) in the world to rows of x, y in pixels, depth in metres, visibility; (J, 4).

    Visibility is 0 outside the image, 1 where something lies in front of the joint by more than the local
    radius of the body, else 2.

    Args:
        camera: the crop.
        joints: metres, (J, 3).
        depth: of what is seen, metres, (S, S).
        reach: distance from each joint to the skin in front of it, metres, (J,); those of the body.
    """
    pixels = camera.project(joints)
    size = len(depth)
    column, row = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
    front = depth[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)]
    seen = np.where(front > pixels[:, 2] - reach, VISIBLE, HIDDEN)
    return np.concatenate([pixels, np.where(inside, seen, OUTSIDE)[:, None]], 1).astype(np.float32)


def detect(joints: Single, size: int, rng: Generator) -> Single:
    """What a 2D detector might report for joints (24, 4).

    Error sd 1.5 % of the box of the joints (4 % for wrists, hands and ankles), twice that for hidden joints;
    3 % of the limbs have left and right swapped; 5 % of the joints are missing (confidence 0).

    Returns:
        x, y in pixels and confidence in [0, 1], (24, 3).
    """
    visibility = joints[:, 3]
    box = float(np.ptp(joints[:, :2], axis=0).max())
    sd = np.full(len(joints), 0.015)
    sd[_LOOSE] = 0.04
    sd *= np.where(visibility == VISIBLE, 1.0, 2.0)
    noise = rng.normal(size=(len(joints), 2))
    found = joints[:, :2] + noise * (sd * min(box, 2.0 * size))[:, None]
    chance = rng.random((2, len(joints)))
    confidence = np.exp(-0.5 * (noise**2).sum(1) * sd / 0.03) * np.where(visibility == VISIBLE, 0.95, 0.6)
    confidence[(visibility == OUTSIDE) | (chance[0] < 0.05)] = 0.0
    for limb, swap in zip(LIMBS, rng.random(len(LIMBS)) < 0.03, strict=True):
        if swap:
            left = [JOINTS[f"l_{j}"] for j in limb]
            right = [JOINTS[f"r_{j}"] for j in limb]
            found[left + right], confidence[left + right] = found[right + left], confidence[right + left]
    return np.concatenate([found, confidence[:, None]], 1).astype(np.float32)
