"""Published weights for image encoders, from a local file or the Hugging Face cache, never from the net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from bench.encoders.image import ImageEncoder
from bench.errors import AssetError, ConfigError
from bench.files import sha256_file

CACHED_NAMES = ("model.safetensors", "pytorch_model.bin")
WRAPPERS = ("state_dict", "model")  # keys under which training scripts store the weights
LISTED = 3


def load_pretrained(encoder: ImageEncoder, tag: str | None, file: str = "") -> dict[str, str]:
    """Fill an image encoder with published weights, all of them or none.

    Keys that the encoder has no use for (classifiers, decoders) are ignored; a position table of another size
    is resized bicubically.

    Args:
        encoder: to be filled in place.
        tag: of timm, e.g. `hrnet_w18.ms_in1k`.
        file: .safetensors, or a pickled state dict, which is read without executing code. Empty = the cache.

    Returns:
        `weights`, the tag or file name; `weights_sha256`.

    Raises:
        ConfigError: neither a tag nor a file.
        AssetError: no file, an unreadable one, or one whose weights do not fit.
    """
    path = _find(tag, file)
    found = {key.removeprefix("module."): value for key, value in _read(path).items()}
    # timm joins nested names with "_" when it wraps a network for features, hence the comparison in that form
    by_name = {key.replace(".", "_"): value for key, value in found.items()}
    wanted = encoder.model.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key.replace(".", "_") not in by_name and key not in counters]
    if missing:
        some = ", ".join(missing[:LISTED])
        raise AssetError(
            f"{path}: {len(missing)} of {len(wanted)} weights are missing ({some}); wrong architecture?"
        )
    state = {key: by_name.get(key.replace(".", "_"), value) for key, value in wanted.items()}
    if "pos_embed" in state and state["pos_embed"].shape != wanted["pos_embed"].shape:
        side = round((wanted["pos_embed"].shape[1] - 1) ** 0.5)
        state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], new_size=[side, side])
    try:
        encoder.model.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise AssetError(f"{path} does not fit the encoder: {detail}") from error
    return {"weights": path.name if file else str(tag), "weights_sha256": sha256_file(path)}


def load_image_encoders(encoders: Iterable[nn.Module], tag: str = "", file: str = "") -> dict[str, str]:
    """Fill all image encoders with published weights; encoders of joints stay as they are.

    Args:
        encoders: of any kind.
        tag: of timm; empty takes `pretrained` of each encoder's spec.
        file: local weights; empty takes the cache.

    Returns:
        The facts of `load_pretrained`.

    Raises:
        AssetError: the weights are missing or do not fit.
    """
    facts: dict[str, str] = {}
    for encoder in encoders:
        if isinstance(encoder, ImageEncoder):
            facts |= load_pretrained(encoder, tag or encoder.spec.get("pretrained"), file)
    return facts


def _find(tag: str | None, file: str) -> Path:
    if file:
        if not Path(file).is_file():
            raise AssetError(f"there is no weights file {file}; correct the config key `file`")
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


def _read(path: Path) -> Mapping[str, Tensor]:
    """Read a state dict without executing code from the file."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead to
        raise AssetError(f"{path} cannot be read as weights; convert it to .safetensors") from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise AssetError(f"{path} holds no plain mapping from names to tensors")
    return content
