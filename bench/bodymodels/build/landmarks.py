"""Named surface points of the body, found by rules on the mean shape; design choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.build.skeleton import JOINTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EYE_RADIUS = 0.012  # metres from the centre of the eyeball to the lid
FINGERS = ("thumb", "index", "middle", "ring", "little")


def find_landmarks(
    vertices: Floats,
    weights: Floats,
    mirror: Ints,
    bones: tuple[str, ...],
    bone_weights: Floats,
    heads: Floats,
) -> dict[str, int]:
    """Vertices of the nose, eyes, ears, head top, heels, toes and finger tips.

    Rules are written for the right side and mirrored.

    Args:
        vertices: mean shape in the T-pose, (V, 3).
        weights: skin weights of the joints, (V, 24).
        mirror: vertex on the other side, (V,).
        bones: names of the native bones, (B,).
        bone_weights: skin weights of the native bones, (V, B).
        heads: mean native bone heads, (B, 3).
    """
    x, y, z = vertices.T
    head = weights[:, JOINTS.index("head")] > 0.5
    foot = weights[:, [JOINTS.index("right foot"), JOINTS.index("right ankle")]].max(1) > 0.5
    eye = heads[bones.index("eye.R")] + [0, 0, EYE_RADIUS]
    found = {
        "right eye": _best(-np.linalg.norm(vertices - eye, axis=1), head),
        "right ear": _best(np.abs(x) - 2 * np.abs(y - eye[1]), head & (x <= 0)),
        "right heel": _best(-z - 0.3 * y, foot),
        "right big toe": _best(z + 0.6 * x, foot),
        "right small toe": _best(z - 0.9 * x, foot),
    }
    for number, finger in enumerate(FINGERS, start=1):
        bone = bones.index(f"finger{number}-3.R")
        distance = np.linalg.norm(vertices - heads[bone], axis=1)
        found[f"right {finger} tip"] = _best(distance, bone_weights[:, bone] > 0.5)
    left = {name.replace("right", "left"): int(mirror[vertex]) for name, vertex in found.items()}
    middle = {"nose": _best(z - 3 * np.abs(x), head), "head top": _best(y - np.abs(x), head)}
    return middle | found | left


def _best(value: Floats, among: NDArray[np.bool_]) -> int:
    return int(np.where(among, value, -np.inf).argmax())
