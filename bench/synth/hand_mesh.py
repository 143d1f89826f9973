"""The surface that is drawn: a hand, its forearm, and sometimes the head and trunk of its owner.

Hands are drawn several times as large as they are, in rooms made for bodies, so that shadows, outlines,
patterns and cameras work as for bodies. Lengths of this module are real metres unless they are called drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body, surrogate_hand
from bench.synth.angles import JOINTS

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]

SCALE = 6.0  # of what is drawn
FOREARM = 17  # class of the forearm in `Arm.phalanges`; 1..16 are the joints, 0 is everything else
BLEND_M = 0.04  # from the cut on, over which the forearm takes its own rotation
RIDGE = 1.0  # penalty of the forearm's shape, in variances of the hand's coefficients
AWAY_M, UP_M = 4.0, 3.0  # where clothes find the wrist, drawn: beyond the trunk, above all hems
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "l_collar", "r_collar", "l_shoulder",
          "r_shoulder")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arm:
    """A hand with the forearm of the body, up to the elbow, which is capped."""

    faces: Ints  # of the hand, then of the forearm and its cap, (F, 3)
    forearm: Single  # mean rest shape in the frame of the hand, vertices 778.. of the arm, (A, 3)
    directions: Single  # how that follows the shape of the hand, (A, 3, 10)
    follow: Single  # share of the forearm's own rotation, (A,)
    body: Single  # canonical positions on the mean body, (778 + A, 3)
    canon: Single  # canonical positions, drawn, as clothes and patterns need them, (778 + A, 3)
    phalanges: NDArray[np.uint8]  # class of each face, (F,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmShape:
    """Rest shape of somebody's arm."""

    hand: Single  # (778, 3)
    joints: Floats  # (16, 3)
    forearm: Single  # (A, 3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trunk:
    """Head and trunk of the body, open below and at the elbows."""

    rows: NDArray[np.int64]  # vertices of the body, (T,)
    faces: Ints  # of these, (G, 3)
    canon: Single  # (T, 3)


@cache
def arm() -> Arm:
    """Cut the forearm off the mean body and join it to the hand."""
    body, hand = surrogate_body(), surrogate_hand()
    own = _hand_rows()
    template = body.v_template.astype(np.float64)
    joints = body.joint_regressor @ template
    elbow, wrist = joints[JOINTS["r_elbow"]], joints[JOINTS["r_wrist"]]
    in_hand = np.zeros(len(template), np.bool_)
    in_hand[own] = True
    corners = template[body.faces]
    chosen = ~in_hand[body.faces].all(1) & (corners[..., 0].max(1) < elbow[0]) & (corners[..., 1].max(1) > 0)
    shell = body.faces[chosen]
    rows = np.setdiff1d(np.unique(shell), own)
    number = np.full(len(template), -1, np.int64)
    number[own] = np.arange(len(own))
    number[rows] = len(own) + np.arange(len(rows))
    shell = number[shell]
    loop = np.unique(shell[shell < len(own)])
    shift = hand.v_template[loop].mean(0) - template[own[loop]].mean(0)
    forearm = template[rows] + shift
    start = float((template[own[loop], 0] + shift[0]).mean())
    t = np.clip((forearm[:, 0] - start) / BLEND_M, 0.0, 1.0)
    follow = t * t * (3 - 2 * t)
    directions = _directions(rows, loop, forearm, follow)
    rim = _open_edges(shell)
    rim = rim[(rim >= len(own)).all(1)]
    middle = np.unique(rim) - len(own)
    forearm = np.concatenate([forearm, forearm[middle].mean(0, keepdims=True)])
    directions = np.concatenate([directions, directions[middle].mean(0, keepdims=True)])
    follow = np.append(follow, 1.0)
    cap = np.concatenate([rim[:, ::-1], np.full((len(rim), 1), len(own) + len(rows))], 1)
    faces = np.concatenate([hand.faces, shell, cap]).astype(np.int32)
    mean = np.concatenate([template[own], forearm - shift])
    canon = SCALE * (mean - wrist) + (-AWAY_M, UP_M, 0.0)
    moved_by = hand.weights[hand.faces].sum(1).argmax(1) + 1
    phalanges = np.concatenate([moved_by, np.full(len(faces) - len(hand.faces), FOREARM)])
    return Arm(
        faces=faces,
        forearm=forearm.astype(np.float32),
        directions=directions.astype(np.float32),
        follow=follow.astype(np.float32),
        body=mean.astype(np.float32),
        canon=canon.astype(np.float32),
        phalanges=phalanges.astype(np.uint8),
    )


def _hand_rows() -> NDArray[np.int64]:
    rows = surrogate_body().hand_vertex_ids
    assert rows is not None
    return rows.astype(np.int64)


def _directions(rows: NDArray[np.int64], loop: NDArray[np.int64], forearm: Floats, follow: Floats) -> Floats:
    """How the forearm follows the coefficients of the hand, (A, 3, 10).

    Both are linear in those of the body; the regression of the one on the other is over bodies with standard
    normal coefficients, with a ridge, because ten numbers of a hand do not determine an arm. Near the cut
    the forearm follows its rim instead.
    """
    body, hand, own = surrogate_body(), surrogate_hand(), _hand_rows()

    def around(directions: Single, regressor: Floats) -> Floats:
        """Relative to the wrist."""
        moved = directions.astype(np.float64)
        shifted: Floats = moved - np.tensordot(regressor, moved, 1)
        return shifted

    at_body = np.asarray(body.joint_regressor[[JOINTS["r_wrist"]]].todense())[0]
    at_hand = np.asarray(hand.joint_regressor[[0]].todense())[0]
    bodies = around(body.shapedirs, at_body)  # (6890, 3, B)
    hands = around(hand.shapedirs, at_hand)  # (778, 3, 10)
    count = hands.shape[2]
    seen = bodies[own].reshape(3 * len(own), -1)
    to_hand = np.linalg.lstsq(hands.reshape(-1, count), seen, rcond=None)[0].astype(np.float64)
    spread = to_hand @ to_hand.T + RIDGE * np.eye(count)

    def regressed(values: Floats) -> Floats:
        flat = values.reshape(3 * len(values), -1)
        found = np.linalg.solve(spread, to_hand @ flat.T).T.astype(np.float64)
        return found.reshape(len(values), 3, count)

    found = regressed(bodies[rows])
    gap = hands[loop] - regressed(bodies[own[loop]])  # (L, 3, 10)
    apart = np.linalg.norm(forearm[:, None] - hand.v_template[loop].astype(np.float64), axis=2)
    near = (1 - follow)[:, None, None] * gap[apart.argmin(1)]
    wrist: Floats = np.tensordot(at_hand, hand.shapedirs.astype(np.float64), 1)
    followed: Floats = found + near + wrist
    return followed


def _open_edges(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Edges of one face alone, in its order of corners, (E, 2)."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(a, b) for a, b in edges.tolist()}
    return np.array([(a, b) for a, b in edges.tolist() if (b, a) not in there], np.int64).reshape(-1, 2)


def shape_arm(betas: Single) -> ArmShape:
    """Rest shape of an arm with the coefficients (10,) of its hand."""
    hand, joints = surrogate_hand().shape(betas)
    return ArmShape(
        hand=np.ascontiguousarray(hand, np.float32),
        joints=joints,
        forearm=arm().forearm + arm().directions @ betas,
    )


def pose_arm(shape: ArmShape, rotations: Floats, forearm: Floats) -> tuple[Single, Floats]:
    """Pose an arm.

    Args:
        shape: of somebody.
        rotations: of the joints of the hand, row 0 turns the whole arm about the wrist, (16, 3, 3).
        forearm: rotation of the forearm in the frame of the hand, (3, 3).

    Returns:
        Vertices (778 + A, 3) and joints (16, 3); the wrist stays where it was in the rest shape.
    """
    hand, joints, _ = surrogate_hand().pose(shape.hand, shape.joints, rotations)
    wrist = shape.joints[0]
    straight = (shape.forearm - wrist) @ rotations[0].T
    bent = (shape.forearm - wrist) @ (rotations[0] @ forearm).T
    follow = arm().follow[:, None]
    rest = (1 - follow) * straight + follow * bent + wrist
    return np.concatenate([hand, rest.astype(np.float32)]), joints


@cache
def trunk() -> Trunk:
    """Head, neck and trunk of the body with the upper arms."""
    body = surrogate_body()
    kept = np.isin(body.weights.argmax(1), [JOINTS[name] for name in _TRUNK])
    faces = body.faces[kept[body.faces].all(1)]
    rows = np.unique(faces)
    return Trunk(
        rows=rows.astype(np.int64),
        faces=np.searchsorted(rows, faces).astype(np.int32),
        canon=body.v_template[rows],
    )
