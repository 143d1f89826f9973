"""The body model: a linear shape space, sparse pose correctives and blend skinning.

Frame: y up, the body faces +z, its left is +x, metres, origin at the pelvis joint of the mean shape. The zero
pose is the T-pose. The array layout is that of SMPL (ACM TOG 34(6)), so licensed files can take the place of
the surrogate that ships with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from bench.bodymodels.formats import check_numbers, dense_arrays, read_arrays
from bench.bodymodels.rotations import forward_kinematics
from bench.errors import AssetError, DataError

Single = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

SURROGATE_FILE = "surrogate_body.npz"
HAND_FILE = "surrogate_hand.npz"
LEAST_INFLUENCES = 4  # columns of weight_ids; more only where a file needs them
ROOT = 2**32 - 1  # parent of the root in `kintree_table`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BodyModel:
    """Arrays of one body and the two steps that use them: identity to rest shape, rotations to posed mesh."""

    name: str  # "surrogate-v1", or the stem of a licensed file
    v_template: Single  # (V, 3)
    shapedirs: Single  # (V, 3, B)
    posedirs: sparse.csr_array  # (3V, 9 (J - 1)) float32, row 3 v + axis
    joint_regressor: sparse.csr_array  # (J, V) float64
    weights: Single  # (V, J), rows sum to 1
    weight_ids: Ints  # (V, K), K >= 4, strongest first
    weight_values: Single  # (V, K)
    parents: Ints  # (J,), root -1
    faces: Ints  # (F, 3), counter-clockwise from outside
    mirror: Ints | None = None  # (V,), vertex on the other side of the body
    hand_vertex_ids: Ints | None = None  # (778,), right hand
    landmarks: dict[str, int] | None = None  # named surface points -> vertex

    def shape(self, betas: ArrayLike) -> tuple[Single, Floats]:
        """Rest shape of an identity.

        Args:
            betas: shape coefficients in standard deviations, (B',) with B' <= B; the rest counts as zero.

        Returns:
            Vertices (V, 3) and joints (J, 3) in the T-pose, metres.

        Raises:
            DataError: more coefficients than the model has.
        """
        given = np.asarray(betas, np.float32)
        if given.ndim != 1 or len(given) > self.shapedirs.shape[2]:
            raise DataError(
                f"betas of shape {given.shape} do not fit {self.name}:"
                f" pass at most {self.shapedirs.shape[2]} numbers"
            )
        full = np.zeros(self.shapedirs.shape[2], np.float32)
        full[: len(given)] = given
        offsets = self.shapedirs.reshape(-1, len(full)) @ full  # flat: one fast product
        vertices = self.v_template + offsets.reshape(-1, 3)
        return vertices, self.joint_regressor @ vertices.astype(np.float64)

    def pose(
        self, vertices: Single, joints: Floats, rotations: ArrayLike, translation: ArrayLike | None = None
    ) -> tuple[Single, Floats, Floats]:
        """Pose a rest shape.

        Args:
            vertices: rest shape, (V, 3), from `shape`.
            joints: its joints, (J, 3), from `shape`.
            rotations: local joint rotations, (J, 3, 3).
            translation: added at the end, metres, (3,).

        Returns:
            Vertices (V, 3), joints (J, 3) and global joint rotations (J, 3, 3).
        """
        local = np.asarray(rotations, np.float64)
        turned, placed = forward_kinematics(local[None], joints[None], self.parents)
        moved = placed[0] - np.einsum("jik,jk->ji", turned[0], joints)
        transforms = np.concatenate([turned[0], moved[..., None]], 2).astype(np.float32)  # (J, 3, 4)
        feature = (local[1:] - np.eye(3)).reshape(-1).astype(np.float32)  # (9 (J - 1),)
        posed = self.skin(np.ascontiguousarray(vertices, np.float32), transforms, feature)
        if translation is None:
            return posed, placed[0], turned[0]
        offset = np.asarray(translation, np.float64)
        return posed + offset.astype(np.float32), placed[0] + offset, turned[0]

    def skin(self, vertices: Single, transforms: Single, feature: Single) -> Single:
        """Move the vertices of a rest shape.

        Args:
            vertices: metres, (V, 3), contiguous.
            transforms: of each joint, rest to posed, (J, 3, 4).
            feature: rotations minus identity of joints 1.., (9 (J - 1),).

        Returns:
            Posed vertices, (V, 3).
        """
        from bench.bodymodels.skinning_numba import skin  # loads numba, which reading labels does not need

        out = np.empty_like(vertices)
        bumps = self.posedirs
        skin(
            vertices, self.weight_ids, self.weight_values, transforms,
            bumps.indptr, bumps.indices, bumps.data, feature, out,
        )  # fmt: skip
        return out


@cache
def surrogate_body() -> BodyModel:
    """The body that ships with the package, 6,890 vertices, 24 joints, 10 betas; loaded once."""
    with resources.as_file(resources.files("bench.bodymodels") / "assets" / SURROGATE_FILE) as path:
        return load_body_model(path)


@cache
def surrogate_hand() -> BodyModel:
    """The right hand that ships with the package, in MANO's layout; loaded once.

    778 vertices (the body's `hand_vertex_ids`, same order), 1,538 faces, the 16 joints of `mano16`, 10 betas
    of its own, no pose correctives. Fingers point along -x, the palm faces -y, the thumb lies at +z; the
    origin is at the wrist joint of the mean shape. `landmarks` are the five finger tips.
    """
    with resources.as_file(resources.files("bench.bodymodels") / "assets" / HAND_FILE) as path:
        return load_body_model(path)


def load_body_model(path: str | Path) -> BodyModel:
    """Read a body model: the compact npz of the surrogate, or a dense SMPL-like `.npz` or `.pkl`.

    Pickles go through a restricted unpickler: nothing but arrays can come out of them.

    Raises:
        AssetError: the file is missing, not a body model, or its pickle names more than
            arrays.
    """
    source = Path(path)
    if not source.is_file():
        raise AssetError(f"no body model at {source}: give the path of a .npz or .pkl file")
    return build_body_model(read_arrays(source), source)


def build_body_model(arrays: dict[str, Any], source: Path) -> BodyModel:
    """Check the arrays of a model file and put them together; `source` names it in errors."""
    dense = dense_arrays(arrays, source)
    weights = np.asarray(dense["weights"], np.float64)
    vertices, joints = weights.shape
    regressor = _regressor(dense["J_regressor"], source)
    betas = dense["shapedirs"].shape[-1] if dense["shapedirs"].ndim else 0
    for key, matrix in (("posedirs", dense["posedirs"]), ("J_regressor", regressor)):
        try:
            sparse.csr_array(matrix).check_format(full_check=True)  # kernels trust its indices
        except ValueError as error:
            raise AssetError(f"{source}: {key} is a damaged sparse matrix ({error})") from error
    shapes = {
        "v_template": (dense["v_template"].shape, (vertices, 3)),
        "shapedirs": (dense["shapedirs"].shape, (vertices, 3, betas)),
        "posedirs": (dense["posedirs"].shape, (3 * vertices, 9 * (joints - 1))),
        "J_regressor": (regressor.shape, (joints, vertices)),
        "kintree_table": (np.shape(dense["kintree_table"]), (2, joints)),
    }
    for key, (found, wanted) in shapes.items():
        if tuple(found) != wanted:
            raise AssetError(
                f"{source}: {key} has shape {tuple(found)}, wanted {wanted}; is this a body model?"
            )
    if (weights < 0).any() or not (weights.sum(1) > 0).all():
        raise AssetError(f"{source}: weights has negative values, or vertices that no joint moves")
    weights = weights / weights.sum(1, keepdims=True)
    parents = _parents(dense["kintree_table"], source)
    faces = _vertices(dense["f"], "f", (np.size(dense["f"]) // 3, 3), vertices, source)
    influences = max(LEAST_INFLUENCES, int((weights > 0).sum(1).max()))
    ids = np.argsort(-weights, axis=1, kind="stable")[:, :influences]
    return BodyModel(
        name=str(arrays.get("model_name", source.stem)),
        v_template=np.ascontiguousarray(dense["v_template"], np.float32),
        shapedirs=np.ascontiguousarray(dense["shapedirs"], np.float32),
        posedirs=_int32_csr(dense["posedirs"]),
        joint_regressor=regressor,
        weights=weights.astype(np.float32),
        weight_ids=ids.astype(np.int32),
        weight_values=np.take_along_axis(weights, ids, 1).astype(np.float32),
        parents=parents,
        faces=faces,
        mirror=_optional(arrays, "mirror", vertices, source),
        hand_vertex_ids=_optional(arrays, "hand_vertex_ids", vertices, source),
        landmarks=_landmarks(arrays, vertices, source),
    )


def _int32_csr(matrix: Any) -> sparse.csr_array:
    csr = sparse.csr_array(matrix, dtype=np.float32)
    csr.indices, csr.indptr = csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
    return csr


def _regressor(matrix: Any, source: Path) -> sparse.csr_array:
    if np.ndim(matrix) != 2 and not sparse.issparse(matrix):
        raise AssetError(f"{source}: J_regressor has shape {np.shape(matrix)}, wanted (joints, vertices)")
    return sparse.csr_array(matrix, dtype=np.float64)


def _parents(table: NDArray[Any], source: Path) -> Ints:
    """Parent of each joint; parents come first, so that there is no cycle."""
    parents, joints = np.asarray(table, np.int64)
    parents = np.where((parents == ROOT) | (parents < 0), -1, parents)
    places = np.arange(len(parents))
    wrong = (joints != places) | (parents >= places) | ((parents < 0) != (places == 0))
    if wrong.any():
        joint = int(wrong.argmax())
        raise AssetError(
            f"{source}: kintree_table gives joint {joint} the parent {parents[joint]}; joints must be "
            "numbered from 0, the root, each after its parent"
        )
    return parents.astype(np.int32)


def _vertices(values: Any, key: str, shape: tuple[int, ...], count: int, source: Path) -> Ints:
    """Check an array of vertex ids."""
    check_numbers(values, key, source)
    if values.shape != shape or (values % 1 != 0).any() or (values < 0).any() or (values >= count).any():
        raise AssetError(
            f"{source}: {key} of shape {values.shape} must hold vertices 0 to {count - 1} in shape {shape}"
        )
    return np.ascontiguousarray(values, np.int32)


def _optional(arrays: dict[str, Any], key: str, count: int, source: Path) -> Ints | None:
    if key not in arrays:
        return None
    shape = (count,) if key == "mirror" else (np.size(arrays[key]),)
    return _vertices(arrays[key], key, shape, count, source)


def _landmarks(arrays: dict[str, Any], count: int, source: Path) -> dict[str, int] | None:
    if "keypoint_names" not in arrays:
        return None
    names = np.asarray(arrays["keypoint_names"]).ravel().tolist()
    vertices = _vertices(
        arrays.get("keypoint_vertices"), "keypoint_vertices", (len(names),), count, source
    ).tolist()
    return dict(zip(names, vertices, strict=True))
