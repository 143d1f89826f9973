"""What data is wanted: a data spec as typed values, checked once, and the folders it lives in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, nearest

SIZES = (16, 1024)  # pixels; the renderer is neither meant for thumbnails nor for photographs


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One split of one domain as rendered with one seed and size: a folder of shards."""

    domain: str
    split: str
    seed: int
    size: int  # pixels, height = width
    version: int  # of the generator

    @property
    def folder(self) -> str:
        """Folder below the data root, e.g. `people-v1-seed0-64px/d_dense/train`."""
        return f"people-v{self.version}-seed{self.seed}-{self.size}px/{self.domain}/{self.split}"

    def under(self, root: Path) -> Path:
        """Absolute or relative path of the folder."""
        return root / self.folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The first `samples` samples of a place. Sample i never depends on how many are asked for."""

    place: Place
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A data set: parts in order; sample positions count through them."""

    parts: tuple[Part, ...]
    size: int
    version: int

    @property
    def samples(self) -> int:
        """Number of samples of all parts."""
        return sum(part.samples for part in self.parts)


def parse(spec: Mapping[str, Any]) -> DataSpec:
    """Check a plain data spec.

    Args:
        spec: `{"adapter", "version", "seed", "size", "parts": [{"domain", "split", "samples"}]}`.

    Raises:
        ConfigError: a key is missing or unknown, a value is out of range, a part is listed twice.
    """
    _keys(spec, ("adapter", "version", "seed", "size", "parts"), "data")
    size, seed = _whole(spec, "size", *SIZES), _whole(spec, "seed", 0, 2**31 - 1)
    version = _whole(spec, "version", 1, 10**6)
    parts = []
    for part in spec["parts"]:
        _keys(part, ("domain", "split", "samples"), "data.parts")
        place = Place(
            domain=str(part["domain"]), split=str(part["split"]),
            seed=seed, size=size, version=version,
        )  # fmt: skip
        parts.append(Part(place=place, samples=_whole(part, "samples", 1, 10**8)))
    if not parts:
        raise ConfigError(
            "data.parts is empty: a data set needs at least one domain, split and number of samples"
        )
    if len({part.place for part in parts}) != len(parts):
        raise ConfigError(
            "data.parts names the same domain and split twice; ask for more samples in one part"
        )
    return DataSpec(parts=tuple(parts), size=size, version=version)


def _keys(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f'{where}: unknown key "{key}".{nearest(str(key), known)}')
    for key in known:
        if key not in given:
            raise ConfigError(f'{where}: the key "{key}" is missing')


def _whole(given: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"data.{key}: {value!r} is not a whole number in {low}..{high}")
    return value
