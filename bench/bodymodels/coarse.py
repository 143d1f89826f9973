"""Coarse meshes: some vertices of a body, spread evenly, and the fixed linear map to all others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.model import BodyModel
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEIGHBOURS = 12  # coarse vertices that one other vertex follows
POSES = 64  # random bodies that the map is fitted to
BEND = 0.35  # standard deviation of their joint rotations, radians per axis
RIDGE = 1e-4  # relative to the mean square of the coarse vertices about the nearest one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoarseMesh:
    """C vertices of a body and how all V follow from them."""

    vertices: Ints  # (C,), numbers of vertices of the body, ascending
    upsampling: sparse.csr_array  # (V, C) float64, rows sum to 1; vertices = upsampling @ coarse


@cache
def coarse_mesh(model: BodyModel, count: int) -> CoarseMesh:
    """Choose vertices by farthest points on the rest shape, and fit the way back; always the same for a body.

    A vertex follows the nearest coarse ones by weights that sum to 1, fitted by least squares to random
    bodies. METRO (arXiv:2012.09760, Sec. 3.3) learns this map instead; a fixed one costs no parameters.

    Args:
        model: the body.
        count: C, vertices wanted.

    Raises:
        ConfigError: fewer than a vertex has neighbours, or more than the body has.
    """
    total = len(model.v_template)
    if not NEIGHBOURS <= count <= total:
        raise ConfigError(f"a coarse mesh of {model.name} has {NEIGHBOURS} to {total} vertices, not {count}")
    rest = model.v_template.astype(np.float64)
    chosen = np.sort(farthest_points(rest, count))
    near = cKDTree(rest[chosen]).query(rest, NEIGHBOURS)[1].astype(np.int64)  # (V, K), nearest first
    weights = _fit(_random_bodies(model), chosen, near)
    weights[chosen] = np.eye(NEIGHBOURS)[0]  # a coarse vertex is its own nearest one
    rows = np.repeat(np.arange(total), NEIGHBOURS)
    matrix = sparse.csr_array((weights.ravel(), (rows, near.ravel())), shape=(total, count))
    matrix.eliminate_zeros()
    return CoarseMesh(vertices=chosen, upsampling=matrix)


def farthest_points(points: Floats, count: int) -> Ints:
    """Choose points one by one, each the farthest from all before; the first is the farthest from the mean.

    Args:
        points: (P, 3).
        count: at most P.

    Returns:
        Positions in the order of their choice, (count,).
    """
    chosen = [int(((points - points.mean(0)) ** 2).sum(1).argmax())]
    gap = np.full(len(points), np.inf)
    while len(chosen) < count:
        gap = np.minimum(gap, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(gap.argmax()))
    return np.array(chosen, np.int64)


def _random_bodies(model: BodyModel) -> Floats:
    """Return vertices of random shapes and poses, (POSES, V, 3), always the same ones."""
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(POSES, model.shapedirs.shape[2]))
    rotations = axis_angle_to_matrix(BEND * rng.normal(size=(POSES, len(model.parents), 3)))
    body = TorchBody(model)
    parts = [
        body(*(torch.tensor(a[k : k + 8], dtype=torch.float32) for a in (betas, rotations)))[0]
        for k in range(0, POSES, 8)
    ]
    return torch.cat(parts).double().numpy()


def _fit(bodies: Floats, chosen: Ints, near: Ints) -> Floats:
    """Return least-squares weights of the near coarse vertices, (V, K); each row sums to 1."""
    total, others = len(near), near.shape[1] - 1
    normal, right = np.zeros((total, others, others)), np.zeros((total, others))
    for vertices in bodies:
        corners = vertices[chosen][near]  # (V, K, 3)
        offsets = corners[:, 1:] - corners[:, :1]  # about the nearest, so that weights sum to 1
        normal += offsets @ offsets.transpose(0, 2, 1)
        right += np.einsum("vkd,vd->vk", offsets, vertices - corners[:, 0])
    size = np.trace(normal, axis1=1, axis2=2) / others
    normal += (RIDGE * size)[:, None, None] * np.eye(others)
    found = np.linalg.solve(normal, right[..., None])[..., 0]
    return np.concatenate([1 - found.sum(1, keepdims=True), found], 1)
