"""Published weights for image encoders: a file, or a tag of timm; in any layout that is declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from bench.encoders.image import ImageEncoder, create_timm_model
from bench.encoders.state_dicts import fill, flat, outlined, read_arranged
from bench.encoders.timm_pyramid import TimmPyramid
from bench.encoders.vit import ViT
from bench.files import sha256_file
from bench.grid.layouts import shipped_layouts
from bench.weights.detect import examine
from bench.weights.hub import fetch_tag
from bench.weights.layout import Layout, check_told, find_layout, parse

FEATURE_OPTIONS = ("features_only", "out_indices", "feature_location", "num_classes")  # cut a network short


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where weights come from, and what their file does not tell."""

    tag: str = ""  # of timm, e.g. `hrnet_w18.ms_in1k`; empty takes `pretrained` of the encoder's spec
    file: str = ""  # .safetensors, or a pickled state dict; empty takes the cache, or the hub
    layout: str | Mapping[str, Any] = ""  # name of a shipped one, or one as data; empty detects it
    mean: tuple[float, ...] = ()  # of colour in 0..1; empty takes the tag's or layout's, else the encoder's
    std: tuple[float, ...] = ()
    grid: tuple[int, ...] = ()  # height, width of the position table; empty takes the layout's, else a square
    licence: str = ""
    trained_on: tuple[str, ...] = field(default=())


def load_pretrained(encoder: ImageEncoder, source: Source) -> dict[str, str]:
    """Fill an image encoder with published weights, all of them or none.

    Weights bring their normalisation, and the way in which the maps of an HRNet are brought together. What
    the layout drops and later layers of the same network are left out. A position table is resized
    bicubically, and trained from then on.

    Args:
        encoder: to be filled in place.
        source: of the weights.

    Returns:
        `weights`, the tag or file name; `weights_sha256`, `weights_layout`; `weights_mean` and `weights_std`,
        as used; `licence` and `trained_on`, where the layout was named or the source tells them.

    Raises:
        ConfigError: neither a tag nor a file, or an impossible normalisation or grid.
        AssetError: no file, an unreadable one, or one whose weights do not fit.
    """
    check_told(source.mean, source.std, source.grid)
    tag = source.tag or encoder.spec.get("pretrained") or ""
    path, published = (Path(source.file), {}) if source.file else fetch_tag(tag)
    name, layout, named = _layout(source, path, published)
    state, told = read_arranged(path, layout, name, encoder.modality)
    mean, std = _normalisation(encoder, source, layout, published)
    fill(encoder.model, state, told, path, layout, spare=lambda: _whole(encoder))
    encoder.normalise_by(mean, std)
    if layout.upsample and isinstance(encoder, TimmPyramid):
        encoder.upsample_by(layout.upsample)
    if isinstance(encoder, ViT):
        encoder.learn_positions()
    facts = {
        "weights": path.name if source.file else tag,
        "weights_sha256": sha256_file(path),
        "weights_layout": name,
        "weights_mean": " ".join(f"{value:g}" for value in mean),
        "weights_std": " ".join(f"{value:g}" for value in std),
        "licence": source.licence or str(published.get("license") or "") or named.licence,
        "trained_on": "+".join(source.trained_on or named.trained_on),
    }
    return {key: value for key, value in facts.items() if value}


def check_pretrained(encoder: ImageEncoder, source: Source, *, numbers: bool = False) -> list[str]:
    """Check that a file fits an encoder, and changes nothing.

    Args:
        encoder: may be on `meta`.
        source: of a file.
        numbers: read them, too, so that a damaged file and NaN are found.

    Returns:
        Names in the file that are of later layers than the encoder uses.

    Raises:
        ConfigError: an impossible normalisation or grid.
        AssetError: see `load_pretrained`.
    """
    check_told(source.mean, source.std, source.grid)
    path = Path(source.file)
    name, layout, _ = _layout(source, path, {})
    read = read_arranged if numbers else outlined
    state, told = read(path, layout, name, encoder.modality)
    whole = cache(partial(_whole, encoder))
    fill(encoder.model, state, told, path, layout, spare=whole, dry=True, numbers=numbers)
    own = {flat(key) for key in encoder.model.state_dict()}
    return [key for key in state if flat(key) not in own]


def load_image_encoders(encoders: Iterable[nn.Module], source: Source) -> dict[str, str]:
    """Fill all image encoders with published weights; encoders of joints stay as they are.

    Args:
        encoders: of any kind.
        source: of the weights.

    Returns:
        The facts of `load_pretrained`.

    Raises:
        ConfigError: see `load_pretrained`.
        AssetError: the weights are missing or do not fit.
    """
    facts: dict[str, str] = {}
    for encoder in encoders:
        if isinstance(encoder, ImageEncoder):
            facts |= load_pretrained(encoder, source)
    return facts


def _layout(source: Source, path: Path, published: Mapping[str, Any]) -> tuple[str, Layout, Layout]:
    """Return the layout's name, the layout, and what it says of the published files, if it was named."""
    if isinstance(source.layout, str):
        name = source.layout or ("timm" if published else "")
        if name:
            layout = find_layout(name, shipped_layouts())
        else:
            found = examine(path, shipped_layouts())
            name, layout = found.name, found.layout
        named = layout if source.layout else Layout()
    else:
        body = dict(source.layout)
        name = str(body.pop("name", "of the method"))
        layout, named = parse(body, f"layout {name}"), Layout()
    if source.grid:
        layout = msgspec.structs.replace(layout, grid=list(source.grid))
    return name, layout, named


def _normalisation(
    encoder: ImageEncoder, source: Source, layout: Layout, published: Mapping[str, Any]
) -> tuple[Sequence[float], Sequence[float]]:
    """Declared, else of the tag, else of the layout, else of the encoder."""
    for mean, std in (
        (source.mean, source.std),
        (published.get("mean", ()), published.get("std", ())),
        (layout.mean, layout.std),
    ):
        if mean:
            return mean, std
    return encoder.normalisation


def _whole(encoder: ImageEncoder) -> list[str]:
    """Names of the weights of the whole network of which an encoder uses the first layers."""
    recipe = encoder.timm_recipe
    options = {k: v for k, v in recipe["options"].items() if k not in FEATURE_OPTIONS}
    with torch.device("meta"):
        return list(create_timm_model(recipe["name"], options).state_dict())
