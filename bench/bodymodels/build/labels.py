"""Part tables over the faces: charts, parsing classes and dominant joints.

Rules are written for the right half of the T-posed mean shape, in names without side; the left half is its
mirror image. The borders are this project's own definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bench.bodymodels.build.mesh import mirror_faces, neighbour_pairs
from bench.bodymodels.build.skeleton import JOINTS, OTHER_SIDE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

ARM = ("shoulder", "elbow", "wrist", "hand")
LEG = ("hip", "knee", "ankle", "foot")
SMOOTHING = 3  # majority passes between two removals of islands
ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HalfBody:
    """The right half of the body in the T-pose: face centres, weights, joints and how its faces touch."""

    faces: Ints  # (H,), ids of the right faces in the whole mesh
    x: Floats  # (H,), distance of the face centre from the mid-plane
    y: Floats  # (H,)
    z: Floats  # (H,)
    arm: Mask  # (H,)
    leg: Mask  # (H,)
    hips: Mask  # (H,), hangs on the pelvis or a hip
    joints: Mapping[str, Floats]  # without side -> |x|, y, z
    weights: Floats  # (H, 24), mean of the corners
    neighbours: Ints  # (H, 3), faces across the three edges; across the mid-plane the face itself
    crotch: float  # height of the lowest point between the legs

    def at(self, joint: str, axis: str) -> float:
        """One coordinate of a joint."""
        return float(self.joints[joint]["xyz".index(axis)])


def right_half(vertices: Floats, faces: Ints, mirror: Ints, weights: Floats, joints: Floats) -> HalfBody:
    """Collect what the rules need.

    Args:
        vertices: mean shape, (V, 3), exactly symmetric.
        faces: (F, 3).
        mirror: vertex on the other side, (V,).
        weights: skin weights, (V, 24).
        joints: (24, 3).
    """
    centre = vertices[faces].mean(1)
    right = np.flatnonzero(centre[:, 0] < 0)
    if 2 * len(right) != len(faces):
        raise ValueError("some faces cross the mid-plane; the labels need a mesh that is split by it")
    share = weights[faces].mean(1)[right]
    distance, height = np.abs(centre[right, 0]), centre[right, 1]

    def hangs_on(names: tuple[str, ...], least: float) -> Mask:
        columns = [i for i, joint in enumerate(JOINTS) if joint.split()[-1] in names]
        mask: Mask = share[:, columns].sum(1) > least
        return mask

    places = zip(JOINTS, joints, strict=True)
    named = {joint.removeprefix("right "): np.array([abs(x), y, z]) for joint, (x, y, z) in places}
    between_legs = (np.abs(vertices[:, 0]) < 0.004) & (vertices[:, 1] < -0.03)
    return HalfBody(
        faces=right,
        x=distance,
        y=height,
        z=centre[right, 2],
        arm=hangs_on(ARM, 0.5) & (distance > named["shoulder"][0] - 0.02),
        leg=hangs_on(LEG, 0.5) & (height < named["hip"][1] + 0.02),
        hips=hangs_on(("pelvis", "hip"), 0.3),
        joints=named,
        weights=share,
        neighbours=_folded_neighbours(faces, mirror, right),
        crotch=float(vertices[between_legs, 1].min()),
    )


def _folded_neighbours(faces: Ints, mirror: Ints, right: Ints) -> Ints:
    """Faces across the three edges as positions in `right`, (H, 3); across the mid-plane the face itself."""
    place = np.full(len(faces), -1)
    place[right] = np.arange(len(right))
    place[mirror_faces(faces, mirror)[right]] = np.arange(len(right))  # same sideless label on both sides
    pairs = neighbour_pairs(faces)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    folded: Ints = place[pairs[:, 1].reshape(-1, 3)][right]
    return folded


def _head(half: HalfBody) -> Mask:
    """Above a plane that rises towards the nape."""
    nape = np.clip(0.02 - half.z, 0, 0.1)
    mask: Mask = (half.y > half.at("neck", "y") + 0.02 + 0.3 * nape) & (half.x < 0.13)
    return mask


def chart_parts(half: HalfBody) -> NDArray[np.str_]:
    """Sideless names of the 24 charts, (H,): limbs split into front and back, hands and feet whole."""
    elbow, wrist = half.at("elbow", "x"), half.at("wrist", "x")
    knee, ankle = half.at("knee", "y"), half.at("ankle", "y")
    leg_axis = np.interp(
        -half.y, [-half.at(joint, "y") for joint in LEG[:3]], [half.at(joint, "z") for joint in LEG[:3]]
    )
    spine = ("pelvis", "spine1", "spine2", "spine3", "neck")
    spine_axis = np.interp(half.y, [half.at(j, "y") for j in spine], [half.at(j, "z") for j in spine])
    groin = half.crotch + 0.055 + 0.62 * np.clip(half.x - 0.03, 0, 0.3)
    foot = half.leg & (half.y < ankle + 0.035)
    hand = half.arm & (half.x > wrist - 0.01)
    rules = (
        ("torso", np.ones(len(half.x), bool), spine_axis),
        ("upper leg", half.leg & (half.y >= knee) & (half.y < groin), leg_axis),
        ("lower leg", half.leg & (half.y < knee), leg_axis),
        ("upper arm", half.arm & (half.x <= elbow), half.at("shoulder", "z")),
        ("lower arm", half.arm & (half.x > elbow), half.at("shoulder", "z")),
    )
    parts = np.full(len(half.x), "torso front", "U24")
    for name, where, axis in rules:
        parts[where & (half.z <= axis)] = f"{name} back"
        parts[where & (half.z > axis)] = f"{name} front"
    parts[foot], parts[hand], parts[_head(half)] = "foot", "hand", "head"
    return parts


def parsing_parts(half: HalfBody) -> NDArray[np.str_]:
    """Sideless names of the 24 body classes of the Human3.6M parsing list, (H,)."""
    shoulder, elbow, wrist = (half.at(joint, "x") for joint in ARM[:3])
    knee, ankle = half.at("knee", "y"), half.at("ankle", "y")
    x, y, arm, head = half.x, half.y, half.arm, _head(half)
    hip_line = half.crotch + 0.075 + 0.55 * np.clip(x - 0.03, 0, 0.3)
    trunk = ~arm
    crotch = (np.abs(y - half.crotch - 0.0275) < 0.0725) & (x < np.where(y < half.crotch, 0.05, 0.055))
    rules = (
        ("lower spine", y < half.at("spine2", "y") + 0.03),
        ("arm", arm & (x > shoulder + 0.055)),
        ("elbow", arm & (x > elbow - 0.045)),
        ("forearm", arm & (x > elbow + 0.045)),
        ("hand", arm & (x > wrist - 0.015)),
        (
            "shoulder",
            (np.abs(x - shoulder - 0.0025) < 0.0525) & (y > half.at("shoulder", "y") - 0.13) & ~head,
        ),
        ("hip", trunk & half.hips & (y < hip_line + 0.02) & (y > hip_line - 0.125) & (x > 0.02)),
        ("thigh", trunk & (y <= hip_line - 0.125)),
        ("knee", trunk & (y <= knee + 0.07)),
        ("calf", trunk & (y <= knee - 0.065)),
        ("foot", trunk & (y <= ankle + 0.03)),
        ("crotch", trunk & crotch),
        ("head", head),
    )  # later rules win
    parts = np.full(len(x), "upper spine", "U24")
    for name, where in rules:
        parts[where] = name
    return parts


def joint_parts(half: HalfBody) -> NDArray[np.str_]:
    """Sideless name of the joint with the largest skin weight, (H,)."""
    mirrored = half.weights[:, OTHER_SIDE]
    right = np.array([not joint.startswith("left ") for joint in JOINTS])
    strongest = np.where(right, np.maximum(half.weights, mirrored), -1).argmax(1)
    names: NDArray[np.str_] = np.array([joint.removeprefix("right ") for joint in JOINTS])[strongest]
    return names


def tidy(parts: NDArray[np.str_], neighbours: Ints) -> NDArray[np.str_]:
    """Smooth borders by majority and leave one piece per part, until nothing changes.

    Args:
        parts: sideless names, (H,).
        neighbours: faces across the edges, (H, 3).

    Returns:
        New names, (H,).
    """
    names, codes = np.unique(parts, return_inverse=True)
    for _ in range(ROUNDS):
        before = codes.copy()
        for _ in range(SMOOTHING):
            for face, around in enumerate(neighbours):
                a, b, c = codes[around]
                if a in (b, c):
                    codes[face] = a
                elif b == c:
                    codes[face] = b
        _absorb_islands(codes, neighbours)
        if (codes == before).all():
            break
    return names[codes]


def _absorb_islands(codes: Ints, neighbours: Ints) -> None:
    """Give all but the largest piece of each part to the part that surrounds it most, in place."""
    for code in np.unique(codes):
        pieces = _pieces(codes == code, neighbours)
        for piece in sorted(pieces, key=len, reverse=True)[1:]:
            around = codes[neighbours[piece]].ravel()
            around = around[around != code]
            codes[piece] = np.bincount(around).argmax()


def _pieces(mask: Mask, neighbours: Ints) -> list[Ints]:
    """Connected groups of the masked faces."""
    start = np.repeat(np.arange(len(mask)), 3)
    end = neighbours.ravel()
    kept = mask[start] & mask[end]
    graph = sparse.coo_array((np.ones(kept.sum()), (start[kept], end[kept])), shape=(len(mask),) * 2)
    label = connected_components(graph, directed=False)[1]
    return [np.flatnonzero(mask & (label == value)) for value in np.unique(label[mask])]


def number_both_sides(
    parts: NDArray[np.str_], half: HalfBody, face_mirror: Ints, names: tuple[str, ...]
) -> NDArray[np.uint8]:
    """Spread sideless names of the right half over the whole mesh as ids.

    Args:
        parts: sideless names, (H,).
        half: says which faces they belong to.
        face_mirror: face on the other side, (F,).
        names: sided names in the order of their ids; unpaired ones have no side.

    Returns:
        Ids, (F,).
    """
    ids = np.zeros(len(face_mirror), np.uint8)
    for side, faces in (("right", half.faces), ("left", face_mirror[half.faces])):
        table = {name: names.index(name if name in names else f"{side} {name}") for name in np.unique(parts)}
        ids[faces] = [table[name] for name in parts]
    return ids
