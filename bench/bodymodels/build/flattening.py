"""Spread a one-to-one map of a disc until lengths are kept as well as possible.

Minimises the symmetric Dirichlet energy (Smith and Schaefer 2015) over the inner and the boundary vertices.
The energy grows without bound as a triangle collapses and the steps stop short of that, so none ever flips.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEPS = 2000
MEMORY = 10  # pairs of the quasi-Newton method
ENOUGH = 1e-6  # relative decrease of the energy over one step
SHORT_OF_FLIP = 0.8
PATIENCE = 20  # steps with a smaller decrease before the search ends


class Flattening:
    """Energy of a plane map (n, 2) of a disc in space."""

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        """Lay every face into its own plane.

        Args:
            vertices: positions, (n, 3).
            faces: the disc, (f, 3).
        """
        self.faces = faces
        a, b, c = (vertices[faces[:, k]] for k in range(3))
        along = np.linalg.norm(b - a, axis=1)
        x = ((c - a) * (b - a)).sum(1) / along
        y = np.sqrt(np.maximum(((c - a) ** 2).sum(1) - x**2, 1e-20))
        zero = np.zeros_like(x)
        flat = np.stack([np.stack([along, x], 1), np.stack([zero, y], 1)], 1)  # (f, 2, 2), edges in columns
        self.inverse = np.linalg.inv(flat)
        self.area = along * y / 2
        slopes = np.concatenate(
            [-self.inverse.sum(1, keepdims=True), self.inverse], 1
        )  # (f, 3, 2), of the corners
        stiffness = np.einsum("f,fid,fjd->fij", self.area, slopes, slopes)
        rows, columns = np.repeat(faces, 3, 1).ravel(), np.tile(faces, 3).ravel()
        matrix = sparse.csc_array((stiffness.ravel(), (rows, columns)), shape=(len(vertices),) * 2)
        tiny = 1e-8 * matrix.diagonal().mean()
        self.precondition = splu((matrix + tiny * sparse.eye_array(len(vertices))).tocsc()).solve
        self.slopes = slopes

    def edges(self, uv: Floats) -> Floats:
        """Two edges of every face as columns, (f, 2, 2)."""
        corner = uv[self.faces]
        return np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], 2)

    def value(self, uv: Floats) -> float:
        """Energy; infinite if a face is flipped. An isometry has four times the area."""
        jacobian = self.edges(uv) @ self.inverse
        turn = np.linalg.det(jacobian)
        if turn.min() <= 0:
            return np.inf
        return float((self.area * (jacobian**2).sum((1, 2)) * (1 + turn**-2)).sum())

    def gradient(self, uv: Floats) -> Floats:
        """Derivative of the energy, (n, 2)."""
        jacobian = self.edges(uv) @ self.inverse
        turn = np.linalg.det(jacobian)[:, None, None]
        cofactor = np.stack(
            [
                np.stack([jacobian[:, 1, 1], -jacobian[:, 1, 0]], 1),
                np.stack([-jacobian[:, 0, 1], jacobian[:, 0, 0]], 1),
            ],
            1,
        )
        square = (jacobian**2).sum((1, 2), keepdims=True)
        slope = 2 * self.area[:, None, None] * (jacobian * (1 + turn**-2) - square * turn**-3 * cofactor)
        corner = np.einsum("fab,fib->fia", slope, self.slopes)  # (f, 3, 2)
        total = np.zeros_like(uv)
        np.add.at(total, self.faces, corner)
        return total

    def longest_step(self, uv: Floats, move: Floats) -> float:
        """Largest t so that no face of uv + t move has flipped; inf if none ever does."""
        start, change = self.edges(uv), self.edges(move)
        mixed = start + change
        constant, square = np.linalg.det(start), np.linalg.det(change)
        linear = np.linalg.det(mixed) - constant - square
        return _smallest_positive_root(square, linear, constant)


def _smallest_positive_root(square: Floats, linear: Floats, constant: Floats) -> float:
    """Over all a t^2 + b t + c with c > 0."""
    inside = linear**2 - 4 * square * constant
    real = inside >= 0
    a, b, c = square[real], linear[real], constant[real]
    half = -(b + np.where(b < 0, -1, 1) * np.sqrt(inside[real])) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.concatenate([half / a, c / half])
    roots = roots[np.isfinite(roots) & (roots > 0)]
    return float(roots.min()) if len(roots) else np.inf


def flatten(vertices: Floats, faces: Ints, uv: Floats) -> Floats:
    """Improve a one-to-one map of a disc; its outline may move.

    Args:
        vertices: positions, (n, 3).
        faces: the disc, (f, 3).
        uv: a map without flipped faces, (n, 2).

    Returns:
        A map in the units of the positions, (n, 2).
    """
    problem = Flattening(vertices, faces)
    turn = np.linalg.det(problem.edges(uv)).sum() / 2
    point: Floats = uv * np.sqrt(problem.area.sum() / turn)
    energy, gradient = problem.value(point), problem.gradient(point)
    pairs: deque[tuple[Floats, Floats]] = deque(maxlen=MEMORY)
    idle = 0
    for _ in range(STEPS):
        move = -_quasi_newton(problem, gradient, pairs)
        step = min(1.0, SHORT_OF_FLIP * problem.longest_step(point, move))
        slope = float((gradient * move).sum())
        while problem.value(point + step * move) > energy + 1e-4 * step * slope:
            step /= 2
            if step < 1e-12:
                return point
        fresh = point + step * move
        fresh_energy, fresh_gradient = problem.value(fresh), problem.gradient(fresh)
        if ((fresh - point) * (fresh_gradient - gradient)).sum() > 0:
            pairs.append((fresh - point, fresh_gradient - gradient))
        idle = idle + 1 if energy - fresh_energy < ENOUGH * energy else 0
        point, energy, gradient = fresh, fresh_energy, fresh_gradient
        if idle == PATIENCE:
            break
    return point


def _quasi_newton(problem: Flattening, gradient: Floats, pairs: deque[tuple[Floats, Floats]]) -> Floats:
    """Two-loop recursion of L-BFGS; the Dirichlet energy stands in for the first Hessian."""
    direction = gradient.copy()
    shares = []
    for moved, changed in reversed(pairs):
        share = (moved * direction).sum() / (moved * changed).sum()
        direction -= share * changed
        shares.append(share)
    direction = np.asarray(problem.precondition(direction))
    for (moved, changed), share in zip(pairs, reversed(shares), strict=True):
        direction += moved * (share - (changed * direction).sum() / (moved * changed).sum())
    return direction
