"""Published weights for image encoders, from a local file or the Hugging Face cache, never from the net."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn

from bench.encoders.image import ImageEncoder, create_timm_model
from bench.encoders.positions import resize_positions
from bench.encoders.state_dicts import LISTED, StateDict, match, read_state_dict
from bench.encoders.vit import ViT
from bench.errors import AssetError, ConfigError
from bench.files import sha256_file
from bench.grid.weights import CACHED_NAMES

FEATURE_OPTIONS = ("features_only", "out_indices", "feature_location", "num_classes")  # cut a network short
# what files hold beside an encoder and no encoder has: classifiers, decoders of masked autoencoders
DROPPED = ("head.", "head_dist.", "fc.", "fc_norm.", "classifier.", "pre_logits.", "decoder_", "mask_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where weights come from, and what their file does not tell."""

    tag: str = ""  # of timm, e.g. `hrnet_w18.ms_in1k`; empty takes `pretrained` of the encoder's spec
    file: str = ""  # .safetensors, or a pickled state dict; empty takes the cache
    mean: tuple[float, ...] = ()  # of colour in 0..1; empty takes the tag's, with a file the encoder's
    std: tuple[float, ...] = ()
    grid: tuple[int, ...] = ()  # height, width of the position table; empty takes a square


def load_pretrained(encoder: ImageEncoder, source: Source) -> dict[str, str]:
    """Fill an image encoder with published weights, all of them or none.

    Weights of a tag bring their normalisation. Classifiers, decoders and later layers of the same network are
    left out. A position table is resized bicubically, and trained from then on.

    Args:
        encoder: to be filled in place.
        source: of the weights.

    Returns:
        `weights`, the tag or file name; `weights_sha256`; `weights_mean` and `weights_std`, as used.

    Raises:
        ConfigError: neither a tag nor a file, or an impossible normalisation or grid.
        AssetError: no file, an unreadable one, or one whose weights do not fit.
    """
    _check(source)
    tag = source.tag or encoder.spec.get("pretrained") or ""
    path = _find(tag, source.file)
    found = read_state_dict(path)
    wanted = encoder.model.state_dict()
    state, rest = match(found, wanted)
    _check_rest(encoder, found, rest)
    if isinstance(encoder, ViT):
        side = encoder.cfg.image_size // encoder.cfg.patch
        state["pos_embed"] = resize_positions(state["pos_embed"], side, source.grid, path)
    for name, value in state.items():  # torch would copy those that fit before it complains
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, the encoder's {tuple(wanted[name].shape)}"
            raise AssetError(f"{path} does not fit the encoder: {name} has shape {shapes}")
    mean, std = _normalisation(encoder, source, tag)
    encoder.model.load_state_dict(state)
    encoder.normalise_by(mean, std)
    if isinstance(encoder, ViT):
        encoder.learn_positions()
    return {
        "weights": path.name if source.file else tag,
        "weights_sha256": sha256_file(path),
        "weights_mean": " ".join(f"{value:g}" for value in mean),
        "weights_std": " ".join(f"{value:g}" for value in std),
    }


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


def _check(source: Source) -> None:
    mean, std = source.mean, source.std
    if (mean or std) and (len(mean), len(std)) != (3, 3):
        raise ConfigError("give `mean` and `std` of weights together, three numbers each")
    if not all(map(math.isfinite, (*mean, *std))) or any(value <= 0 for value in std):
        raise ConfigError(f"mean {list(mean)} and std {list(std)} of weights must be finite, std above 0")
    if source.grid and (len(source.grid) != 2 or min(source.grid) < 1):
        raise ConfigError(f"grid {list(source.grid)} of weights must be [height, width] in patches")


def _normalisation(
    encoder: ImageEncoder, source: Source, tag: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Declared, else of the tag, else of the encoder."""
    if source.mean:
        return source.mean, source.std
    if source.file:
        return encoder.normalisation
    published = timm.get_pretrained_cfg(tag)
    mean, std = (published.mean, published.std) if published is not None else ((), ())
    if len(mean) != 3 or len(std) != 3:
        raise AssetError(f"weights {tag} are for {len(mean)} channels; choose some for three")
    return mean, std


def _check_rest(encoder: ImageEncoder, found: StateDict, rest: Sequence[str]) -> None:
    """Make sure that what an encoder has no use for is known: not a part that its network lacks."""
    unknown = [name for name in rest if not name.startswith(DROPPED)]
    if unknown:
        recipe = encoder.timm_recipe
        options = {k: v for k, v in recipe["options"].items() if k not in FEATURE_OPTIONS}
        with torch.device("meta"):
            whole = {k.replace(".", "_") for k in create_timm_model(recipe["name"], options).state_dict()}
        unknown = [name for name in unknown if name.replace(".", "_") not in whole]
    if unknown:
        some = ", ".join(unknown[:LISTED]) + (", ..." if len(unknown) > LISTED else "")
        raise AssetError(
            f"{found.path}: the encoder ({encoder.timm_recipe['name']}) has no place for {len(unknown)} "
            f"tensors ({some}); choose an encoder of their architecture, or take them out of the file"
        )


def _find(tag: str, file: str) -> Path:
    if file:
        if not Path(file).is_file():
            raise AssetError(
                f"there is no weights file {Path(file).absolute()}; correct the config key `file`"
            )
        return Path(file)
    if not tag:
        raise ConfigError(
            "this encoder has no published weights (`pretrained` in its YAML); choose another or give `file`"
        )
    import huggingface_hub

    try:
        published = timm.get_pretrained_cfg(tag)
    except RuntimeError:  # known architecture, unknown tag
        published = None
    hub_id = published.hf_hub_id if published is not None else None
    if not hub_id:
        raise ConfigError(f'timm knows no published weights "{tag}"; correct the tag')
    for name in CACHED_NAMES:
        cached = huggingface_hub.try_to_load_from_cache(hub_id, name)
        if isinstance(cached, str):
            return Path(cached)
    raise AssetError(
        f"weights {tag} are not in the Hugging Face cache: run `hf download {hub_id} {CACHED_NAMES[0]}` "
        "where there is a network, or name a local file with the config key `file`"
    )
