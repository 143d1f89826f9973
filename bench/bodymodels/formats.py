"""File layouts of body models: the compact npz of the surrogate and the dense SMPL layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.bodymodels.unpickling import load_pickled_arrays
from bench.errors import AssetError

Arrays = dict[str, Any]
COMPACT = ("posedirs", "J_regressor_", "weights_")  # what the names of the compact layout begin with
REQUIRED = ("v_template", "shapedirs", "weights", "kintree_table", "f", "J_regressor")


def read_arrays(path: Path) -> Arrays:
    """Read the arrays of a `.npz` or `.pkl` model file by name.

    Raises:
        AssetError: another suffix, a damaged file, or a pickle that holds more than arrays.
    """
    if path.suffix == ".pkl":
        return load_pickled_arrays(path)
    if path.suffix != ".npz":
        raise AssetError(f"{path}: unknown kind of body model; convert it to .npz or .pkl")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except Exception as error:  # whatever damaged bytes lead to
        raise AssetError(f"{path} is not a readable .npz file of plain arrays: {error}") from error


def dense_arrays(arrays: Arrays, source: Path) -> Arrays:
    """Bring either layout to common terms.

    Returns:
        `v_template` (V, 3), `shapedirs` (V, 3, B), `posedirs` sparse (3V, 9 (J - 1)), `J_regressor`
        (J, V) dense or sparse, `weights` (V, J), `kintree_table` (2, J), `f` (F, 3).

    Raises:
        AssetError: a key is missing, no array of finite numbers, or of another shape.
    """
    for key, value in arrays.items():
        if key in REQUIRED or key.startswith(COMPACT):
            check_numbers(value, key, source)
    try:
        found = _expand(arrays) if "posedirs_values" in arrays else dict(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise AssetError(f"{source}: its compact arrays do not fit together ({error})") from error
    missing = [key for key in REQUIRED if key not in found]
    if missing:
        raise AssetError(f"{source} lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays))}")
    if np.ndim(found["weights"]) != 2:
        raise AssetError(
            f"{source}: weights has shape {np.shape(found['weights'])}, wanted (vertices, joints)"
        )
    vertices, joints = np.shape(found["weights"])
    posedirs = found.get("posedirs")
    if posedirs is None:
        found["posedirs"] = sparse.csr_array((3 * vertices, 9 * (joints - 1)), dtype=np.float32)
    elif not sparse.issparse(posedirs):
        if np.size(posedirs) != 27 * vertices * (joints - 1):
            raise AssetError(
                f"{source}: posedirs has shape {np.shape(posedirs)}, wanted {(vertices, 3, 9 * (joints - 1))}"
            )
        found["posedirs"] = sparse.csr_array(np.asarray(posedirs, np.float32).reshape(3 * vertices, -1))
    return found


def check_numbers(value: Any, key: str, source: Path) -> None:
    """Make sure that an array or a sparse matrix holds finite numbers, also in single precision.

    Raises:
        AssetError: it does not; names file and field.
    """
    array = value.data if sparse.issparse(value) else value
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
        raise AssetError(f"{source}: {key} is a {kind}, wanted an array of numbers")
    with np.errstate(over="ignore"):
        if not np.isfinite(array.astype(np.float32)).all():
            raise AssetError(f"{source}: {key} holds NaN or infinite values")


def _expand(arrays: Arrays) -> Arrays:
    """Undo the compact layout: half floats, CSR correctives, COO regressor, four weights per vertex."""
    found = dict(arrays)
    vertices = len(arrays["v_template"])
    joints = arrays["kintree_table"].shape[1]
    values = arrays["posedirs_values"].astype(np.float32)
    index = arrays["posedirs_columns"].astype(np.int32)
    shape = (3 * vertices, 9 * (joints - 1))
    found["posedirs"] = sparse.csr_array((values, index, arrays["posedirs_rows"]), shape=shape)
    found["J_regressor"] = named_regressor(arrays, "J_regressor", joints)
    found["weights"] = scatter_weights(arrays["weights_ids"], arrays["weights_values"], joints)
    return found


def named_regressor(arrays: Arrays, key: str, rows: int) -> sparse.csr_array:
    """Rebuild a regressor (rows, V) from `<key>_rows`, `<key>_vertices`, `<key>_values`; rows sum to 1."""
    index = (arrays[f"{key}_rows"].astype(np.int32), arrays[f"{key}_vertices"].astype(np.int32))
    values = arrays[f"{key}_values"].astype(np.float64)
    sums = np.bincount(index[0], values, rows)
    return sparse.csr_array((values / sums[index[0]], index), shape=(rows, len(arrays["v_template"])))


def scatter_weights(ids: NDArray[np.uint8], values: NDArray[np.float16], joints: int) -> NDArray[np.float64]:
    """Spread skin weights (V, K) over a dense matrix (V, J) whose rows sum to 1."""
    dense = np.zeros((len(ids), joints))
    np.add.at(dense, (np.arange(len(ids))[:, None], ids.astype(np.intp)), values.astype(np.float64))
    total: NDArray[np.float64] = dense.sum(1, keepdims=True)
    return dense / total
