"""State dicts of others: read without running code, arranged by their layout, matched with a network."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bench.encoders.positions import fit_positions
from bench.errors import AssetError
from bench.weights.header import check_place, describe, is_safetensors, read_header, refusal, some, unreadable
from bench.weights.layout import Layout, Sorted, check_sorted, sort

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def load_layout(path: Path, layout: Layout, module: nn.Module, name: str, modality: str = "rgb") -> None:
    """Fill a module with the weights in a file: all of them, or an error and nothing has changed.

    Every weight of the module must be there, but for counters of batch norm; every tensor of the file must be
    used, or dropped by the layout. A table of positions is resized to the module's grid.

    Args:
        path: of the file.
        layout: how its names become the module's, e.g. `bench.weights.layout.shipped()["croco_v1_decoder"]`.
        module: to be filled; any, also a decoder.
        name: of the layout, for messages.
        modality: `depth` takes the weights of a depth encoder, where the file holds several.

    Raises:
        AssetError: the file cannot be read, or does not fit.
    """
    fill(module, *read_arranged(path, layout, name, modality), path, layout)


def read_arranged(
    path: Path, layout: Layout, name: str, modality: str = "rgb"
) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file by the names of the network, and what the file holds in words.

    Raises:
        AssetError: see `load_layout`.
    """
    content = read_content(path)
    tensors, found = sort(layout, content, path, modality, _is_tensor)
    check_sorted(found, path, name)
    return arranged(layout, tensors, found, path), describe(content, _is_tensor)


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    told: str,
    path: Path,
    layout: Layout,
    spare: Callable[[], Collection[str]] = tuple,
    dry: bool = False,
    numbers: bool = True,
) -> None:
    """Put tensors into a module.

    Args:
        module: to be filled.
        state: tensors by the module's names.
        told: what their file holds.
        path: of the file, for messages.
        layout: whose grid a table of positions has.
        spare: names that may be left over, e.g. of later layers which a cut network lacks.
        dry: only check.
        numbers: False where the tensors are without (on the device `meta`).

    Raises:
        AssetError: one is missing, left over, of another shape, not floating or not finite.
    """
    wanted = module.state_dict()
    matched, rest = match(path, told, state, wanted, numbers=numbers)
    if rest:
        known = {flat(name) for name in spare()}
        if unknown := [name for name in rest if flat(name) not in known]:
            raise AssetError(
                f"{path}: the network ({type(module).__name__}) has no place for {len(unknown)} tensors "
                f"({some(unknown)}); choose one of their architecture, or take them out of the file"
            )
    fit_positions(matched, module, layout.grid, path)
    for name, value in matched.items():  # torch would copy those that fit before it complains
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, the network's {tuple(wanted[name].shape)}"
            raise AssetError(f"{path} does not fit the network: {name} has shape {shapes}")
    if not dry:
        module.load_state_dict(matched)


def match(
    path: Path, told: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, numbers: bool = True
) -> tuple[dict[str, Tensor], list[str]]:
    """Find the tensors of a network among others, and check that they are weights.

    Args:
        path: of their file.
        told: what the file holds.
        found: tensors by name.
        wanted: state dict of the network. Counters of batch norm may be missing.
        numbers: False where tensors are without, so that types alone are checked.

    Returns:
        The found tensors by the network's names, with its types but for their shapes; the names of the rest.

    Raises:
        AssetError: weights are missing, twice there, not floating or not finite.
    """
    names: dict[str, str] = {}
    for key in found:
        # timm joins nested names with "_" when it wraps a network for features, hence the comparison so
        if names.setdefault(flat(key), key) != key:
            raise AssetError(f"{path}: {names[flat(key)]} and {key} are the same weights; keep one")
    missing = [k for k in wanted if flat(k) not in names and not k.endswith("num_batches_tracked")]
    if missing:
        raise AssetError(
            f"{path}: {len(missing)} of {len(wanted)} weights are missing ({some(missing)}); found {told}, "
            f"expected {_expected(found, missing)}"
        )
    state = {}
    for key, own in wanted.items():
        name = names.pop(flat(key), None)
        if name is None:
            state[key] = own
            continue
        if what := flaw(found[name], own, numbers=numbers):
            raise AssetError(f"{path}: {name} {what}; give weights as they were trained")
        state[key] = found[name].to(own.dtype)
    return state, list(names.values())


def flaw(found: Tensor, wanted: Tensor, *, numbers: bool = True) -> str | None:
    """Say why a tensor cannot take the place of another of any shape; None if it can.

    Weights must be floating and finite, also in the wanted precision; counters and indices whole numbers.
    """
    if found.layout is not torch.strided or found.is_quantized or (numbers and found.device.type == "meta"):
        return "is sparse, quantised or empty"
    if not wanted.is_floating_point():
        whole = not found.is_floating_point() and not found.is_complex() and found.dtype is not torch.bool
        return None if whole or found.dtype is wanted.dtype else f"is {_type(found)}, not {_type(wanted)}"
    if found.dtype not in FLOATS:
        return f"is {_type(found)}, not floating"
    return (
        None
        if not numbers or bool(found.to(wanted.dtype).isfinite().all())
        else "holds NaN or infinite values"
    )


def read_content(path: Path) -> Any:
    """Return what a file holds: tensors on the CPU, in dicts.

    Of Python's classes the arguments of a script (`argparse.Namespace`) are admitted besides torch's own.

    Raises:
        AssetError: it cannot be read without running code from it.
    """
    check_place(path)
    try:
        if is_safetensors(path):
            return safetensors.torch.load_file(path)
        with (
            warnings.catch_warnings(action="ignore"),  # advice for whoever wrote the file
            torch.serialization.safe_globals([argparse.Namespace]),
            path.open("rb") as stream,  # torch would look at the end of a name, not into the file
        ):
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead to
        classes = ", ".join(dict.fromkeys(re.findall(r"GLOBAL `?([\w.]+)", str(error))))
        if classes:
            raise AssetError(refusal(path, classes)) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise AssetError(unreadable(path, reason)) from error


def outlined(path: Path, layout: Layout, name: str, modality: str = "rgb") -> tuple[dict[str, Tensor], str]:
    """Return what `read_arranged` does without reading the numbers: tensors on the device `meta`.

    Raises:
        AssetError: see `load_layout`.
    """
    entries, found = sort(layout, content := read_header(path), path, modality)
    check_sorted(found, path, name)
    tensors = {key: _outline(path, key, entry.shape, entry.dtype) for key, entry in entries.items()}
    return arranged(layout, tensors, found, path), describe(content)


def _outline(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> Tensor:
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise AssetError(f"{path}: {name} is {dtype}, not floating; give weights as they were trained")
    return torch.empty(shape, dtype=kind, device="meta")


def arranged(layout: Layout, tensors: Mapping[str, Tensor], found: Sorted, path: Path) -> dict[str, Tensor]:
    """Return tensors by their new names, joined, split and permuted as the layout says.

    Raises:
        AssetError: a tensor has not the axes that the layout expects.
    """
    state = {}
    for new, olds in found.used.items():
        try:
            values = [tensors[old].detach() for old in olds]
            value = values[0] if len(values) == 1 else torch.cat(values)
            if new in found.parts:
                place, parts = found.parts[new]
                if len(value) % parts:
                    raise ValueError(f"{len(value)} rows are not {parts} equal parts")
                value = value.chunk(parts)[place]
            for rule in layout.tensors:
                if re.fullmatch(rule.match, new):
                    value = _permuted(value, rule.view, rule.order)
                    value = value[None] if rule.unsqueeze else value
            if new == "pos_embed" and layout.class_row == "to_patches":
                value = value[:, 1:] + value[:, :1]
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).splitlines()[0][:160]
            raise AssetError(f"{path}: {olds[0]} cannot be arranged as its layout says: {reason}") from error
        state[new] = value
    return state


def flat(name: str) -> str:
    """Return a name as it is compared."""
    return name.replace(".", "_")


def _permuted(value: Tensor, view: list[int], order: list[int]) -> Tensor:
    if not view:
        return value
    sizes = [value.shape[i] if size == 0 else size for i, size in enumerate(view)]
    return value.reshape(sizes).permute(order).reshape(value.shape)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _expected(found: Mapping[str, Tensor], missing: list[str]) -> str:
    """The names that are wanted, and how to come to them."""
    for key in found:
        if flat(key).endswith(f"_{flat(missing[0])}"):
            prefix = key[: len(key) - len(missing[0])]
            return f'names such as "{missing[0]}": a layout that strips "{prefix}" from its names'
    return f'names such as "{missing[0]}": a layout with such names, or another encoder'


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
