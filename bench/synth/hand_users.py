"""One user: the shape of hand and body, skin, sleeve or glove, and the head that may be behind the hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.synth import cuts
from bench.synth.angles import JOINTS
from bench.synth.clothes import draw_outfit, landmarks, stand_off
from bench.synth.hand_mesh import AWAY_M, SCALE, ArmShape, arm, shape_arm, trunk
from bench.synth.identity import draw_materials
from bench.synth.raster import vertex_normals
from bench.synth.rng import Stream, generator

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SHORTEST_SLEEVE_M = 0.008  # from its end to the wrist: hands stay bare
BARE_HANDS = 0.7  # of those who would wear gloves
THICKEST_GLOVE_M = 0.002
NOWHERE_M = -19.0  # drawn height below everything
ARMS_DOWN_RAD = 1.2
MOUTH_DEPTH_M = 0.015  # from the plane of the eyes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandUser:
    """Everything that stays with a user."""

    betas: Single  # of the hand, (10,)
    shape: ArmShape
    offsets: Single  # how far sleeve and glove stand off the skin, metres, (778 + A,)
    cuts: Floats  # of the clothes, as the canonical positions of arm and trunk need them
    materials: Single  # (7, 18), one row per slot
    body_betas: Single  # (10,)
    cloth: Single  # how far clothes and hair stand off the trunk, metres, (T,)
    mouth: Floats  # on the mean body, metres, (3,)


@lru_cache(maxsize=256)
def draw_user(
    seed: int, user: int, beta_limit: float, patterns: tuple[str, ...], colourfulness: float
) -> HandUser:
    """Draw the user with that id.

    Args:
        seed: seed of the data set.
        user: global id.
        beta_limit: largest shape coefficient, standard deviations; their sd is this over 2.1.
        patterns: cloth patterns that may occur.
        colourfulness: scales the saturation of clothes.
    """
    rng = generator(seed, Stream.HAND_USER, user)
    betas, body_betas = np.clip(rng.normal(size=(2, 10)) * beta_limit / 2.1, -beta_limit, beta_limit)
    outfit = draw_outfit(rng)
    rows = draw_materials(rng, patterns, colourfulness)
    worn, wrist = outfit.cuts, landmarks().wrist_x
    worn[cuts.SLEEVE_X] = min(worn[cuts.SLEEVE_X], wrist - SHORTEST_SLEEVE_M)
    if rng.random() < BARE_HANDS:
        worn[cuts.GLOVE_X] = cuts.NEVER
    cloth = stand_off(outfit, trunk().canon)
    outfit.thickness[cuts.ACCESSORY] = min(outfit.thickness[cuts.ACCESSORY], THICKEST_GLOVE_M)
    offsets = stand_off(outfit, arm().body)
    mouth = np.array([0.0, worn[cuts.MOUTH_Y], landmarks().eye[2] - MOUTH_DEPTH_M])
    moved = worn.copy()
    for column in (cuts.SLEEVE_X, cuts.GLOVE_X):
        if worn[column] < cuts.NEVER:
            moved[column] = AWAY_M + SCALE * (worn[column] - wrist)
    moved[[cuts.TROUSER_Y, cuts.SHOE_Y]] = NOWHERE_M, NOWHERE_M - 1
    return HandUser(
        betas=betas.astype(np.float32),
        shape=shape_arm(betas.astype(np.float32)),
        offsets=offsets,
        cuts=moved,
        materials=rows,
        body_betas=body_betas.astype(np.float32),
        cloth=cloth,
        mouth=mouth,
    )


def pose_trunk(user: HandUser, nod: Floats) -> tuple[Single, Floats]:
    """Pose the head and the trunk, arms down, in the frame of the body.

    Args:
        user: whose they are.
        nod: axis-angle of the head, (3,).

    Returns:
        Dressed vertices (T, 3) and the place of the mouth (3,), metres.
    """
    body, part = surrogate_body(), trunk()
    vertices, joints = body.shape(user.body_betas)
    turns = np.zeros((24, 3))
    turns[JOINTS["head"]] = nod
    turns[JOINTS["l_shoulder"], 2], turns[JOINTS["r_shoulder"], 2] = -ARMS_DOWN_RAD, ARMS_DOWN_RAD
    posed, placed, turned = body.pose(vertices, joints, axis_angle_to_matrix(turns))
    shown = posed[part.rows]
    dressed = shown + vertex_normals(shown, part.faces) * user.cloth[:, None]
    mean = (body.joint_regressor[[JOINTS["head"]]] @ body.v_template.astype(np.float64))[0]
    mouth = placed[JOINTS["head"]] + turned[JOINTS["head"]] @ (user.mouth - mean)
    return dressed, mouth
