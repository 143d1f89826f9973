"""The registered layouts of weights: YAMLs in `layout/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from bench.grid.registry import BUILT_IN, load, names
from bench.weights.layout import Layout, parse


def read_layouts(dirs: Iterable[Path]) -> dict[str, Layout]:
    """Return the registered layouts by name.

    Raises:
        ConfigError: one is wrong.
    """
    return {name: parse(load(path, "layout"), str(path)) for name, path in names("layout", dirs).items()}


@cache
def shipped_layouts() -> Mapping[str, Layout]:
    """Return the layouts of the project."""
    return read_layouts([BUILT_IN])
