"""What a file of weights is, in words: for `bench weights`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from bench.encoders.build import build_encoder
from bench.encoders.image import ImageEncoder
from bench.encoders.pretrained import Source, check_pretrained, load_pretrained
from bench.errors import ConfigError
from bench.files import sha256_file
from bench.grid.brought import bring
from bench.grid.layouts import read_layouts
from bench.grid.registry import config_dirs as folders
from bench.grid.registry import load, names
from bench.weights.detect import Found, examine
from bench.weights.header import some
from bench.weights.layout import plain

_ROW = "weights"  # any name that no method has


def inspect_weights(
    file: str, *, layout: str = "", encoder: str = "", grid: str = "", config_dirs: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a file is, after the checks that `bench run` makes before its first step.

    Args:
        file: as in --weights.
        layout: its name; "" = detected.
        encoder: of the registry, or `timm:NAME`; "" = told by the tensors.
        grid: of its position table, e.g. `16x12`; "" = the layout's, else a square.
        config_dirs: folders of adapters.

    Raises:
        ConfigError: an unknown name.
        AssetError: the file is in no known layout, or does not fit its network.
    """
    told = _tell(file, layout, encoder, grid, config_dirs)
    found, source = told.found, told.source
    with torch.device("meta"):
        module = _build(told)
    later = check_pretrained(module, source)
    mean, std = (source.mean or found.layout.mean, source.std or found.layout.std)
    if not mean:
        kind: Any = type(module)
        declared: dict[str, Any] = {f.name: f.default for f in fields(kind.Config)} | dict(
            told.body["config"]
        )
        mean, std = declared["mean"], declared["std"]  # the module's own are without numbers here
    table = found.shapes.get("pos_embed")
    return {
        "file": source.file,
        "sha256": sha256_file(Path(source.file)),
        "holds": found.told,
        "layout": found.name,
        "summary": found.layout.summary,
        "licence of the published files": found.layout.licence or "unknown",
        "encoder": told.encoder,
        "registered": told.registered,
        "network": module.timm_recipe["name"],
        "kind": module.feature_info.kind,
        "channels": list(module.feature_info.channels),
        "strides": list(module.feature_info.strides),
        "parameters": sum(p.numel() for p in module.parameters()),
        "positions": list(table) if table else [],
        "mean": [round(float(v), 4) for v in mean],
        "std": [round(float(v), 4) for v in std],
        "used": len(found.sorted.used) - len(later),
        "dropped by the layout": list(found.sorted.dropped),
        "of later layers": later,
    }


def load_weights(
    file: str, *, layout: str = "", encoder: str = "", grid: str = "", config_dirs: Sequence[str] = ()
) -> ImageEncoder:
    """Return the encoder of a file, with its weights; arguments and errors as of `inspect_weights`."""
    told = _tell(file, layout, encoder, grid, config_dirs)
    module = _build(told)
    load_pretrained(module, told.source)
    return module


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    found: Found
    source: Source
    encoder: str  # its name
    registered: bool
    body: Mapping[str, Any]  # of the encoder
    dirs: tuple[str, ...]  # of adapters


def _tell(file: str, layout: str, encoder: str, grid: str, config_dirs: Sequence[str]) -> _Told:
    dirs = folders(config_dirs)
    row = _ROW
    while row in names("method", dirs):
        row += "_"
    if not file:
        raise ConfigError("name a file of weights, hf:OWNER/REPOSITORY or pkg:PACKAGE/FILE")
    words = {"layout": layout, "encoder": encoder, "grid": grid}
    options = [f",{key}={value}" for key, value in words.items() if value]
    (brought,) = bring([f"{row}={file}{''.join(options)}"], dirs)
    config = next(iter(brought.body["stages"].values()))["config"]
    found = examine(Path(config["file"]), read_layouts(dirs), layout)
    return _Told(
        found=found,
        source=Source(
            file=config["file"],
            layout={"name": found.name, **plain(found.layout)},
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            grid=tuple(config["grid"]),
        ),
        encoder=brought.encoder,
        registered=not brought.encoder_body,
        body=brought.encoder_body or load(names("encoder", dirs)[brought.encoder], "encoder"),
        dirs=tuple(map(str, dirs[1:])),
    )


def _build(told: _Told) -> ImageEncoder:
    module = build_encoder(told.body, "rgb", None, told.dirs)
    if not isinstance(module, ImageEncoder):
        raise ConfigError(f"encoder {told.encoder} reads no images; choose another")
    return module


def report(found: Mapping[str, Any]) -> str:
    """Return it as text, a line each."""
    shown = {
        **found,
        "encoder": found["encoder"]
        + ("" if found["registered"] else " (not registered; the weights bring it)"),
        "parameters": f"{found['parameters'] / 1e6:.1f} M",
        "dropped by the layout": _listed(found["dropped by the layout"]),
        "of later layers": _listed(found["of later layers"]),
    }
    del shown["registered"]
    width = max(map(len, shown))
    return "\n".join(
        f"{key:<{width}}  {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in shown.items()
        if value not in ("", [])
    )


def _listed(names: list[str]) -> str:
    return f"{len(names)}: {some(names)}" if names else "none"
