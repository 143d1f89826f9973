"""Read arrays out of pickles without running anything that the pickle asks for."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.errors import AssetError

BUILTINS = {
    "dict",
    "list",
    "tuple",
    "set",
    "frozenset",
    "int",
    "float",
    "complex",
    "bool",
    "str",
    "bytes",
    "object",
}
NUMPY: dict[str, Any] = {  # the functions that numpy itself names in pickles, wherever its version keeps them
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "scalar": np.float64(0).__reduce__()[0],
    "_reconstruct": np.zeros(1).__reduce__()[0],
    "_frombuffer": np.zeros(1).__reduce_ex__(5)[0],
}
SPARSE = {f"{kind}_{suffix}" for kind in ("csc", "csr", "coo") for suffix in ("matrix", "array")}
NUMPY_MODULES = {"numpy"} | {
    f"numpy.{core}.{part}" for core in ("core", "_core") for part in ("multiarray", "numeric")
}


class CapturedObject:
    """Stands in for an autodiff array of a library that is not installed; keeps its state, runs nothing."""

    def __init__(self, *arguments: object) -> None:
        self.state: dict[str, Any] = {}
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.state = state


class SparseParts:
    """Stands in for a scipy sparse matrix of any age; keeps its state."""

    kind = "csc"

    def __init__(self, *arguments: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def matrix(self) -> sparse.csr_array:
        """The matrix (rows, columns) that was stored."""
        shape = self.state.get("_shape", self.state.get("shape"))
        data = self.state["data"]
        if self.kind == "coo":
            index = self.state["coords"] if "coords" in self.state else (self.state["row"], self.state["col"])
            return sparse.csr_array(sparse.coo_array((data, index), shape=shape))
        build = sparse.csc_array if self.kind == "csc" else sparse.csr_array
        return sparse.csr_array(build((data, self.state["indices"], self.state["indptr"]), shape=shape))


class SparseRows(SparseParts):
    kind = "csr"


class SparseTriplets(SparseParts):
    kind = "coo"


STAND_INS: dict[str, type] = {"csc": SparseParts, "csr": SparseRows, "coo": SparseTriplets}


class ArrayUnpickler(pickle.Unpickler):
    """Allows numpy arrays, plain containers, sparse matrices and `chumpy` stubs; refuses the rest."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve one global of the pickle stream.

        Raises:
            pickle.UnpicklingError: it is not on the list.
        """
        if module in ("builtins", "__builtin__") and name in BUILTINS:
            return getattr(builtins, name)
        if module in NUMPY_MODULES and name in NUMPY:
            return NUMPY[name]
        if module.split(".")[:2] == ["scipy", "sparse"] and name in SPARSE:
            return STAND_INS[name[:3]]
        if module.split(".")[0] == "chumpy":
            return CapturedObject
        if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
            return _reconstruct
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"{module}.{name} is not an array")


def _reconstruct(kind: type, base: type, state: object) -> object:
    """Restricted `copyreg._reconstructor`: bare objects of the stand-in classes alone."""
    if not (isinstance(kind, type) and issubclass(kind, CapturedObject | SparseParts) and base is object):
        raise pickle.UnpicklingError(f"{kind!r} is not an array")
    return kind()


def _encode(text: str, encoding: str) -> bytes:
    """Restricted `codecs.encode`: protocol 2 writes the bytes of an array as latin-1 text."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding} is not used by arrays")
    return text.encode("latin-1")


def load_pickled_arrays(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of arrays, written by Python 2 or 3.

    Returns:
        Arrays by name; sparse matrices as `csr_array`; autodiff objects as the array inside; text as it is.

    Raises:
        AssetError: the pickle is damaged, is no dictionary, or refers to anything but arrays.
    """
    try:
        with path.open("rb") as file:
            content = ArrayUnpickler(file, encoding="latin1").load()
    except Exception as error:  # whatever damaged bytes lead to
        raise AssetError(
            f"{path} is not a pickle of plain arrays ({error}); convert it to .npz where it was made"
        ) from error
    if not isinstance(content, dict):
        raise AssetError(f"{path} holds a {type(content).__name__}, wanted a dictionary of arrays")
    return {str(key): _unwrap(value, path, str(key)) for key, value in content.items()}


def _unwrap(value: object, path: Path, key: str) -> Any:
    try:
        if isinstance(value, SparseParts):
            return value.matrix()
        if isinstance(value, CapturedObject):
            return _captured_array(value, path, key)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise AssetError(f"{path}: the parts of {key} do not fit together ({error})") from error
    return value


def _captured_array(value: CapturedObject, path: Path, key: str) -> NDArray[Any]:
    """The array inside an autodiff object: its value `x`, or an indexed view `a` of one (chumpy `Select`)."""
    inner = value.state.get("x", value.state.get("r"))
    if isinstance(inner, np.ndarray):
        return inner
    source, index = value.state.get("a"), value.state.get("idxs")
    if isinstance(source, CapturedObject) and isinstance(index, np.ndarray):
        shape = value.state.get("preferred_shape", index.shape)
        return _captured_array(source, path, key).ravel()[index].reshape(shape)
    raise AssetError(
        f"{path}: {key} is an autodiff object without a stored array; convert the file where it was made"
    )
