"""Signed distances of solids and the closing of one finger, compiled with numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BOX, CAPSULE = 1, 2  # as in `bench.synth.scene`; anything else is a sphere


@kernel()
def signed_distance(kinds: Ints, centres: Floats, axes: Floats, halves: Floats, point: Floats) -> float:
    """Distance from a point (3,) to the nearest of P solids; negative inside. See `Held`."""
    nearest = np.inf
    for p in range(len(kinds)):
        x, y, z = point[0] - centres[p, 0], point[1] - centres[p, 1], point[2] - centres[p, 2]
        u = axes[p, 0, 0] * x + axes[p, 0, 1] * y + axes[p, 0, 2] * z
        if kinds[p] == BOX:
            v = axes[p, 1, 0] * x + axes[p, 1, 1] * y + axes[p, 1, 2] * z
            w = axes[p, 2, 0] * x + axes[p, 2, 1] * y + axes[p, 2, 2] * z
            a, b, c = abs(u) - halves[p, 0], abs(v) - halves[p, 1], abs(w) - halves[p, 2]
            outside = np.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2 + max(c, 0.0) ** 2)
            found = outside + min(max(a, max(b, c)), 0.0)
        else:
            if kinds[p] == CAPSULE:  # take the nearest point of the middle line as the centre
                along = min(max(u, -halves[p, 1]), halves[p, 1])
                x, y, z = x - along * axes[p, 0, 0], y - along * axes[p, 0, 1], z - along * axes[p, 0, 2]
            found = np.sqrt(x * x + y * y + z * z) - halves[p, 0]
        nearest = min(nearest, found)
    return nearest


@kernel()
def distances(
    kinds: Ints, centres: Floats, axes: Floats, halves: Floats, points: Floats, out: Floats
) -> None:
    """Fill `out` (N,) with the signed distances of points (N, 3)."""
    for n in range(len(points)):
        out[n] = signed_distance(kinds, centres, axes, halves, points[n])


@kernel()
def _deepest_touch(
    vertices: Floats, weights: Floats, owner: Ints, joints: Floats, turns: Floats, state: Ints,
    kinds: Ints, centres: Floats, axes: Floats, halves: Floats, margin: float, moves: Floats, point: Floats,
) -> int:  # fmt: skip
    """Last phalanx (0, 1, 2) that comes nearer to the solids than the margin; -1 = none.

    `moves` (3, 3, 4) and `point` (3,) are scratch: rest to posed of the three phalanges.
    """
    for k in range(3):
        local = turns[k, state[k]]
        for i in range(3):
            for j in range(3):
                if k == 0:
                    moves[0, i, j] = local[i, j]
                else:
                    moves[k, i, j] = (
                        moves[k - 1, i, 0] * local[0, j]
                        + moves[k - 1, i, 1] * local[1, j]
                        + moves[k - 1, i, 2] * local[2, j]
                    )
        for i in range(3):
            placed = joints[k, i]
            if k > 0:  # where the parent takes the joint
                placed = moves[k - 1, i, 3]
                for j in range(3):
                    placed += moves[k - 1, i, j] * joints[k, j]
            moves[k, i, 3] = placed
            for j in range(3):
                moves[k, i, 3] -= moves[k, i, j] * joints[k, j]
    hit = -1
    for v in range(len(vertices)):
        if owner[v] <= hit:
            continue
        for i in range(3):
            point[i] = weights[v, 0] * vertices[v, i]
            for k in range(3):
                point[i] += weights[v, k + 1] * (
                    moves[k, i, 0] * vertices[v, 0]
                    + moves[k, i, 1] * vertices[v, 1]
                    + moves[k, i, 2] * vertices[v, 2]
                    + moves[k, i, 3]
                )
        if signed_distance(kinds, centres, axes, halves, point) < margin:
            hit = owner[v]
    return hit


@kernel()
def close_finger(
    vertices: Floats, weights: Floats, owner: Ints, joints: Floats, turns: Floats, state: Ints,
    kinds: Ints, centres: Floats, axes: Floats, halves: Floats, margin: float, moves: Floats, point: Floats,
) -> None:  # fmt: skip
    """Close a finger step by step; a joint stops when a phalanx that it moves touches, those beyond go on.

    A finger that touches at the start first opens until it does not; if it cannot, it stays as it was.

    Args:
        vertices: of the finger at rest, (n, 3).
        weights: of the palm and the three phalanges, (n, 4).
        owner: phalanx that moves each vertex most, 0 to 2, (n,).
        joints: at rest, (3, 3).
        turns: local rotation of each joint at each step, (3, S, 3, 3).
        state: step of each joint, (3,); the start, then the result.
        kinds: of the solids, (P,); see `Held` for these and the next three.
        centres: (P, 3).
        axes: (P, 3, 3).
        halves: (P, 3).
        margin: distance that counts as touching, metres.
        moves: scratch, (3, 3, 4).
        point: scratch, (3,).
    """
    last = turns.shape[1] - 1
    hit = _deepest_touch(
        vertices, weights, owner, joints, turns, state, kinds, centres, axes, halves, margin, moves, point
    )
    start, first = state[0], 0
    while hit >= 0 and state[0] > 0:
        first = max(first, hit + 1)
        for k in range(3):
            state[k] -= 1
        hit = _deepest_touch(
            vertices, weights, owner, joints, turns, state, kinds, centres, axes, halves, margin, moves, point
        )
    if hit >= 0:
        for k in range(3):
            state[k] = start
        return
    while first < 3 and state[2] < last:
        for k in range(first, 3):
            state[k] += 1
        hit = _deepest_touch(
            vertices, weights, owner, joints, turns, state, kinds, centres, axes, halves, margin, moves, point
        )
        if hit >= 0:
            for k in range(first, 3):
                state[k] -= 1
            first = max(first, hit) + 1
