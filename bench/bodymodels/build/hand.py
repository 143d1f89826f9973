"""The right hand of the body as a model of its own: 16 joints, ten shape directions, five finger tips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.build.shapes import Samples, principal_directions, regressor_row, strongest_weights
from bench.bodymodels.joints import JOINT_SETS

if TYPE_CHECKING:
    from bench.bodymodels.build.source import NativeBody
    from bench.bodymodels.build.surface_mesh import SurfaceMesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINTS = JOINT_SETS["mano16"].names
FINGERS = ("thumb", "index", "middle", "ring", "little")  # as the native rig counts them from 1
CANDIDATES = 40  # vertices behind a joint; those of a finger are few


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hand:
    """Everything that goes into the hand file, in full precision."""

    template: Floats  # (778, 3), wrist joint of the mean of the samples at the origin
    directions: Floats  # (778, 3, 10)
    regressor: Floats  # (16, 778)
    weights: Floats  # (778, 16)
    faces: Ints  # (1538, 3)
    landmarks: dict[str, int]  # five finger tips


def native_bone(joint: str) -> str:
    """Native bone of the right side that moves with a joint of `mano16`, and whose head the joint is."""
    finger, _, number = joint.partition(" ")
    return "wrist.R" if joint == "wrist" else f"finger{FINGERS.index(finger) + 1}-{number}.R"


def fit_hand(native: NativeBody, mesh: SurfaceMesh, samples: Samples, regressor_people: int) -> Hand:
    """Fit shape space, weights, joint regressor and finger tips to the right hands of people in the T-pose.

    Args:
        native: gives bones and skin weights.
        mesh: gives the vertices of the hand.
        samples: people; each hand is moved so that its wrist joint is the origin.
        regressor_people: the first so many stand behind the joint regressor.
    """
    vertices, joints = hands_of(native, mesh, samples)
    mean = vertices.mean(0)
    directions = principal_directions((vertices - mean).reshape(len(vertices), -1)).reshape(*mean.shape, -1)
    longer = np.sign(-directions[:, 0].sum(0))  # a positive coefficient stretches the hand towards -x
    weights = hand_weights(native, mesh)
    regressor = np.stack(
        [
            regressor_row(
                vertices[:regressor_people], joints[:regressor_people, joint], weights[:, joint], CANDIDATES
            )
            for joint in range(len(JOINTS))
        ]
    )
    return Hand(
        template=mean,
        directions=directions * longer,
        regressor=regressor,
        weights=weights,
        faces=hand_faces(mesh),
        landmarks=_tips(mean, joints.mean(0), weights),
    )


def hands_of(native: NativeBody, mesh: SurfaceMesh, samples: Samples) -> tuple[Floats, Floats]:
    """Right hands (S, 778, 3) and their joints (S, 16, 3), wrist at the origin."""
    joints = samples.heads[:, [native.bones.index(native_bone(joint)) for joint in JOINTS]]
    return samples.vertices[:, mesh.hand] - joints[:, :1], joints - joints[:, :1]


def hand_weights(native: NativeBody, mesh: SurfaceMesh) -> Floats:
    """Skin weights of the hand's joints, (778, 16): what no finger bone moves hangs on the wrist."""
    bones = native.weights[mesh.rows][mesh.hand]
    fingers = bones[:, [native.bones.index(native_bone(joint)) for joint in JOINTS[1:]]]
    rest = np.clip(1 - fingers.sum(1, keepdims=True), 0, None)
    return strongest_weights(np.concatenate([rest, fingers], 1))


def hand_faces(mesh: SurfaceMesh) -> Ints:
    """Faces of the hand in its own numbering, (1538, 3)."""
    number = np.full(len(mesh.rows), -1)
    number[mesh.hand] = np.arange(len(mesh.hand))
    faces = number[mesh.faces]
    return faces[(faces >= 0).all(1)]


def _tips(vertices: Floats, joints: Floats, weights: Floats) -> dict[str, int]:
    """The vertex of each finger that lies farthest from its last joint."""
    found = {}
    for finger in FINGERS:
        last = JOINTS.index(f"{finger} 3")
        distance = np.linalg.norm(vertices - joints[last], axis=1)
        found[f"{finger} tip"] = int(np.where(weights[:, last] > 0.5, distance, -1).argmax())
    return found
