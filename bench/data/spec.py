"""What data is wanted: a data spec as typed values, checked once, and the folders it lives in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from bench.errors import ConfigError
from bench.settings import convert

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


class _GivenPart(Struct, kw_only=True, forbid_unknown_fields=True):
    domain: str
    split: str
    samples: Annotated[int, Meta(ge=1, le=10**8)]


class _Given(Struct, kw_only=True, forbid_unknown_fields=True):
    adapter: str
    version: Annotated[int, Meta(ge=1, le=10**6)]
    seed: Annotated[int, Meta(ge=0, lt=2**31)]
    size: Annotated[int, Meta(ge=SIZES[0], le=SIZES[1])]
    parts: list[_GivenPart]


def parse(spec: Mapping[str, Any]) -> DataSpec:
    """Check a plain data spec.

    Args:
        spec: `{"adapter", "version", "seed", "size", "parts": [{"domain", "split", "samples"}]}`.

    Raises:
        ConfigError: a key is missing or unknown, a value is out of range, a part is listed twice.
    """
    found = convert(spec, _Given, "data")
    parts = [
        Part(
            place=Place(
                domain=part.domain,
                split=part.split,
                seed=found.seed,
                size=found.size,
                version=found.version,
            ),
            samples=part.samples,
        )
        for part in found.parts
    ]
    if not parts:
        raise ConfigError(
            "data.parts is empty: a data set needs at least one domain, split and number of samples"
        )
    if len({part.place for part in parts}) != len(parts):
        raise ConfigError(
            "data.parts names the same domain and split twice; ask for more samples in one part"
        )
    return DataSpec(parts=tuple(parts), size=found.size, version=found.version)
