"""Further modules that a method exports, on disk: a JSON that says how to rebuild one, and its weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from bench.adapters.loading import address_of, build_config, load_adapter
from bench.adapters.outside import source_of
from bench.api import Module
from bench.encoders.files import load_whole
from bench.errors import ConfigError, DataError
from bench.files import sha256_file, write_atomic

FORMAT = 1


def save_module(name: str, module: nn.Module, folder: Path) -> None:
    """Write `<name>.safetensors` and `<name>.json`; the JSON comes last.

    Raises:
        ConfigError: it is no `bench.api.Module`, which can be rebuilt.
        DataError: the files cannot be written.
    """
    if not isinstance(module, Module):
        raise ConfigError(
            f"export: module {name} is a {type(module).__name__}, not a subclass of bench.api.Module"
        )
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
    content = safetensors.torch.save(state)
    write_atomic(folder / f"{name}.safetensors", content)
    card = {
        "format": FORMAT,
        "spec": module_spec(module),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomic(folder / f"{name}.json", json.dumps(card, indent=1, sort_keys=True) + "\n")


def module_spec(module: Module) -> dict[str, Any]:
    """Return what `build_module` needs, plain data; outside the project with a digest of its code."""
    found = {"adapter": address_of(type(module)), "config": dataclasses.asdict(module.cfg)}
    source = source_of(type(module))
    return {**found, "source": source} if source else found


def build_module(spec: dict[str, Any], config_dirs: Sequence[str] = ()) -> Module:
    """Rebuild a module with fresh weights.

    Raises:
        ConfigError: its class is not there any more, or has another config.
        AssetError: its code has changed.
    """
    adapter = load_adapter(spec["adapter"], config_dirs, spec.get("source", ""))
    module: Module = adapter(build_config(adapter.Config, spec["config"], f"module {spec['adapter']}"))
    return module


def load_module(name: str, folder: Path, config_dirs: Sequence[str] = ()) -> Module:
    """Read a module that `save_module` wrote.

    Raises:
        DataError: a file is missing or damaged, or does not fit.
    """
    path = folder / f"{name}.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        spec, checksum = dict(card["spec"]), card["weights_sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is missing or damaged; run the pretraining step again") from error
    if card.get("format") != FORMAT:
        raise DataError(f"{path} has format {card.get('format')}, this version reads format {FORMAT}")
    weights = folder / f"{name}.safetensors"
    if not weights.exists() or sha256_file(weights) != checksum:
        raise DataError(
            f"{weights} is missing or differs from its description; run the pretraining step again"
        )
    module = build_module(spec, config_dirs)
    load_whole(module, weights)
    return module
