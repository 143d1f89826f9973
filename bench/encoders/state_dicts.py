"""State dicts of others: read without running code, and matched name by name with a network, or refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from bench.errors import AssetError

WRAPPERS = ("state_dict", "model", "module")  # keys under which training scripts store the weights
PARALLEL = "module."  # what data-parallel wrappers of torch put before every name
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LISTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDict:
    """Tensors of a file by name, and what the file was found to be, in words."""

    path: Path
    tensors: dict[str, Tensor]
    told: str


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict, below `state_dict`, `model` or `module` too, with or without `module.` before names.

    Raises:
        AssetError: the file cannot be read without running code from it, or holds something else.
    """
    content = _load(path)
    told = _describe(content)
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise AssetError(f"{path}: found {told}, expected a dict of tensors; save the state dict alone")
    others = [f"{k} ({type(v).__name__})" for k, v in content.items() if not _is_entry(k, v)]
    if others:
        raise AssetError(
            f"{path}: found {told}, with entries that are no tensors ({_some(others)}); "
            "save the one state dict to be used alone, with timm's names"
        )
    tensors = {key: value.detach() for key, value in content.items()}
    if all(key.startswith(PARALLEL) for key in tensors):
        tensors = {key.removeprefix(PARALLEL): value for key, value in tensors.items()}
    return StateDict(path=path, tensors=tensors, told=told)


def match(found: StateDict, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Find the tensors of a network in a file, and check that they are weights.

    Args:
        found: the file.
        wanted: state dict of the network. Counters of batch norm may be missing.

    Returns:
        The found tensors by the network's names, with its types but for their shapes; the names of the rest.

    Raises:
        AssetError: weights are missing, twice there, not floating or not finite.
    """
    names: dict[str, str] = {}
    for key in found.tensors:
        # timm joins nested names with "_" when it wraps a network for features, hence the comparison so
        if names.setdefault(_flat(key), key) != key:
            raise AssetError(f"{found.path}: {names[_flat(key)]} and {key} are the same weights; keep one")
    missing = [k for k in wanted if _flat(k) not in names and not k.endswith("num_batches_tracked")]
    if missing:
        raise AssetError(
            f"{found.path}: {len(missing)} of {len(wanted)} weights are missing ({_some(missing)}); found "
            f"{found.told}, expected {_expected(found.tensors, missing)}"
        )
    state = {}
    for key, own in wanted.items():
        name = names.pop(_flat(key), None)
        if name is None:
            state[key] = own
            continue
        if what := flaw(found.tensors[name], own):
            raise AssetError(f"{found.path}: {name} {what}; give weights as they were trained")
        state[key] = found.tensors[name].to(own.dtype)
    return state, list(names.values())


def flaw(found: Tensor, wanted: Tensor) -> str | None:
    """Say why a tensor cannot take the place of another of any shape; None if it can.

    Weights must be floating and finite, also in the wanted precision; counters and indices whole numbers.
    """
    if found.layout is not torch.strided or found.is_quantized or found.device.type == "meta":
        return "is sparse, quantised or empty"
    if not wanted.is_floating_point():
        whole = not found.is_floating_point() and not found.is_complex() and found.dtype is not torch.bool
        return None if whole or found.dtype is wanted.dtype else f"is {_type(found)}, not {_type(wanted)}"
    if found.dtype not in FLOATS:
        return f"is {_type(found)}, not floating"
    return None if bool(found.to(wanted.dtype).isfinite().all()) else "holds NaN or infinite values"


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings(action="ignore"):  # advice for whoever wrote the file
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead to
        if classes := _classes(str(error)):
            raise AssetError(
                f"{path} holds pickled Python objects ({classes}), which could run code and are not read; if "
                "you trust it, save its tensors alone, e.g. "
                'torch.save(torch.load(FILE, weights_only=False)["model"], NEW_FILE)'
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise AssetError(
            f"{path} cannot be read as weights ({reason}); give a .safetensors file or a state dict that "
            "torch.save has written"
        ) from error


def _classes(message: str) -> str:
    """Names of the classes for which torch has refused a file."""
    return ", ".join(dict.fromkeys(re.findall(r"GLOBAL `?([\w.]+)", message)))


def _is_entry(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def _describe(content: object) -> str:
    """What a file holds, in words: its keys, and what the state dicts in it look like."""
    if not isinstance(content, Mapping):
        return f"an object of type {type(content).__name__}"
    if any(isinstance(value, Tensor) for value in content.values()):
        return f"a dict of {_tensors(content)}"
    inner = [
        f'its "{key}" holds {_tensors(value)}'
        for key, value in content.items()
        if isinstance(value, Mapping) and any(isinstance(v, Tensor) for v in value.values())
    ]
    return "; ".join([f"a dict with the keys {_some(list(map(str, content)))}", *inner[:LISTED]])


def _tensors(content: Mapping[Any, Any]) -> str:
    names = [str(key) for key, value in content.items() if isinstance(value, Tensor)]
    first, last = min(names), max(names)  # what these share, all share
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    shared, dot, _ = first[:same].rpartition(".")
    if dot:
        return f'{len(names)} tensors that begin with "{shared}."'
    return f'{len(names)} tensors such as "{names[0]}"'


def _expected(found: Mapping[str, Tensor], missing: list[str]) -> str:
    """The names that are wanted, and how to come to them."""
    for key in found:
        if _flat(key).endswith(f"_{_flat(missing[0])}"):
            prefix = key[: len(key) - len(missing[0])]
            return f'names such as "{missing[0]}": save the state dict without "{prefix}" before its names'
    return f'names such as "{missing[0]}": save the state dict with timm\'s names, of this architecture'


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _some(names: list[str]) -> str:
    return ", ".join(n[:60] for n in islice(names, LISTED)) + (", ..." if len(names) > LISTED else "")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
