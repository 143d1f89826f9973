"""Clothes and hair as regions of the body surface, painted in canonical coordinates.

The canonical position of a surface point is its place on the mean body in the T-pose, whoever wears it. Cuts
are planes in that space, so no texture maps and no seams are needed and views agree. Trunk and hips are
always covered. Distributions are design choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.bodymodels.model import BodyModel, surrogate_body
from bench.synth.angles import JOINTS
from bench.synth.clothes_numba import stand_off as fold
from bench.synth.cuts import (
    BEARD,
    EYE_X,
    EYE_Y,
    EYE_Z,
    GLOVE_X,
    HAIR_SLOPE,
    HAIR_Y,
    HAIRLINE_Y,
    HAIRLINE_Z,
    HAT,
    HEAD_X,
    HEAD_Y,
    HEM_Y,
    IRIS,
    JACKET_GAP,
    LONG_HAIR_Y,
    MOUTH_Y,
    NECK_DROP,
    NECK_X,
    NECK_Y,
    NEVER,
    SHOE_Y,
    SLEEVE_X,
    TROUSER_Y,
    TRUNK_X,
    TRUNK_Y,
    WIDTH,
)
from bench.synth.noise import lattice

Floats = NDArray[np.float64]
Slots = NDArray[np.uint8]

_IRIS = ((0.30, 0.20, 0.12), (0.35, 0.48, 0.60), (0.30, 0.42, 0.26))  # sRGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Landmarks:
    """Places on the mean body that cuts refer to, metres."""

    shoulder_x: float
    elbow_x: float
    wrist_x: float
    hip_y: float
    knee_y: float
    ankle_y: float
    neck_y: float
    eye: tuple[float, float, float]


@cache
def landmarks() -> Landmarks:
    """Read the places from the surrogate body."""
    model = surrogate_body()
    joints = model.joint_regressor @ model.v_template.astype(np.float64)
    eye = model.v_template[_named(model)["left eye"]]
    return Landmarks(
        shoulder_x=joints[JOINTS["l_shoulder"], 0],
        elbow_x=joints[JOINTS["l_elbow"], 0],
        wrist_x=joints[JOINTS["l_wrist"], 0],
        hip_y=joints[JOINTS["l_hip"], 1],
        knee_y=joints[JOINTS["l_knee"], 1],
        ankle_y=joints[JOINTS["l_ankle"], 1],
        neck_y=joints[JOINTS["neck"], 1],
        eye=(float(eye[0]), float(eye[1]), float(eye[2])),
    )


def _named(model: BodyModel) -> dict[str, int]:
    assert model.landmarks is not None
    return model.landmarks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """Where each garment ends and how thick it is."""

    cuts: NDArray[np.float64]  # packed, see the column names of this module
    thickness: NDArray[np.float64]  # (7,), metres above the skin, by slot
    wrinkle: NDArray[np.float64]  # (7,), folds per metre
    seed: int  # of the folds
    hair: str


def draw_outfit(rng: Generator) -> Outfit:
    """Draw the cut of all garments and the hair style."""
    at = landmarks()
    cuts = np.zeros(WIDTH)
    cuts[[HEAD_Y, HEAD_X, TRUNK_X, TRUNK_Y]] = at.neck_y + 0.017, 0.14, at.shoulder_x + 0.12, at.neck_y - 0.25
    sleeves = (
        (at.shoulder_x + 0.02, at.shoulder_x + 0.03),
        (at.shoulder_x + 0.06, at.elbow_x - 0.04),
        (at.elbow_x - 0.02, at.wrist_x - 0.08),
        (at.wrist_x - 0.06, at.wrist_x + 0.02),
    )
    cuts[SLEEVE_X] = rng.uniform(*sleeves[rng.choice(4, p=(0.12, 0.38, 0.14, 0.36))])
    cuts[HEM_Y] = at.hip_y + (rng.uniform(-0.1, 0.11) if rng.random() < 0.88 else rng.uniform(-0.3, -0.15))
    trousers = (
        (at.ankle_y - 0.01, at.ankle_y + 0.09),
        (at.knee_y - 0.14, at.knee_y + 0.10),
        (at.knee_y + 0.13, at.knee_y + 0.26),
    )
    drawn = rng.uniform(*trousers[rng.choice(3, p=(0.62, 0.20, 0.18))])
    cuts[TROUSER_Y] = min(drawn, cuts[HEM_Y] - 0.05)
    shoes = ((-0.05, -0.01), (-0.01, 0.07), (0.09, 0.25), (-NEVER, -NEVER))
    cuts[SHOE_Y] = at.ankle_y + rng.uniform(*shoes[rng.choice(4, p=(0.37, 0.37, 0.14, 0.12))])
    cuts[[NECK_Y, NECK_X]] = at.neck_y + rng.uniform(-0.078, -0.018), rng.uniform(0.04, 0.11)
    cuts[NECK_DROP] = rng.uniform(0.02, 0.14) if rng.random() < 0.5 else 0.0
    jacket = rng.random() < 0.25
    cuts[JACKET_GAP] = rng.uniform(0.02, 0.12) if jacket else NEVER
    cuts[GLOVE_X] = at.wrist_x + rng.uniform(-0.02, 0.02) if rng.random() < 0.08 else NEVER
    hair = _draw_hair(rng, cuts)
    cuts[[EYE_X, EYE_Y, EYE_Z]] = at.eye
    cuts[MOUTH_Y], cuts[BEARD] = at.eye[1] - 0.068, float(rng.random() < 0.22)
    cuts[IRIS : IRIS + 3] = np.power(_IRIS[rng.integers(3)], 2.2)
    fabric = np.array([0.003, 0.007, 0.015])
    volume = {"bald": 0.0, "short": 0.008, "medium": 0.02, "long": 0.02, "hat": 0.0}[hair]
    top, bottom = fabric[rng.choice(3, size=2, p=(0.35, 0.4, 0.25))] * rng.uniform(0.6, 1.2, 2)
    accessory = 0.016 if hair == "hat" else 0.004
    return Outfit(
        cuts=cuts,
        thickness=np.array([0, top, bottom, 0.006, volume, accessory, rng.uniform(0.01, 0.02)]),
        wrinkle=np.array([1, *rng.uniform(5, 16, 2), 6, 22, 5, rng.uniform(5, 12)]),
        seed=int(rng.integers(2**15)),
        hair=hair,
    )


def _draw_hair(rng: Generator, cuts: Floats) -> str:
    _, eye_y, eye_z = landmarks().eye
    hair = str(rng.choice(["bald", "short", "medium", "long", "hat"], p=(0.08, 0.38, 0.2, 0.2, 0.14)))
    lowest = {
        "bald": NEVER, "short": eye_y + rng.uniform(-0.05, 0.02), "medium": eye_y - 0.09,
        "long": landmarks().neck_y - 0.01, "hat": eye_y + 0.035,
    }  # fmt: skip
    cuts[HAIR_Y] = lowest[hair]
    cuts[HAIR_SLOPE] = 0.0 if hair in ("long", "hat") else 6 * rng.uniform(0, 0.06)
    cuts[HAIRLINE_Z], cuts[HAIRLINE_Y] = eye_z - 0.067, eye_y + rng.uniform(0.05, 0.075)
    if hair == "bald":
        cuts[HAIRLINE_Z], cuts[HAIRLINE_Y] = -NEVER, NEVER
    cuts[HAT] = float(hair == "hat")
    cuts[LONG_HAIR_Y] = rng.uniform(0.30, 0.5) if hair == "long" else NEVER
    return hair


def stand_off(outfit: Outfit, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far cloth and hair lie above the skin: thickness times a noise field of folds.

    Args:
        outfit: the clothes.
        points: canonical positions, (N, 3).

    Returns:
        Metres, (N,).
    """
    out = np.empty(len(points), np.float32)
    fold(points, outfit.cuts, outfit.thickness, outfit.wrinkle, outfit.seed, lattice(), out)
    return out
