"""What a file of weights is: its layout, named or detected, and what it holds for which network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import AssetError, BenchError
from bench.weights.header import Entry, describe, read_header, state_dicts
from bench.weights.layout import Layout, Sorted, check_sorted, find_layout, sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of weights, as its layout understands it."""

    path: Path
    name: str  # of the layout
    layout: Layout
    entries: Mapping[str, Entry]  # by the names in the file
    sorted: Sorted
    told: str  # what the file holds, in words

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors by their new names."""
        return {new: self._shape(new, olds) for new, olds in self.sorted.used.items()}

    def _shape(self, new: str, olds: tuple[str, ...]) -> tuple[int, ...]:
        shape = self.entries[olds[0]].shape
        if len(olds) > 1:
            shape = (sum(self.entries[old].shape[0] for old in olds), *shape[1:])
        if new in self.sorted.parts:
            shape = (shape[0] // self.sorted.parts[new][1], *shape[1:])
        if any(rule.unsqueeze and re.fullmatch(rule.match, new) for rule in self.layout.tensors):
            shape = (1, *shape)
        if new == "pos_embed" and self.layout.class_row == "to_patches" and len(shape) == 3:
            shape = (1, shape[1] - 1, shape[2])
        return shape


def examine(path: Path, layouts: Mapping[str, Layout], name: str = "") -> Found:
    """Find out what a file is.

    Args:
        path: of the file.
        layouts: known ones, by name.
        name: of its layout; "" = to be detected.

    Raises:
        AssetError: the file cannot be read, is in no known layout or in several, or the layout leaves
            something of it over.
        ConfigError: there is no layout of that name.
    """
    content = read_header(path)
    if name:
        return understood(path, content, name, find_layout(name, layouts))
    fits = []
    best = 0
    for known, layout in layouts.items():
        rank = _rank(layout, content, path) if layout.detect else 0
        if rank > best:
            fits, best = [(known, layout)], rank
        elif rank and rank == best:
            fits.append((known, layout))
    if not fits:
        inner = state_dicts(content)
        alone = f', save its "{inner[0][0]}" alone' if inner else ""
        raise AssetError(
            f"{path}: is in none of the known layouts; found {describe(content)}. Name one (layout=NAME, see "
            f"`bench list layouts`){alone}, or describe it in a YAML of your own in layout/"
        )
    if len(fits) > 1:
        raise AssetError(
            f"{path}: could be in the layouts {' or '.join(n for n, _ in fits)}; name one: layout=NAME"
        )
    return understood(path, content, *fits[0])


def understood(path: Path, content: Any, name: str, layout: Layout) -> Found:
    """Return what a layout makes of a file.

    Raises:
        AssetError: it does not fit.
    """
    entries, found = sort(layout, content, path)
    check_sorted(found, path, name)
    return Found(path=path, name=name, layout=layout, entries=entries, sorted=found, told=describe(content))


def _rank(layout: Layout, content: Any, path: Path) -> int:
    """Return how much of a file speaks for a layout: its conditions, which all must hold; 0 = not."""
    try:
        entries, found = sort(layout, content, path)
    except BenchError:
        return 0
    if found.unknown or not found.used:
        return 0
    names = [*entries]
    for pattern in layout.marks:
        if not any(re.fullmatch(pattern, name) for name in names):
            return 0
    for pattern in layout.absent:
        if any(re.fullmatch(pattern, name) for name in names):
            return 0
    whole = Found(path=path, name="", layout=layout, entries=entries, sorted=found, told="")
    shapes = whole.shapes
    for name, wanted in layout.shapes.items():
        shape = shapes.get(name, ())
        if len(shape) != len(wanted) or any(w and w != s for w, s in zip(wanted, shape, strict=True)):
            return 0
    return 1 + len(layout.marks) + 3 * len(layout.shapes)
