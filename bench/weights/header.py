"""Names, shapes and types of the tensors in a file of weights, read without torch and without its numbers.

Pickles are walked with stand-ins for the few classes that state dicts are made of; any other class is refused
before anything of it could run.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import AssetError

LARGEST_HEADER = 100_000_000  # bytes of a safetensors header, as in its own reader; and of a pickled one
LARGEST_TENSOR = 2**48  # numbers; more can be in no file
_BEGINNINGS = {  # of files that are no weights, and are often taken for some
    b"version https://git-lfs": "it is a pointer of Git LFS; run `git lfs pull` where it comes from",
    b"<": "it is a web page, perhaps one that asks for a confirmation of the download",
    b"\x1f\x8b": "it is packed by gzip; unpack it",
    b"\x93NUMPY": "it is an array of numpy",
    b"PK": "it is cut off",  # an archive without its end
}
_MAGIC = 0x1950A86A20F9469CFC6C  # begins files that torch.save wrote before version 1.6
_SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "UntypedStorage": "", "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
}  # fmt: skip


_OTHER_TYPES = r"q(u?int8|int32)|uint(16|32|64)|complex(32|64|128)|float8_\w+"  # of torch, in no network


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tensor, without its numbers."""

    shape: tuple[int, ...]
    dtype: str  # as torch names it, e.g. `float32`


class Opaque:
    """Stands for an object that is no tensor and is not looked into, e.g. the arguments of a training."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


class RefusedClass(Exception):
    """A pickle asks for a class that could run code."""


def is_safetensors(path: Path) -> bool:
    """Say whether a file is one of safetensors: by its first bytes, whatever its name; else by its name."""
    with path.open("rb") as file:
        begin = file.read(9)
    if begin[8:] == b"{":  # after the header's size; neither a zip archive nor a pickle of torch has it there
        return True
    return path.suffix == ".safetensors" and not begin.startswith(b"PK")


def read_header(path: Path) -> Any:
    """Return what a file holds, with `Entry` in the place of tensors: a mapping, for files that can be used.

    Args:
        path: .safetensors, or what `torch.save` wrote, of any age.

    Raises:
        AssetError: no such file, a damaged one, or one that holds objects which could run code.
    """
    check_place(path)
    try:
        return _safetensors(path) if is_safetensors(path) else _torch(path)
    except RefusedClass as error:
        raise AssetError(refusal(path, str(error))) from None
    except AssetError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise AssetError(unreadable(path, reason)) from error


def check_place(path: Path) -> None:
    """Make sure that there is a file at a path, and that it can be all of the weights.

    Raises:
        AssetError: it is a folder, is not there, or by its name one part of several.
    """
    if path.is_dir():
        raise AssetError(f"{path.absolute()} is a folder; name the file of weights in it")
    if not path.is_file():
        raise AssetError(f"there is no weights file {path.absolute()}; correct the path")
    if not path.stat().st_size:
        raise AssetError(f"{path} is empty; fetch the weights again")
    part = re.search(r"-\d+-of-(\d+)\.\w+$", path.name)
    if path.name.endswith(".index.json") or (part and int(part[1]) > 1):
        raise AssetError(
            f"{path} is a part of weights in several files; write the tensors of all of them into one "
            "(safetensors, or torch.save) and name that"
        )


def refusal(path: Path, classes: str) -> str:
    """Say why a file with pickled objects is not read, and what to do."""
    return (
        f"{path} holds pickled Python objects ({classes}), which could run code and are not read; if you "
        "trust it, save its tensors alone: x = torch.load(FILE, weights_only=False), then "
        'torch.save(x["model"], NEW_FILE), or x.state_dict() where x is a network'
    )


def unreadable(path: Path, reason: str) -> str:
    """Say that a file is damaged, or none of weights."""
    return (
        f"{path} cannot be read as weights ({reason}); give a .safetensors file or a state dict that "
        "torch.save has written"
    )


def _safetensors(path: Path) -> dict[str, Entry]:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > min(LARGEST_HEADER, path.stat().st_size - 8):
            raise ValueError("its header is cut off")
        header = json.loads(file.read(size))
    if not isinstance(header, dict):
        raise ValueError("its header is no table of tensors")
    header.pop("__metadata__", None)
    ends = [int(body["data_offsets"][1]) for body in header.values()]
    if path.stat().st_size != 8 + size + max(ends, default=0):
        raise ValueError("it is cut off, or longer than its header says")
    return {
        str(name): _entry(body["shape"], _SAFETENSORS.get(body["dtype"], body["dtype"]))
        for name, body in header.items()
    }


def _entry(shape: Any, dtype: str) -> Entry:
    sizes = tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes) or math.prod(sizes) > LARGEST_TENSOR:
        raise ValueError(f"a tensor in it has the impossible shape {some([str(n) for n in sizes])}")
    return Entry(shape=sizes, dtype=dtype)


def _torch(path: Path) -> Any:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _zipped(path)
        file.seek(0)
        begin = file.read(300)
        for known, reason in _BEGINNINGS.items():
            if begin.startswith(known):
                raise ValueError(reason)
        if begin[257:262] == b"ustar":
            raise ValueError("it is packed by tar; unpack it")
        file.seek(0)
        if _load(file) != _MAGIC:
            raise ValueError("it was not written by torch.save")
        for _ in range(2):  # version of the format, byte order of the machine
            _load(file)
        return _load(file)


def _zipped(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError("it is a TorchScript program; export its state_dict()")
        places = [name for name in names if name.endswith("data.pkl")]
        if len(places) != 1:
            raise ValueError("it is an archive that torch.save has not written")
        if archive.getinfo(places[0]).file_size > LARGEST_HEADER:  # a few bytes can unpack to any number
            raise ValueError("its table of tensors is impossibly large")
        with archive.open(places[0]) as file:
            return _Walker(file).load()


def _load(file: BinaryIO) -> Any:
    return _Walker(file).load()


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: str


def _tensor(storage: Any, offset: int, size: Any, *more: Any) -> Entry:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without numbers")
    dtypes = [str(m) for m in more if isinstance(m, _Dtype)]  # of tensors whose storage is untyped
    return _entry(size, dtypes[0] if dtypes else storage.dtype)


def _without_numbers(dtype: Any, size: Any, *more: Any) -> Entry:
    """A tensor on the device `meta`."""
    return Entry(shape=tuple(size), dtype="without numbers")


def _parameter(data: Any, *more: Any) -> Any:
    return data


def _odd(*parts: Any) -> Entry:
    """A sparse or quantised tensor, which no network takes."""
    return Entry(shape=(), dtype="sparse or quantised")


class _Dtype(str):
    __slots__ = ()


_MADE: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _without_numbers,
    ("torch._utils", "_rebuild_sparse_tensor"): _odd,
    ("torch._utils", "_rebuild_qtensor"): _odd,
    ("torch", "Size"): tuple,
    ("torch", "device"): Opaque,
    ("torch.serialization", "_get_layout"): Opaque,
    ("collections", "OrderedDict"): OrderedDict,
    ("argparse", "Namespace"): Opaque,
}


class _Walker(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if found := _MADE.get((module, name)):
            return found
        if module in ("torch", "torch.storage", "torch.cuda") and name in _STORAGES:
            return _Storage(_STORAGES[name])
        if module == "torch" and (name in _SAFETENSORS.values() or re.fullmatch(_OTHER_TYPES, name)):
            return _Dtype(name)
        if module == "torch" and name in ("per_tensor_affine", "strided", "sparse_coo"):
            return Opaque
        raise RefusedClass(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, *_ = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise ValueError("an unknown kind of reference")
        return storage


def is_entry(value: object) -> bool:
    """Say whether a value of a header is a tensor."""
    return isinstance(value, Entry)


def describe(content: object, is_tensor: Callable[[object], bool] = is_entry) -> str:
    """Say what a file holds: its keys, and what the state dicts in it look like."""
    if is_tensor(content):
        return "a single tensor"
    if not isinstance(content, Mapping):
        return f"an object of type {type(content).__name__}"
    if not content:
        return "nothing"
    if any(map(is_tensor, content.values())):
        return f"a dict of {_told([str(k) for k, v in content.items() if is_tensor(v)])}"
    inner = [
        f'its "{key}" holds {_told([str(k) for k, v in value.items() if is_tensor(v)])}'
        for key, value in state_dicts(content, is_tensor)
    ]
    return "; ".join([f"a dict with the keys {some(list(map(str, content)))}", *inner[:4]])


def state_dicts(
    content: object, is_tensor: Callable[[object], bool] = is_entry, depth: int = 3
) -> list[tuple[str, Mapping[Any, Any]]]:
    """Return the dicts of tensors in a dict, by their keys; those of dicts in dicts are joined by dots."""
    found: list[tuple[str, Mapping[Any, Any]]] = []
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Mapping) and any(map(is_tensor, value.values())):
            found.append((str(key), value))
        elif depth > 1 and isinstance(key, str):  # not the state of an optimiser, by number
            found += [(f"{key}.{name}", inner) for name, inner in state_dicts(value, is_tensor, depth - 1)]
    return found


def _told(names: list[str]) -> str:
    first, last = min(names), max(names)  # what these share, all share
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    shared, dot, _ = first[:same].rpartition(".")
    if dot:
        return f'{len(names)} tensors that begin with "{shared}."'
    return f'{len(names)} tensors such as "{names[0]}"'


def some(names: list[str], listed: int = 4) -> str:
    """Return the first few of many names."""
    return ", ".join(n[:60] for n in names[:listed]) + (", ..." if len(names) > listed else "")
