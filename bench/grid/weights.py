"""Weights files named by the config key `file`: their content is part of a key, their place is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import AssetError
from bench.files import sha256_file
from bench.grid.brought import localise

KEY = "file"
_MARK = "sha256:"


def by_content(
    methods: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Replace the paths of weights files in the stages of methods by checksums; return also those by path.

    Raises:
        AssetError: there is no such file.
    """
    marks: dict[str, str] = {}

    def named(stage: Mapping[str, Any]) -> dict[str, Any]:
        path = stage["config"].get(KEY)
        if not path:
            return dict(stage)
        if path not in marks:
            marks[path] = _digest(str(localise(path)))
        return {**stage, "config": {**stage["config"], KEY: marks[path]}}

    found = {
        name: {**method, "stages": {s: named(stage) for s, stage in method["stages"].items()}}
        for name, method in methods.items()
    }
    return found, marks


def located(config: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's config with the path of its weights file in place of the checksum.

    Raises:
        AssetError: the file is gone, or is another one now.
    """
    mark = config.get(KEY)
    if not isinstance(mark, str) or not mark.startswith(_MARK):
        return dict(config)
    path = resources["files"][mark]
    if _digest(path) != mark:
        raise AssetError(f"weights file {path} has changed since the grid was planned; run the command again")
    return {**config, KEY: path}


def _digest(path: str) -> str:
    if not Path(path).is_file():
        raise AssetError(f"there is no weights file {path}; correct the config key `{KEY}`")
    return f"{_MARK}{sha256_file(Path(path))[:16]}"
