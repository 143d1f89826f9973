"""Files that the config keys `file` (weights) and `*_file` name: keys hold their content, not their place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import AssetError
from bench.files import sha256_file

_MARK = "sha256:"


def names_file(key: str) -> bool:
    """Say whether a config key names a file of the user: `file`, `prior_file`."""
    return key == "file" or key.endswith("_file")


def by_content(
    methods: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Replace the paths of files in the stages of methods by checksums; return also those by path.

    Raises:
        AssetError: there is no such file.
    """
    marks: dict[str, str] = {}

    def named(stage: Mapping[str, Any]) -> dict[str, Any]:
        config = dict(stage["config"])
        for key, path in config.items():
            if names_file(key) and path:
                if path not in marks:
                    marks[path] = _digest(str(Path(path).expanduser()), key)
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
