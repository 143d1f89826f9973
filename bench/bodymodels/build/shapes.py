"""Shape space and joint regressor, fitted to samples of T-posed adults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from bench.bodymodels.build.skeleton import OTHER_SIDE, head_matrix, pose_globally, t_pose

if TYPE_CHECKING:
    from bench.bodymodels.build.source import NativeBody
    from bench.bodymodels.build.surface_mesh import SurfaceMesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BETAS = 10
CHUNK = 50
REFLECT = np.array([-1.0, 1, 1])
SUM_WEIGHT = 30.0  # of the equation "weights sum to one" in the regressor fit
CANDIDATES = 80
REACH = 0.25  # metres between a joint and the vertices of its skinning transition


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """People in the T-pose, pelvis joint at the origin, made symmetric."""

    vertices: Floats  # (S, V, 3)
    joints: Floats  # (S, 24, 3)
    heads: Floats  # (S, B, 3), native bone heads


def sample_adults(count: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draw adults: two gender modes, age between the native young and old, other traits mid-heavy."""
    low, high = rng.beta(1, 6, count), 1 - rng.beta(1, 6, count)
    return {
        "gender": np.where(rng.random(count) < 0.5, low, high),
        "age": rng.uniform(0.67, 0.95, count),
        "muscle": rng.beta(2.2, 2.2, count),
        "weight": rng.beta(2.2, 2.6, count),
        "height": np.clip(rng.normal(0.40, 0.075, count), 0.05, 0.95),
        "proportions": rng.beta(2, 2, count),
    }


def draw_samples(native: NativeBody, mesh: SurfaceMesh, count: int, rng: np.random.Generator) -> Samples:
    """Draw adults and bring them to the T-pose."""
    people = sample_adults(count, rng)
    vertices, heads = np.zeros((count, len(mesh.rows), 3)), np.zeros((count, len(native.bones), 3))
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        rest, bones = native.rest({key: value[part] for key, value in people.items()})
        transforms, heads[part] = pose_globally(native, bones, t_pose(native, bones))
        vertices[part] = skin(rest[:, mesh.rows], native.weights[mesh.rows], transforms)
    joints = head_matrix(native.bones) @ heads
    root = joints[:, :1]
    vertices, joints, heads = vertices - root, joints - root, heads - root
    return Samples(
        vertices=(vertices + vertices[:, mesh.mirror] * REFLECT) / 2,
        joints=(joints + joints[:, OTHER_SIDE] * REFLECT) / 2,
        heads=heads,
    )


def skin(vertices: Floats, weights: Floats, transforms: Floats) -> Floats:
    """Linear blend skinning: vertices (S, V, 3), weights (V, B), transforms (S, B, 3, 4) -> (S, V, 3)."""
    blended = np.einsum("vb,sbk->svk", weights, transforms.reshape(*transforms.shape[:2], 12), optimize=True)
    blended = blended.reshape(*vertices.shape[:2], 3, 4)
    posed: Floats = np.einsum("svij,svj->svi", blended[..., :3], vertices) + blended[..., 3]
    return posed


def principal_shapes(samples: Samples, mirror: Ints) -> tuple[Floats, Floats]:
    """Mean shape and the first principal directions.

    Returns:
        Mean (V, 3), exactly symmetric, and directions (V, 3, 10), each scaled by its standard deviation and
        signed so that a positive coefficient makes the body taller.
    """
    mean = samples.vertices.mean(0)
    mean = (mean + mean[mirror] * REFLECT) / 2
    centred = (samples.vertices - mean).reshape(len(samples.vertices), -1)
    directions = principal_directions(centred).reshape(*mean.shape, BETAS)
    directions = (directions + directions[mirror] * REFLECT[:, None]) / 2
    taller = np.sign(np.einsum("vk,v->k", directions[:, 1], np.sign(mean[:, 1])))
    return mean, directions * taller


def principal_directions(centred: Floats) -> Floats:
    """Return the ten strongest directions of centred samples (S, D), scaled by their deviations, (D, 10)."""
    # The Gram matrix of the samples is far smaller than their covariance; eigenvector u, direction X' u.
    _, vectors = np.linalg.eigh(centred @ centred.T)
    strongest = vectors[:, ::-1][:, :BETAS]
    directions: Floats = centred.T @ strongest / np.sqrt(len(centred) - 1)
    return directions


def fit_joint_regressor(samples: Samples, weights: Floats, mirror: Ints) -> Floats:
    """Sparse non-negative rows that give the 24 joints as weighted means of vertices.

    Candidates are vertices near the joint and those of its skinning transition. Rows sum to one; those of
    paired joints are mirror images.

    Args:
        samples: people in the T-pose.
        weights: skin weights, (V, 24).
        mirror: vertex on the other side, (V,).

    Returns:
        (24, V).
    """
    regressor = np.zeros((len(OTHER_SIDE), len(mirror)))
    for joint, other in enumerate(OTHER_SIDE):
        if other > joint:
            continue  # the right one of a pair comes second and is fitted
        row = regressor_row(samples.vertices, samples.joints[:, joint], weights[:, joint], CANDIDATES)
        regressor[joint] = row
        if other == joint:
            regressor[joint] = (row + row[mirror]) / 2
        else:
            regressor[other] = row[mirror]
    return regressor


def regressor_row(vertices: Floats, targets: Floats, weights: Floats, candidates: int) -> Floats:
    """Non-negative weights of vertices, with sum one, whose mean is a joint.

    Args:
        vertices: people, (S, V, 3).
        targets: their joint, (S, 3).
        weights: skin weights of the joint, (V,).
        candidates: vertices taken near the joint, and as many of its skinning transition.

    Returns:
        (V,).
    """
    distance = np.linalg.norm(vertices.mean(0) - targets.mean(0), axis=1)
    near = np.argsort(distance - 0.02 * weights, kind="stable")[: 3 * candidates]
    near = near[np.linspace(0, len(near) - 1, candidates).astype(int)]
    transition = weights * (1 - weights) * (distance < REACH)
    chosen = np.unique(np.append(near, np.argsort(-transition, kind="stable")[:candidates]))
    equations = vertices[:, chosen].transpose(0, 2, 1).reshape(-1, len(chosen))
    equations = np.concatenate([equations, np.full((1, len(chosen)), SUM_WEIGHT)])
    solution, _ = nnls(equations, np.append(targets.ravel(), SUM_WEIGHT))
    row = np.zeros(len(weights))
    row[chosen] = solution / solution.sum()
    return row


def symmetric_weights(weights: Floats, mirror: Ints, influences: int = 4) -> Floats:
    """Average both sides, keep the strongest joints of each vertex, and scale the rows to sum to one.

    Args:
        weights: skin weights, (V, 24).
        mirror: vertex on the other side, (V,).
        influences: joints kept per vertex.

    Returns:
        (V, 24), exactly symmetric.
    """
    return strongest_weights((weights + weights[mirror][:, OTHER_SIDE]) / 2, influences)


def strongest_weights(weights: Floats, influences: int = 4) -> Floats:
    """Keep the strongest joints of each vertex, drop ties for the last place, scale the rows to sum one."""
    least = -np.sort(-weights, axis=1)[:, influences - 1 : influences]
    tied = (weights >= least).sum(1, keepdims=True) > influences  # as left and right on the mid-plane
    pruned = np.where((weights > least) | ((weights == least) & ~tied), weights, 0)
    scaled: Floats = pruned / pruned.sum(1, keepdims=True)
    return scaled
