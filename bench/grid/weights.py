"""Files that the config keys `file` (weights) and `*_file` name: keys hold their content, not their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from glob import escape
from pathlib import Path
from typing import Any

from bench.errors import AssetError
from bench.files import sha256_file
from bench.grid.brought import expanded, localise
from bench.weights.packages import PREFIX, locate

KEY = "file"  # config key of a method's weights
_MARK = "sha256:"
CACHED_NAMES = ("model.safetensors", "pytorch_model.bin")  # of weights in the Hugging Face cache


def tag_of(method: Mapping[str, Any], published: str | None) -> str:
    """Return the weights that a method starts from: a file, a tag of timm, `pkg:...`; "" where none.

    Args:
        method: resolved.
        published: tag of the encoder, for methods that name none.
    """
    first = next(iter(method["stages"].values()))["config"]  # later stages go on from the one before
    if not (method.get("needs_pretrained_tag") or (KEY in first and first.get("init", "random") != "random")):
        return ""
    return str(first.get(KEY) or first.get("tag") or published or "")


def absent(
    methods: Mapping[str, Mapping[str, Any]],
    encoders: Mapping[str, Mapping[str, Any]],
    files: Collection[str] = (),
) -> dict[str, str]:
    """Return why weights that methods start from cannot be had on this machine, by tag, and by file.

    Looks for folders of the Hugging Face cache that end like the tag, as timm names them, without timm.

    Args:
        methods: resolved.
        encoders: all of the grid.
        files: those that need not be there.
    """
    tags = {tag_of(method, e["pretrained"]) for method in methods.values() for e in encoders.values()}
    given = {s["config"].get(KEY) for method in methods.values() for s in method["stages"].values()}
    found = {path: f"there is no weights file {path}" for path in files if not expanded(path).is_file()}
    for tag in sorted(tags - given - {""}):
        if tag.startswith(PREFIX):
            try:
                locate(tag)
            except AssetError as error:
                found[tag] = f"weights {tag.rpartition('/')[2]} are not on this machine: {error}"
        elif not _is_cached(tag):
            found[tag] = (
                f"weights {tag} are not on this machine: run `hf download timm/{tag} {CACHED_NAMES[0]}` "
                f"where there is a network, or name a local file with the config key `{KEY}`"
            )
    return found


def _is_cached(tag: str) -> bool:
    from huggingface_hub.constants import HF_HUB_CACHE  # not before it is needed: planning stays quick

    places = (f"models--*--{escape(tag)}/snapshots/*/{name}" for name in CACHED_NAMES)
    return any(any(Path(HF_HUB_CACHE).glob(place)) for place in places)


def names_file(key: str) -> bool:
    """Say whether a config key names a file of the user: `file`, `prior_file`."""
    return key == "file" or key.endswith("_file")


def by_content(
    methods: Mapping[str, Mapping[str, Any]], absent: Collection[str] = ()
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Replace the paths of files in the stages of methods by checksums; return also those by path.

    Those in `absent` stay as they are.

    Raises:
        AssetError: there is no such file.
    """
    marks: dict[str, str] = {}

    def named(stage: Mapping[str, Any]) -> dict[str, Any]:
        config = dict(stage["config"])
        for key, path in config.items():
            if names_file(key) and path and path not in absent:
                if path not in marks:
                    marks[path] = _digest(str(localise(path)), key)
                config[key] = marks[path]
        return {**stage, "config": config}

    found = {
        name: {**method, "stages": {s: named(stage) for s, stage in method["stages"].items()}}
        for name, method in methods.items()
    }
    return found, marks


def placed(config: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's config with the paths of its files in place of their checksums."""
    return {key: resources["files"][value] if _marked(key, value) else value for key, value in config.items()}


def located(config: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's config with the paths of its files, as `placed`, after looking them over.

    Raises:
        AssetError: a file is gone, or is another one now.
    """
    found = placed(config, resources)
    for key, mark in config.items():
        if _marked(key, mark) and _digest(found[key], key) != mark:
            raise AssetError(
                f"{_what(key)} {found[key]} has changed since the grid was planned; run the command again"
            )
    return found


def _marked(key: str, value: Any) -> bool:
    return names_file(key) and isinstance(value, str) and value.startswith(_MARK)


def _what(key: str) -> str:
    return "weights file" if key == "file" else key.replace("_", " ")


def _digest(path: str, key: str) -> str:
    if not Path(path).is_file():
        raise AssetError(f"there is no {_what(key)} {path}; correct the config key `{key}`")
    return f"{_MARK}{sha256_file(Path(path))[:16]}"
