"""Distances along the body surface, computed once per mesh and kept as a memory-mapped table."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from bench.bodymodels.model import BodyModel, surrogate_body
from bench.files import sha256_file, write_atomic

STEP_M = 0.004  # one unit of the table
FARTHER = 255  # beyond the reach of the table
FULL_REACH_M = 1.018  # what 254 steps can hold, rounding included
SOURCES_AT_ONCE = 256

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def geodesic_matrix(
    cache_dir: Path, model: BodyModel | None = None, reach_m: float = FULL_REACH_M
) -> NDArray[np.uint8]:
    """Distances between all pairs of vertices; computed on first use, read from `cache_dir` later.

    Shortest paths run along the edges and across pairs of unfolded triangles; on a body they exceed the exact
    distances by a few millimetres up to 0.3 m, and by about 1 cm on the whole.

    Args:
        cache_dir: folder for the table, 47 MB for the surrogate body; made if missing.
        model: the mesh; the surrogate body by default.
        reach_m: longest distance of interest, at most 1.018. Less is faster to compute: 0.35 m is enough for
            scores up to 30 cm.

    Returns:
        Read-only memory map (V, V) in steps of 4 mm, 255 = farther than `reach_m`; see `distance_m`.
    """
    body = surrogate_body() if model is None else model
    reach = min(reach_m, FULL_REACH_M)
    digest = hashlib.sha256(body.v_template.tobytes() + body.faces.tobytes()).hexdigest()[:12]
    path = cache_dir / f"geodesics-{digest}-{round(reach * 1000)}mm.npy"
    if not _is_intact(path):
        _write(path, compute_geodesics(body.v_template, body.faces, reach, body.mirror))
    table: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return table


def distance_m(matrix: NDArray[np.uint8], first: ArrayLike, second: ArrayLike) -> Floats:
    """Read distances between vertices.

    Args:
        matrix: table of `geodesic_matrix`, (V, V).
        first: vertex ids, (N,).
        second: vertex ids, (N,).

    Returns:
        Metres, (N,), good to 2 mm; inf where the table does not reach.
    """
    steps = np.asarray(matrix[np.asarray(first), np.asarray(second)])
    return np.where(steps == FARTHER, np.inf, steps * STEP_M)


def compute_geodesics(
    vertices: ArrayLike, faces: NDArray[np.integer], reach_m: float, mirror: NDArray[np.integer] | None = None
) -> NDArray[np.uint8]:
    """Table of distances between all pairs of vertices of a closed mesh.

    Args:
        vertices: positions in metres, (V, 3).
        faces: vertex ids, (F, 3).
        reach_m: longest distance of interest, metres.
        mirror: vertex on the other side of a symmetric mesh, (V,); halves the work.

    Returns:
        Symmetric table (V, V) in steps of 4 mm, 255 = farther than `reach_m`.
    """
    graph = surface_graph(np.asarray(vertices, np.float64), faces.astype(np.int64))
    count = graph.shape[0]
    table = np.empty((count, count), np.uint8)
    everyone = np.arange(count)
    sources = everyone if mirror is None else np.flatnonzero(everyone <= mirror)
    for start in range(0, len(sources), SOURCES_AT_ONCE):
        chunk = sources[start : start + SOURCES_AT_ONCE]
        metres = dijkstra(graph, directed=False, indices=chunk, limit=reach_m)
        near = np.isfinite(metres)
        rows = np.where(near, np.rint(np.where(near, metres, 0) / STEP_M), FARTHER).astype(np.uint8)
        table[chunk] = rows
        if mirror is not None:
            table[mirror[chunk]] = rows[:, mirror]
    return np.minimum(table, table.T)  # path sums differ in the last bit with the direction


def surface_graph(vertices: Floats, faces: Ints) -> sparse.csr_array:
    """Graph of a mesh: its edges, and the straight line across each pair of neighbouring faces laid flat.

    Args:
        vertices: positions in metres, (V, 3).
        faces: vertex ids, (F, 3).

    Returns:
        Lengths in metres, (V, V), each pair stored once.
    """
    edge, opposite = _edges_with_opposites(faces)
    a, b = vertices[edge[:, 0]], vertices[edge[:, 1]]
    length = np.linalg.norm(b - a, axis=1)
    rows, columns, lengths = [edge[:, 0]], [edge[:, 1]], [length]
    inner = opposite[:, 1] >= 0
    a, b, length = a[inner], b[inner], length[inner]
    x, y = zip(*(_unfold(vertices[opposite[inner, side]], a, b, length) for side in (0, 1)), strict=True)
    crossing = x[0] + (x[1] - x[0]) * y[0] / np.maximum(y[0] + y[1], 1e-12)
    straight = (crossing > 0) & (crossing < length)
    rows.append(opposite[inner][straight, 0])
    columns.append(opposite[inner][straight, 1])
    lengths.append(np.hypot(x[0] - x[1], y[0] + y[1])[straight])
    low = np.minimum(np.concatenate(rows), np.concatenate(columns))
    high = np.maximum(np.concatenate(rows), np.concatenate(columns))
    return _shortest_of_duplicates(low, high, np.concatenate(lengths), len(vertices))


def _edges_with_opposites(faces: Ints) -> tuple[Ints, Ints]:
    """Edges (E, 2) and the far corner of the one or two faces at each, (E, 2), -1 where there is none."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    corner = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    edge, group = np.unique(ends, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    group, corner = group[order], corner[order]
    first = np.searchsorted(group, np.arange(len(edge)))
    second = np.minimum(first + 1, len(group) - 1)
    paired = (group[second] == np.arange(len(edge))) & (second > first)
    return edge, np.stack([corner[first], np.where(paired, corner[second], -1)], 1)


def _unfold(corner: Floats, a: Floats, b: Floats, length: Floats) -> tuple[Floats, Floats]:
    """Place of a corner along the edge a-b and its distance from the edge, (E,) each."""
    along = ((corner - a) * (b - a)).sum(1) / length
    aside = np.sqrt(np.maximum(((corner - a) ** 2).sum(1) - along**2, 0))
    return along, aside


def _shortest_of_duplicates(low: Ints, high: Ints, length: Floats, count: int) -> sparse.csr_array:
    order = np.lexsort((length, high, low))
    low, high, length = low[order], high[order], length[order]
    fresh = np.ones(len(low), bool)
    fresh[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return sparse.csr_array((length[fresh], (low[fresh], high[fresh])), shape=(count, count))


def _is_intact(path: Path) -> bool:
    seal = path.with_suffix(".sha256")
    return path.is_file() and seal.is_file() and seal.read_bytes().strip() == sha256_file(path).encode()


def _write(path: Path, table: NDArray[np.uint8]) -> None:
    """Write the table, then its checksum."""
    write_atomic(path, lambda file: np.save(file, table))
    write_atomic(path.with_suffix(".sha256"), sha256_file(path))
