"""Weights inside installed Python packages: `pkg:PACKAGE/FILE`. Nothing of the package is imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.errors import AssetError, ConfigError

PREFIX = "pkg:"


def locate(place: str) -> Path | None:
    """Return the file of a place that begins with `pkg:`; None for any other place.

    Raises:
        ConfigError: it names no file in a package.
        AssetError: the package is not installed, or has no such file.
    """
    if not place.startswith(PREFIX):
        return None
    package, _, file = place.removeprefix(PREFIX).partition("/")
    if not package.isidentifier() or not file:
        raise ConfigError(f'"{place}" is not pkg:PACKAGE/FILE')
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]
    if not folders:
        raise AssetError(
            f"the Python package {package} is not installed: run `pip install {package.replace('_', '-')}`"
        )
    for folder in folders:
        if (folder / file).is_file():
            return folder / file
    raise AssetError(f"the Python package {package} in {folders[0]} has no file {file}")
