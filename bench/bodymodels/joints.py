"""Joint sets by name, with their trees, flips and sigmas, and the rules that find them on a body mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from bench.bodymodels.model import BodyModel

Weights = dict[str, float]  # smpl24 joint or surface landmark -> share


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSet:
    """Names and structure of one skeleton convention."""

    name: str
    names: tuple[str, ...]  # (J,)
    parents: tuple[int, ...]  # (J,), root -1
    flip: tuple[int, ...]  # (J,), permutation under mirroring
    sigmas: tuple[float, ...] | None = None  # (J,), fall-off of the key-point similarity (COCO)

    def __len__(self) -> int:
        return len(self.names)


def _joint_set(name: str, names: str, parents: list[int], sigmas: list[float] | None = None) -> JointSet:
    """Build a set from names separated by commas; a flip pair differs in `left`/`right` alone."""
    listed = tuple(part.strip() for part in names.split(","))
    place = {joint: index for index, joint in enumerate(listed)}
    flip = tuple(place[_other_side(joint)] for joint in listed)
    widths = None if sigmas is None else tuple(sigmas)
    return JointSet(name=name, names=listed, parents=tuple(parents), flip=flip, sigmas=widths)


def _other_side(name: str) -> str:
    if name.startswith("left "):
        return "right " + name.removeprefix("left ")
    if name.startswith("right "):
        return "left " + name.removeprefix("right ")
    return name


_COCO_SIGMAS = [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107]
_COCO_SIGMAS += [0.087, 0.087, 0.089, 0.089]
_MPII_SIGMAS = [0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179]
_MPII_SIGMAS += [0.179, 0.072, 0.062]  # mmpose's values; the key points of MPII are scored without them

# COCO-WholeBody's values: the four joints of a finger from the palm outwards, the thumb first.
_HAND_SIGMAS = [0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026]
_HAND_SIGMAS += [0.017, 0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031]

_SETS = (
    _joint_set(
        "coco17",
        "nose, left eye, right eye, left ear, right ear, left shoulder, right shoulder, left elbow, "
        "right elbow, left wrist, right wrist, left hip, right hip, left knee, right knee, "
        "left ankle, right ankle",
        [-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14],  # COCO has no root; the tree is ours
        _COCO_SIGMAS,
    ),
    _joint_set(
        "mpii16",
        "right ankle, right knee, right hip, left hip, left knee, left ankle, pelvis, thorax, "
        "upper neck, head top, right wrist, right elbow, right shoulder, left shoulder, left elbow, "
        "left wrist",
        [1, 2, 6, 6, 3, 4, -1, 6, 7, 8, 11, 12, 8, 8, 13, 14],
        _MPII_SIGMAS,
    ),
    _joint_set(
        "h36m17",
        "pelvis, right hip, right knee, right ankle, left hip, left knee, left ankle, spine, thorax, "
        "nose, head, left shoulder, left elbow, left wrist, right shoulder, right elbow, right wrist",
        [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15],
    ),
    _joint_set(
        "itop15",
        "head, neck, right shoulder, left shoulder, right elbow, left elbow, right hand, left hand, "
        "torso, right hip, left hip, right knee, left knee, right foot, left foot",
        [1, 8, 1, 1, 2, 3, 4, 5, -1, 8, 8, 9, 10, 11, 12],
    ),
    _joint_set(
        "smpl24",
        "pelvis, left hip, right hip, spine1, left knee, right knee, spine2, left ankle, "
        "right ankle, spine3, left foot, right foot, neck, left collar, right collar, head, "
        "left shoulder, right shoulder, left elbow, right elbow, left wrist, right wrist, left hand, "
        "right hand",
        [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21],
    ),
    _joint_set(
        "lsp14",
        "right ankle, right knee, right hip, left hip, left knee, left ankle, right wrist, "
        "right elbow, right shoulder, left shoulder, left elbow, left wrist, neck, head top",
        [1, 2, 12, 12, 3, 4, 7, 8, 12, 12, 9, 10, -1, 12],
    ),
    _joint_set(
        "penn13",
        "head, left shoulder, right shoulder, left elbow, right elbow, left wrist, right wrist, "
        "left hip, right hip, left knee, right knee, left ankle, right ankle",
        [-1, 0, 0, 1, 2, 3, 4, 1, 2, 7, 8, 9, 10],
    ),
    _joint_set(
        "ntu25",
        "spine base, spine mid, neck, head, left shoulder, left elbow, left wrist, left hand, "
        "right shoulder, right elbow, right wrist, right hand, left hip, left knee, left ankle, "
        "left foot, right hip, right knee, right ankle, right foot, spine shoulder, left hand tip, "
        "left thumb, right hand tip, right thumb",
        [-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11],
    ),
    _joint_set(
        "reduced13",
        "right ankle, right knee, right hip, left hip, left knee, left ankle, head, right wrist, "
        "right elbow, right shoulder, left shoulder, left elbow, left wrist",
        [1, 2, 9, 10, 3, 4, -1, 8, 9, 6, 6, 10, 11],
    ),
    _joint_set(  # of FreiHAND and OpenPose; a mirrored hand is the other hand with the same names
        "hand21",
        "wrist, thumb 1, thumb 2, thumb 3, thumb tip, index 1, index 2, index 3, index tip, "
        "middle 1, middle 2, middle 3, middle tip, ring 1, ring 2, ring 3, ring tip, "
        "little 1, little 2, little 3, little tip",
        [-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19],
        _HAND_SIGMAS,
    ),
    _joint_set(
        "mano16",
        "wrist, index 1, index 2, index 3, middle 1, middle 2, middle 3, little 1, little 2, little 3, "
        "ring 1, ring 2, ring 3, thumb 1, thumb 2, thumb 3",
        [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14],
        [_HAND_SIGMAS[joint] for joint in (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3)],
    ),
)
JOINT_SETS: dict[str, JointSet] = {joint_set.name: joint_set for joint_set in _SETS}

# Where the joints of each set lie: shares of smpl24 joints and of surface landmarks; design choice. What
# is not listed is the smpl24 joint of the same name.
_MID_HEAD: Weights = {"head": 0.6, "head top": 0.4}  # eye level, where depth sensors put the head
_THORAX: Weights = {"left collar": 0.5, "right collar": 0.5}
_UPPER_NECK: Weights = {"neck": 0.65, "head": 0.35}
_RULES: dict[str, dict[str, Weights]] = {
    "coco17": {},
    "mpii16": {"thorax": _THORAX, "upper neck": _UPPER_NECK},
    "h36m17": {
        "spine": {"spine2": 1.0},
        "thorax": {"neck": 1.0},
        "nose": {"nose": 0.92, "head": 0.08},  # about 1 cm behind the tip
        "head": {"head top": 0.6, "head": 0.4},
    },
    "itop15": {"torso": {"spine2": 1.0}},
    "smpl24": {},
    "lsp14": {},
    "penn13": {"head": _MID_HEAD},
    "ntu25": {
        "spine base": {"pelvis": 1.0},
        "spine mid": {"spine2": 1.0},
        "head": _MID_HEAD,
        "spine shoulder": _THORAX,
        "left hand tip": {"left middle tip": 1.0},
        "right hand tip": {"right middle tip": 1.0},
        "left thumb": {"left thumb tip": 1.0},
        "right thumb": {"right thumb tip": 1.0},
    },
    "reduced13": {"head": {"nose": 1.0}},
}


def joint_set(name: str) -> JointSet:
    """Look a joint set up.

    Raises:
        ConfigError: no such set.
    """
    if name not in JOINT_SETS:
        raise ConfigError(f'no joint set "{name}".{nearest(name, JOINT_SETS)}')
    return JOINT_SETS[name]


def places_in(source: str, wanted: str) -> tuple[int, ...]:
    """Positions in one joint set of the joints of another, where each of them is a joint of the first.

    Args:
        source: key of `JOINT_SETS`.
        wanted: as `source`, e.g. "itop15", all of whose joints are joints of "smpl24".

    Returns:
        One position in `source` per joint of `wanted`.

    Raises:
        ConfigError: no such set, or some joint of `wanted` is no joint of `source`.
    """
    have, want = joint_set(source), joint_set(wanted)
    names = list(want.names)
    if source == "smpl24":
        rules = (_RULES.get(wanted, {}).get(joint, {joint: 1.0}) for joint in names)
        names = [
            next(iter(rule)) if len(rule) == 1 else joint for rule, joint in zip(rules, names, strict=True)
        ]
    missing = [joint for joint, name in zip(want.names, names, strict=True) if name not in have.names]
    if missing:
        raise ConfigError(f'joint set "{source}" has no joint for {", ".join(missing)} of "{wanted}"')
    return tuple(have.names.index(name) for name in names)


def root_of(name: str) -> tuple[int, ...]:
    """Positions of the joints whose mean is the root of a skeleton: pelvis, both hips, or a hand's wrist.

    Raises:
        ConfigError: no such set, or it has none of these.
    """
    names = joint_set(name).names
    for root in ("pelvis", "wrist"):
        if root in names:
            return (names.index(root),)
    hips = [joint for joint in ("left hip", "right hip") if joint in names]
    if len(hips) < 2:
        raise ConfigError(f'joint set "{name}" has no pelvis and not both hips, hence no root')
    return tuple(names.index(joint) for joint in hips)


def regressor(model: BodyModel, joint_set_name: str) -> NDArray[np.float64]:
    """Matrix from the vertices of a 24-joint body to the joints of a set.

    Args:
        model: a body with the joints of `smpl24`.
        joint_set_name: key of `JOINT_SETS`.

    Returns:
        Non-negative weights whose rows sum to 1, (J, V); joints = matrix @ vertices, posed or not.

    Raises:
        ConfigError: no such set, or one of hands.
        DataError: the body has other joints, or lacks a landmark that the set needs.
    """
    wanted = joint_set(joint_set_name)
    if joint_set_name not in _RULES:
        raise ConfigError(f'joint set "{joint_set_name}" is not one of bodies: use {", ".join(_RULES)}')
    sources = _sources(model)
    rows = np.zeros((len(wanted), len(model.v_template)))
    for row, joint in zip(rows, wanted.names, strict=True):
        for source, share in _RULES[joint_set_name].get(joint, {joint: 1.0}).items():
            if source not in sources:
                raise DataError(f"{model.name} has no landmark {source}, which {joint_set_name} needs")
            row += share * sources[source]
    return rows


def _sources(model: BodyModel) -> dict[str, NDArray[np.float64]]:
    """Row of weights over the vertices, (V,), for every smpl24 joint and landmark."""
    names = JOINT_SETS["smpl24"].names
    if len(model.parents) != len(names):
        raise DataError(
            f"{model.name} has {len(model.parents)} joints; named joint sets need the 24 of smpl24"
        )
    rows = dict(zip(names, model.joint_regressor.toarray(), strict=True))
    for landmark, vertex in (model.landmarks or {}).items():
        row = np.zeros(len(model.v_template))
        row[vertex] = 1.0
        rows[landmark] = row
    return rows
