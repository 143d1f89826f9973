"""File layouts of body models: the compact npz of the surrogate and the dense SMPL layout."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.bodymodels.unpickling import load_pickled_arrays
from bench.errors import DataError

Arrays = dict[str, Any]
REQUIRED = ("v_template", "shapedirs", "weights", "kintree_table", "f", "J_regressor")


def read_arrays(path: Path) -> Arrays:
    """Read the arrays of a `.npz` or `.pkl` model file by name.

    Raises:
        DataError: another suffix, a damaged file, or a pickle that holds more than arrays.
    """
    if path.suffix == ".pkl":
        return load_pickled_arrays(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: unknown kind of body model; convert it to .npz or .pkl")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a readable .npz file of plain arrays: {error}") from error


def dense_arrays(arrays: Arrays, source: Path) -> Arrays:
    """Bring either layout to common terms.

    Returns:
        `v_template` (V, 3), `shapedirs` (V, 3, B), `posedirs` sparse (3V, 9 (J - 1)), `J_regressor`
        (J, V) dense or sparse, `weights` (V, J), `kintree_table` (2, J), `f` (F, 3).

    Raises:
        DataError: a key is missing.
    """
    found = _expand(arrays) if "posedirs_values" in arrays else dict(arrays)
    missing = [key for key in REQUIRED if key not in found]
    if missing:
        raise DataError(f"{source} lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays))}")
    vertices, joints = np.shape(found["weights"])
    posedirs = found.get("posedirs")
    if posedirs is None:
        found["posedirs"] = sparse.csr_array((3 * vertices, 9 * (joints - 1)), dtype=np.float32)
    elif not sparse.issparse(posedirs):
        found["posedirs"] = sparse.csr_array(np.asarray(posedirs, np.float32).reshape(3 * vertices, -1))
    return found


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
