"""Anatomical angles of a clip and their way to joint rotations.

Angles are in degrees; flexion, abduction, elevation and protraction are positive. One row of numbers per
frame holds all joints, so limits, noise and the conversion work on whole clips at once. Joints follow the
24 of SMPL (ACM TOG 34(6)); frame: y up, the body faces +z, its left is +x, zero rotation = T-pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Side = Literal["l", "r"]

JOINTS: dict[str, int] = {
    name: index
    for index, name in enumerate(
        (
            "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle",
            "spine3", "l_toe", "r_toe", "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder",
            "l_elbow", "r_elbow", "l_wrist", "r_wrist", "l_hand", "r_hand",
        )
    )
}  # fmt: skip
SIDES: tuple[tuple[Side, float], ...] = (("l", 1.0), ("r", -1.0))  # side, sign of its x

# Numbers per joint: (name, value at ease, lower limit, upper limit).
_LIMB: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "hip": (("flexion", 2, -25, 120), ("abduction", -2.5, -25, 55), ("outward", 0, -40, 50)),
    "knee": (("flexion", 4, 0, 145),),
    "ankle": (("plantar", 0, -25, 45), ("inversion", 0, -20, 20)),
    "toe": (("extension", 0, -20, 45),),
    "shoulder": (("flexion", 6, -55, 175), ("abduction", 10, -25, 165), ("twist", 0, -80, 80)),
    "collar": (("elevation", 0, -8, 25), ("protraction", 0, -15, 20)),
    "elbow": (("flexion", 14, 0, 148), ("pronation", 20, -80, 85)),
    "wrist": (("flexion", 0, -65, 70), ("deviation", 0, -25, 30)),
    "hand": (("curl", 14, -5, 70),),
}
_TRUNK: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "spine": (("flexion", 0, -28, 85), ("side", 0, -35, 35), ("twist", 0, -45, 45)),
    "neck": (("flexion", 0, -45, 50), ("side", 0, -35, 35), ("twist", 0, -75, 75)),
}
_ROWS = [(f"{side}_{joint}", row) for side, _ in SIDES for joint, rows in _LIMB.items() for row in rows] + [
    (joint, row) for joint, rows in _TRUNK.items() for row in rows
]
COLUMNS: tuple[tuple[str, str], ...] = tuple((joint, row[0]) for joint, row in _ROWS)  # (joint, angle)
REST: Floats = np.array([row[1] for _, row in _ROWS], np.float64)
LOWER: Floats = np.array([row[2] for _, row in _ROWS], np.float64)
UPPER: Floats = np.array([row[3] for _, row in _ROWS], np.float64)
IS_LEG: NDArray[np.bool_] = np.array(
    [joint[2:] in ("hip", "knee", "ankle", "toe") for joint, _ in COLUMNS], np.bool_
)
_START = {joint: [j for j, _ in COLUMNS].index(joint) for joint, _ in COLUMNS}
_COUNT = {joint: sum(j == joint for j, _ in COLUMNS) for joint, _ in COLUMNS}
SOFT = 0.8  # share of the half range, from the middle, that limits leave untouched
PRONE = 20.0  # forearm pronation, degrees, at which the palm of the T-pose faces down
SPINE_SHARE = {"spine1": 0.38, "spine2": 0.34, "spine3": 0.28}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A hand that goes to a point seen from its shoulder, in the frame of the chest."""

    side: Side
    azimuth: float  # degrees, 0 = ahead, positive to the left of the body
    elevation: float  # degrees
    length: float  # of the straight arm
    weight: Floats  # (T,), 0 = where the angles put the hand, 1 = at the point
    elbow: Floats  # (3,), where the elbow points to, chest frame


class Pose:
    """Angles of T frames that an action fills in."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.angles: Floats = np.tile(REST, (frames, 1))  # (T, 40) degrees
        self.root: Floats = np.zeros((frames, 3))  # pitch, roll, yaw of the pelvis, degrees
        self.hop: Floats = np.zeros(frames)  # height of the lowest point above the floor, metres
        self.speed = 0.0  # of the walk, metres per second
        self.reaches: list[Reach] = []

    def of(self, joint: str) -> Floats:
        """View on the angles of a joint, e.g. `l_hip` or `spine`, (T, numbers of the joint)."""
        start = _START[joint]
        return self.angles[:, start : start + _COUNT[joint]]

    def set(self, joint: str, *values: float | Floats) -> None:
        """Set the first angles of a joint, each to a number or to a (T,) array, degrees."""
        start = _START[joint]
        for offset, value in enumerate(values):
            self.angles[:, start + offset] = value

    def add(self, joint: str, *values: float | Floats) -> None:
        """Add to the first angles of a joint, degrees."""
        start = _START[joint]
        for offset, value in enumerate(values):
            self.angles[:, start + offset] += value


def limited(angles: Floats) -> Floats:
    """Bring angles softly within the joint limits: identity in the inner 80 %, tanh towards the limit.

    Args:
        angles: degrees, (..., 40).
    """
    middle, half = (LOWER + UPPER) / 2, (UPPER - LOWER) / 2
    x = (angles - middle) / half
    size = np.abs(x)
    bent = SOFT + (1 - SOFT) * np.tanh((size - SOFT) / (1 - SOFT))
    inside: Floats = middle + half * np.where(size <= SOFT, x, np.sign(x) * bent)
    return inside


def _slot_table() -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Linear map from the 40 angles to three elementary rotations per joint, and the axes of those.

    Returns:
        Map (40, 72), offset (72,) in degrees and axes (24, 3); unused slots get the angle zero.
    """
    table, offset = np.zeros((len(COLUMNS), 72)), np.zeros(72)
    axes = np.zeros((24, 3), np.intp)

    def turn(joint: str, slot: int, axis: int, source: str, number: int, factor: float) -> None:
        row = JOINTS[joint] * 3 + slot
        axes[JOINTS[joint], slot] = axis
        table[_START[source] + number, row] += factor

    for side, sign in SIDES:
        rules = (
            ("hip", 0, 2, 1, sign), ("hip", 1, 0, 0, -1.0), ("hip", 2, 1, 2, sign), ("knee", 0, 0, 0, 1.0),
            ("ankle", 0, 0, 0, 1.0), ("ankle", 1, 2, 1, sign), ("toe", 0, 0, 0, -1.0),
            ("collar", 0, 2, 0, sign), ("collar", 1, 1, 1, -sign), ("elbow", 0, 1, 0, -sign),
            ("elbow", 1, 0, 1, 0.5), ("wrist", 1, 2, 0, -sign), ("wrist", 2, 1, 1, sign),
            ("hand", 0, 2, 0, -sign),
        )  # fmt: skip
        for joint, slot, axis, number, factor in rules:
            turn(f"{side}_{joint}", slot, axis, f"{side}_{joint}", number, factor)
        turn(f"{side}_wrist", 0, 0, f"{side}_elbow", 1, 0.5)
        offset[[JOINTS[f"{side}_elbow"] * 3 + 1, JOINTS[f"{side}_wrist"] * 3]] = -PRONE / 2
    for joint, share in (*SPINE_SHARE.items(), ("neck", 0.5), ("head", 0.5)):
        source = "spine" if joint in SPINE_SHARE else "neck"
        for slot, (axis, number, factor) in enumerate(((1, 2, share), (0, 0, share), (2, 1, -share))):
            turn(joint, slot, axis, source, number, factor)
    return table, offset, axes


_TABLE, _OFFSET, _AXES = _slot_table()


def rotations(pose: Pose) -> Floats:
    """Local joint rotations (T, 24, 3, 3) of the angles, before any reach."""
    slots = np.radians(pose.angles @ _TABLE + _OFFSET).reshape(pose.frames, 24, 3)
    elementary = np.zeros((pose.frames, 24, 3, 4))
    elementary[..., 0] = np.cos(slots / 2)
    np.put_along_axis(elementary, (1 + _AXES)[None, :, :, None], np.sin(slots / 2)[..., None], 3)
    local = multiply(multiply(elementary[:, :, 0], elementary[:, :, 1]), elementary[:, :, 2])
    pitch, roll, yaw = (about(axis, np.radians(pose.root[:, k])) for k, axis in enumerate((0, 2, 1)))
    local[:, 0] = multiply(multiply(yaw, pitch), roll)
    for side, sign in SIDES:
        local[:, JOINTS[f"{side}_shoulder"]] = _shoulder(np.radians(pose.of(f"{side}_shoulder")), sign)
    return quaternion_to_matrix(local)


def _shoulder(angles: Floats, sign: float) -> Floats:
    """Quaternions (T, 4): let the arm hang, swing it the short way to its direction, then twist it.

    A direct swing from the T-pose would not give natural palms near hanging poses (design choice).
    """
    flexion, abduction, twist = angles.T
    aim = np.stack(
        [sign * np.sin(abduction), -np.cos(abduction) * np.cos(flexion), np.cos(abduction) * np.sin(flexion)],
        -1,
    )
    # Half-way quaternion from (0, -1, 0) to `aim`: (1 + dot, cross), normalised.
    swing = np.stack([1 - aim[:, 1], -aim[:, 2], np.zeros(len(aim)), aim[:, 0]], -1)
    opposite = swing[:, 0] < 1e-9
    swing[opposite] = (0.0, 1.0, 0.0, 0.0)
    swing /= np.linalg.norm(swing, axis=1, keepdims=True)
    hang = about(2, np.full(len(aim), -sign * np.pi / 2))
    return multiply(multiply(swing, hang), about(0, twist))


def about(axis: int, angle: Floats) -> Floats:
    """Quaternions (..., 4) of rotations about a coordinate axis; angles in radians (...)."""
    quaternion = np.zeros((*angle.shape, 4))
    quaternion[..., 0], quaternion[..., 1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    return quaternion


def multiply(first: Floats, second: Floats) -> Floats:
    """Hamilton product of quaternions (..., 4), scalar first: the rotation `second`, then `first`."""
    a, b, c, d = (first[..., k] for k in range(4))
    e, f, g, h = (second[..., k] for k in range(4))
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        -1,
    )


def quaternion_to_matrix(quaternion: Floats) -> Floats:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4), scalar first."""
    w, x, y, z = (quaternion[..., k] for k in range(4))
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)
