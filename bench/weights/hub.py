"""Weights on the Hugging Face hub: from the cache, else fetched; offline it is said what to run elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.errors import AssetError, ConfigError
from bench.weights.packages import locate

PREFIX = "hf:"  # begins a place on the hub: hf:timm/lcnet_050.ra2_in1k, or hf:owner/repo/file.pth
FILES = ("model.safetensors", "pytorch_model.bin")


def split(place: str) -> tuple[str, str]:
    """Return repository and file of a place on the hub; the file may be "".

    Raises:
        ConfigError: it names no repository.
    """
    words = place.removeprefix(PREFIX).split("/", 2)
    if len(words) < 2 or not all(words):
        raise ConfigError(f'"{place}" is not hf:OWNER/REPOSITORY, e.g. hf:timm/lcnet_050.ra2_in1k')
    return "/".join(words[:2]), words[2] if len(words) > 2 else ""


def fetch(repo: str, names: tuple[str, ...] = FILES) -> Path:
    """Return the first of some files of a repository that is there.

    Args:
        repo: `owner/name`.
        names: of files, in the order of preference.

    Raises:
        ConfigError: no such name can be.
        AssetError: none is there, or there is no network and none in the cache.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        try:
            cached = huggingface_hub.try_to_load_from_cache(repo, name)
        except ValueError as error:  # a name that no repository or file can have
            raise ConfigError(f"{PREFIX}{repo}/{name}: {' '.join(str(error).split())[:160]}") from None
        if isinstance(cached, str):
            return Path(cached)
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        reason = f"it has none of the files {', '.join(names)}"
        for name in names:
            try:
                return Path(huggingface_hub.hf_hub_download(repo, name))
            except LocalEntryNotFoundError:
                reason = "the hub cannot be reached"
                break
            except EntryNotFoundError:
                continue
            except (
                Exception
            ) as error:  # no such repository, a gated one, a dead proxy: whatever the client says
                reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
                break
    raise AssetError(
        f"weights {repo} are not in the Hugging Face cache, and {reason[:160]}: run "
        f"`hf download {repo} {names[0]}` where there is a network (HF_HOME says where the cache "
        "lies), or name a local file"
    )


def fetch_config(repo: str) -> dict[str, Any]:
    """Return what `config.json` of a repository says, {} where it has none.

    Raises:
        AssetError: it is no JSON.
    """
    try:
        path = fetch(repo, ("config.json",))
    except AssetError:
        return {}
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise AssetError(f"{path} is no JSON ({type(error).__name__}); remove it from the cache") from error


def fetch_tag(tag: str) -> tuple[Path, dict[str, Any]]:
    """Return the weights of a tag of timm, and what timm knows of them: mean, std, license.

    `pkg:PACKAGE/FILE` names a file in a Python package instead, of which nothing else is known.

    Raises:
        ConfigError: no tag, or timm has no such weights.
        AssetError: they are neither in the cache nor to be had.
    """
    if not tag:
        raise ConfigError(
            "this encoder has no published weights (`pretrained` in its YAML); choose another or give `file`"
        )
    if path := locate(tag):
        return path, {}
    import timm

    try:
        published = timm.get_pretrained_cfg(tag)
    except RuntimeError:  # known architecture, unknown tag
        published = None
    hub_id = published.hf_hub_id if published is not None else None
    if published is None or not hub_id:
        raise ConfigError(f'timm knows no published weights "{tag}"; correct the tag')
    mean, std = tuple(published.mean), tuple(published.std)
    if (len(mean), len(std)) != (3, 3):
        raise AssetError(f"weights {tag} are for {len(mean)} channels; choose some for three")
    return fetch(hub_id), {"mean": mean, "std": std, "license": published.license}
