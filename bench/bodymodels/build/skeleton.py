"""How the native bones become the 24 joints, and the T-pose of the native rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.rotations import axis_angle_to_matrix, cross_matrix

if TYPE_CHECKING:
    from bench.bodymodels.build.source import NativeBody

Floats = NDArray[np.float64]

JOINTS = JOINT_SETS["smpl24"].names
OTHER_SIDE = np.array(JOINT_SETS["smpl24"].flip)

# Native bones whose names start so move with this joint; the first hit counts. Paired joints have no side.
MOVED_BY = (
    ("root", "pelvis"), ("pelvis", "pelvis"), ("spine05", "pelvis"), ("spine04", "spine1"),
    ("spine03", "spine2"), ("spine", "spine3"), ("upperleg", "hip"), ("lowerleg", "knee"),
    ("foot", "ankle"), ("toe", "foot"), ("clavicle", "collar"), ("shoulder", "collar"),
    ("upperarm", "shoulder"), ("lowerarm", "elbow"),
    ("wrist", "wrist"), ("metacarpal", "wrist"), ("finger", "hand"), ("neck", "neck"), ("head", "head"),
    ("eye", "head"),
)  # fmt: skip
UNPAIRED = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")

# A joint lies at the mean of the heads of these native bones.
HEADS = {
    "pelvis": ("root",), "spine1": ("spine04",), "spine2": ("spine03",), "spine3": ("spine02",),
    "neck": ("neck01",), "head": ("head",), "hip": ("upperleg01",), "knee": ("lowerleg01",),
    "ankle": ("foot",), "foot": tuple(f"toe{k}-1" for k in range(1, 6)), "collar": ("clavicle",),
    "shoulder": ("upperarm01",), "elbow": ("lowerarm01",), "wrist": ("wrist",), "hand": ("finger3-1",),
}  # fmt: skip

ABDUCTION = np.radians(4)  # of the legs
TOES_OUT = np.radians(6)
CLAVICLE = np.radians(12)  # raised
ROLL_SHARE = {
    "upperarm01": 0.2,
    "upperarm02": 0.4,
    "lowerarm01": 0.8,
    "lowerarm02": 0.9,
}  # of the hand's roll
FAN = {2: 0.10, 3: 0.02, 4: -0.06, 5: -0.14}  # fingers, radians towards +z
FINGER_DROP = -0.03
THUMB = (0.72, -0.28, 0.64)


def merge_matrix(bones: tuple[str, ...]) -> Floats:
    """0/1 matrix from native bones to joints, (B, 24): weights of joints = weights of bones @ matrix."""
    matrix = np.zeros((len(bones), len(JOINTS)))
    for row, bone in zip(matrix, bones, strict=True):
        joint = next(joint for prefix, joint in MOVED_BY if bone.startswith(prefix))
        row[JOINTS.index(_sided(joint, bone))] = 1
    return matrix


def head_matrix(bones: tuple[str, ...]) -> Floats:
    """Matrix from native bone heads to joint positions, (24, B)."""
    matrix = np.zeros((len(JOINTS), len(bones)))
    for row, joint in zip(matrix, JOINTS, strict=True):
        suffix = {"left": ".L", "right": ".R"}.get(joint.split()[0], "")
        heads = HEADS[joint.split()[-1]]
        for head in heads:
            row[bones.index(head + suffix)] = 1 / len(heads)
    return matrix


def _sided(joint: str, bone: str) -> str:
    if joint in UNPAIRED:
        return joint
    return f"{'left' if bone.endswith('.L') else 'right'} {joint}"


def pose_globally(native: NativeBody, heads: Floats, turned: Floats) -> tuple[Floats, Floats]:
    """Rigid motion of every bone for given global rotations.

    Args:
        native: gives the bone tree.
        heads: bone heads at rest, (S, B, 3).
        turned: global rotation of each bone against its rest pose, (S, B, 3, 3).

    Returns:
        Transforms (S, B, 3, 4) and posed heads (S, B, 3).
    """
    placed = np.zeros_like(heads)
    placed[:, 0] = heads[:, 0]
    for bone, parent in enumerate(native.parents[1:], start=1):
        offset = heads[:, bone] - heads[:, parent]
        placed[:, bone] = placed[:, parent] + np.einsum("sij,sj->si", turned[:, parent], offset)
    moved = placed - np.einsum("sbij,sbj->sbi", turned, heads)
    return np.concatenate([turned, moved[..., None]], 3), placed


def t_pose(native: NativeBody, heads: Floats) -> Floats:
    """Global bone rotations that bring A-posed people to the T-pose.

    Legs point down with a small abduction, feet slightly outward, arms along the x axis, palms down, fingers
    straight and fanned.

    Args:
        native: gives the bone names.
        heads: bone heads at rest, (S, B, 3).

    Returns:
        (S, B, 3, 3).
    """
    turned = np.tile(np.eye(3), (len(heads), len(native.bones), 1, 1))
    for suffix, side in ((".L", 1.0), (".R", -1.0)):
        place = {bone.removesuffix(suffix): i for i, bone in enumerate(native.bones) if bone.endswith(suffix)}
        joints = {bone: heads[:, i] for bone, i in place.items()}  # (S, 3) each
        found = _leg(joints, side) | _arm(joints, side)
        for bone, rotation in found.items():
            turned[:, place[bone]] = rotation
    return turned


def _leg(joints: dict[str, Floats], side: float) -> dict[str, Floats]:
    down = np.array([side * np.sin(ABDUCTION), -np.cos(ABDUCTION), 0])
    thigh, shank = joints["lowerleg01"] - joints["upperleg01"], joints["foot"] - joints["lowerleg01"]
    upper = align(thigh, down)
    lower = align(_turn(upper, shank), down) @ upper
    forward = _turn(lower, joints["toe2-1"] - joints["foot"])
    yaw = about("y", side * TOES_OUT - np.arctan2(forward[:, 0], forward[:, 2]))
    upper, lower = yaw @ upper, yaw @ lower
    upper = align(_turn(upper, thigh), down) @ upper
    lower = align(_turn(lower, shank), down) @ lower
    found = {bone: yaw for bone in joints if bone.startswith(("foot", "toe"))}  # flat: native pitch kept
    return found | {"upperleg01": upper, "upperleg02": upper, "lowerleg01": lower, "lowerleg02": lower}


def _arm(joints: dict[str, Floats], side: float) -> dict[str, Floats]:
    outward = np.array([side, 0, 0])
    count = len(joints["wrist"])
    collar = about("z", np.full(count, side * CLAVICLE))
    upper = align(_turn(collar, joints["lowerarm01"] - joints["upperarm01"]), outward) @ collar
    lower = align(_turn(upper, joints["wrist"] - joints["lowerarm01"]), outward) @ upper
    hand = align(_turn(lower, joints["finger3-1"] - joints["wrist"]), outward) @ lower
    across = _turn(hand, joints["finger2-1"] - joints["finger5-1"])  # from the little to the index finger
    roll = np.arctan2(across[:, 1], across[:, 2])  # brings the index side to +z, hence the palm down
    hand = about("x", roll) @ hand
    found = {bone: hand for bone in joints if bone.startswith(("wrist", "metacarpal"))}
    found |= {"clavicle": collar, "shoulder01": collar}
    for bone, share in ROLL_SHARE.items():
        found[bone] = about("x", share * roll) @ (upper if bone.startswith("upper") else lower)
    return found | _fingers(joints, hand, side)


def _fingers(joints: dict[str, Floats], hand: Floats, side: float) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for finger in range(1, 6):
        first, second, third = (f"finger{finger}-{k}" for k in (1, 2, 3))
        if finger == 1:  # the first bone of the thumb stays with the palm
            wanted, base = np.array([side * THUMB[0], *THUMB[1:]]), hand
        else:
            wanted = np.array([side * np.cos(FAN[finger]), FINGER_DROP, np.sin(FAN[finger])])
            base = align(_turn(hand, joints[second] - joints[first]), wanted) @ hand
        rest = align(_turn(base, joints[third] - joints[second]), wanted) @ base
        found |= {first: base, second: rest, third: rest}
    return found


def align(vectors: Floats, wanted: Floats) -> Floats:
    """Smallest rotations (S, 3, 3) that turn vectors (S, 3) to the direction of one vector (3,)."""
    a = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    b = np.broadcast_to(wanted / np.linalg.norm(wanted), a.shape)
    cross = cross_matrix(np.cross(a, b))
    cosine = (a * b).sum(1)[:, None, None]
    rotation: Floats = np.eye(3) + cross + cross @ cross / (1 + cosine)
    return rotation


def about(axis: str, angle: Floats) -> Floats:
    """Rotations (S, 3, 3) by angles (S,) in radians about the x, y or z axis."""
    return axis_angle_to_matrix(angle[:, None] * np.eye(3)["xyz".index(axis)])


def _turn(rotation: Floats, vectors: Floats) -> Floats:
    turned: Floats = np.einsum("sij,sj->si", rotation, vectors)
    return turned
