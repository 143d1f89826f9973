"""Kinematic chain space: what bones say about a skeleton, whatever its place and heading."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.bodymodels.joints import joint_set
from bench.losses.numerics import in_float32

JOINT_SET = "h36m17"


def bone_edges(variant: Literal["paper", "official"] = "paper") -> list[tuple[int, int]]:
    """Return start and end of each bone of the 17 joints of Human3.6M.

    Args:
        variant: `paper`: the 16 edges of the tree. `official`: the 15 of LiftedCL's released code, where one
            joins the left ankle to the spine in place of spine to thorax, and nose to head is missing.
    """
    parents = joint_set(JOINT_SET).parents
    edges = [(parent, joint) for joint, parent in enumerate(parents) if parent >= 0]
    if variant == "paper":
        return edges
    names = joint_set(JOINT_SET).names
    ankle, spine, thorax, nose, head = map(names.index, ("left ankle", "spine", "thorax", "nose", "head"))
    wrong = {(spine, thorax): (ankle, spine)}
    return [wrong.get(edge, edge) for edge in edges if edge != (nose, head)]


def bone_matrix(variant: Literal["paper", "official"] = "paper") -> Tensor:
    """Return the matrix C with C @ joints = bones: +1 at the start, -1 at the end, (bones, 17) float32."""
    edges = torch.tensor(bone_edges(variant))
    rows = torch.arange(len(edges))
    matrix = torch.zeros(len(edges), len(joint_set(JOINT_SET)))
    matrix[rows, edges[:, 0]], matrix[rows, edges[:, 1]] = 1.0, -1.0
    return matrix


@in_float32
def kinematic_chain(joints: Tensor, bones: Tensor) -> Tensor:
    """Multiply all bones with each other (RepNet, arXiv:1902.09868, Sec. 3.2).

    Args:
        joints: (N, J, 3).
        bones: (b, J), of `bone_matrix`.

    Returns:
        (N, b, b): squared lengths on the diagonal, inner products beside it; of rank 3, and the same for a
        skeleton that is turned or moved.
    """
    vectors = bones.to(joints.dtype) @ joints  # (N, b, 3)
    return vectors @ vectors.mT


@in_float32
def bone_shares(joints: Tensor, bones: Tensor) -> Tensor:
    """Return the length of each bone over that of all bones: (N, J, 3) and (b, J) give (N, b)."""
    lengths = torch.linalg.vector_norm(bones.to(joints.dtype) @ joints, dim=2)
    shares: Tensor = lengths / lengths.sum(1, keepdim=True).clamp(min=1e-12)
    return shares
