"""Small topology queries on triangle meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def directed_edges(faces: Ints) -> Ints:
    """The three edges of each face in its own direction, (3F, 2); edge k * F + f belongs to face f."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def boundary_edges(faces: Ints) -> Ints:
    """Edges with a face on one side only, (E, 2), smaller vertex first."""
    edges, count = np.unique(np.sort(directed_edges(faces), 1), axis=0, return_counts=True)
    return np.asarray(edges[count == 1])


def neighbour_pairs(faces: Ints) -> Ints:
    """Pairs of faces that share an edge, (P, 2), each pair once."""
    edges = np.sort(directed_edges(faces), 1)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    same = (edges[order[1:]] == edges[order[:-1]]).all(1)
    return np.stack([order[:-1][same], order[1:][same]], 1) % len(faces)


def face_components(faces: Ints, kept: NDArray[np.bool_] | None = None) -> Ints:
    """Number the edge-connected pieces: (F,) labels; faces outside `kept` are pieces of their own."""
    pairs = neighbour_pairs(faces)
    if kept is not None:
        pairs = pairs[kept[pairs].all(1)]
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(faces),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def largest_piece(faces: Ints, kept: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Mask (F,) of the largest edge-connected piece among the faces of `kept` (all faces by default)."""
    label = face_components(faces, kept)
    counted = label if kept is None else label[kept]
    mask: NDArray[np.bool_] = label == np.bincount(counted).argmax()
    return mask


def boundary_loops(faces: Ints) -> list[list[int]]:
    """Closed boundary loops of a patch as vertex lists, in the direction of the faces, longest first.

    Raises:
        ValueError: a vertex lies on two loops, so the patch is pinched there.
    """
    edges = directed_edges(faces)
    reverse = {(int(b), int(a)) for a, b in edges}
    follow: dict[int, int] = {}
    for a, b in edges.tolist():
        if (a, b) in reverse:
            continue
        if a in follow:
            raise ValueError(f"the patch is pinched at vertex {a}")
        follow[a] = b
    loops = []
    while follow:
        start = min(follow)
        loop, current = [start], follow.pop(start)
        while current != start:
            loop.append(current)
            current = follow.pop(current)
        loops.append(loop)
    return sorted(loops, key=len, reverse=True)


def euler_number(faces: Ints) -> int:
    """Vertices - edges + faces: 2 for a closed sphere, 1 for a disc."""
    edges = np.unique(np.sort(directed_edges(faces), 1), axis=0)
    return len(np.unique(faces)) - len(edges) + len(faces)


def face_normals(vertices: Floats, faces: Ints) -> Floats:
    """Unit normals (F, 3); flat faces get zeros."""
    cross = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    normals: Floats = cross / np.where(length > 0, length, 1)
    return normals


def mirror_faces(faces: Ints, mirror: Ints) -> Ints:
    """For each face the face on the other side of a symmetric mesh, (F,)."""
    table = {tuple(sorted(face)): index for index, face in enumerate(faces.tolist())}
    return np.array([table[tuple(sorted(face))] for face in mirror[faces].tolist()])
