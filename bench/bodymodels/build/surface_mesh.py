"""From the native surface to 6,890 vertices and 13,776 faces, symmetric, with a hand of 778 and 1,538."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.build.decimation import Decimator
from bench.bodymodels.build.mesh import boundary_edges, euler_number, largest_piece
from bench.bodymodels.build.skeleton import JOINTS, merge_matrix

if TYPE_CHECKING:
    from bench.bodymodels.build.source import NativeBody

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERTICES, FACES = 6890, 13776
HAND_VERTICES, HAND_FACES = 778, 1538
WRIST_LOOP = 16  # HAND_FACES = 2 HAND_VERTICES - 2 - WRIST_LOOP
MIDDLE_VERTICES = 140  # at least; their parity decides whether VERTICES can be met exactly
MIDDLE = 1e-5  # metres; vertices nearer to the mid-plane lie on it
CUT = 0.028  # metres between the wrist and the plane that ends the hand

# Removing vertices here is cheaper or dearer than elsewhere.
CAVITY_WEIGHT, EAR_WEIGHT, TOE_WEIGHT, HEAD_WEIGHT = 0.02, 0.25, 0.6, 1.5
EAR_DISTANCE = 0.065  # from the mid-plane


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceMesh:
    """The decimated surface as rows of the native one."""

    rows: Ints  # (V,), rows of the native surface
    faces: Ints  # (F, 3)
    mirror: Ints  # (V,)
    hand: Ints  # (778,), vertices of the right hand


def decimate(native: NativeBody, t_posed: Floats, wrist_x: float) -> SurfaceMesh:
    """Decimate the right half and mirror it.

    Args:
        native: the source surface; its right half has x <= 0.
        t_posed: its vertices in the T-pose, (N, 3).
        wrist_x: x of the right wrist joint in the T-pose.

    Raises:
        ValueError: the counts cannot be met.
    """
    right = native.faces[(native.template[native.faces][:, :, 0] <= MIDDLE).all(1)]
    beyond = t_posed[right][:, :, 0].max(1) < wrist_x + CUT
    hand_faces = right[largest_piece(right, beyond)]
    loop_edges = boundary_edges(hand_faces)
    features = np.concatenate([boundary_edges(right), loop_edges])
    mesh = Decimator(native.template, right, _weights(native), features)
    in_hand = set(np.unique(hand_faces).tolist())
    on_loop = set(np.unique(loop_edges).tolist())
    in_middle = set(np.flatnonzero(np.abs(native.template[:, 0]) < MIDDLE).tolist())

    def count(group: set[int]) -> int:
        return sum(vertex in mesh.faces_at for vertex in group)

    def total() -> int:
        return 2 * len(mesh.faces_at) - count(in_middle)

    mesh.run(lambda a, b: a in on_loop and b in on_loop, lambda: count(on_loop) <= WRIST_LOOP)
    mesh.run(
        lambda a, b: a in in_hand and a not in on_loop and b in in_hand,
        lambda: count(in_hand) <= HAND_VERTICES,
    )
    mesh.run(
        lambda a, b: a not in in_hand and (a not in in_middle or count(in_middle) > MIDDLE_VERTICES),
        lambda: total() <= VERTICES + 1,
    )
    mesh.run(lambda a, b: a in in_middle, lambda: total() <= VERTICES)  # one more on the mid-plane if odd
    return _assemble(native, mesh.remaining(), in_hand)


def _weights(native: NativeBody) -> Floats:
    """Factor on the cost of removing each native vertex, (N,)."""
    moved = native.weights @ merge_matrix(native.bones)
    head = moved[:, JOINTS.index("head")] > 0.5
    toes = moved[:, [JOINTS.index("left foot"), JOINTS.index("right foot")]].sum(1) > 0.5
    weight = np.ones(len(moved))
    weight[native.cavity] = CAVITY_WEIGHT
    weight[head] = HEAD_WEIGHT
    weight[toes] = TOE_WEIGHT
    weight[head & (np.abs(native.template[:, 0]) > EAR_DISTANCE)] = EAR_WEIGHT
    return weight


def _assemble(native: NativeBody, right: Ints, in_hand: set[int]) -> SurfaceMesh:
    faces = np.concatenate([right, native.mirror[right][:, ::-1]])
    rows = np.unique(faces)
    number = np.full(len(native.mirror), -1)
    number[rows] = np.arange(len(rows))
    hand = number[[vertex for vertex in sorted(in_hand) if number[vertex] >= 0]]
    faces = number[faces]
    hand_faces = np.isin(faces, hand).all(1).sum()
    found = (len(rows), len(faces), len(hand), hand_faces, euler_number(faces))
    wanted = (VERTICES, FACES, HAND_VERTICES, HAND_FACES, 2)
    if found != wanted:
        raise ValueError(
            f"decimation ended with {found}, wanted {wanted} (vertices, faces, hand, hand faces, Euler)"
        )
    return SurfaceMesh(rows=rows, faces=faces, mirror=number[native.mirror[rows]], hand=hand)
