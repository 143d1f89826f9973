"""Where samples come from: the renderer as the rest of this package sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One stored array of a sample."""

    dtype: str  # as numpy spells it, e.g. "uint8"
    shape: tuple[int, ...]  # of one sample


class Renderer(Protocol):
    """Draws whole clips; a clip is a pure function of (seed, domain, split, clip, size). Picklable."""

    @property
    def version(self) -> int:
        """Raised whenever a draw changes."""

    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""

    def splits(self, domain: str) -> tuple[str, ...]:
        """Splits of a domain."""

    def modalities(self, domain: str) -> tuple[str, ...]:
        """Modalities that samples of a domain have: `rgb`, `depth`, `kp2d`."""

    def clip_shape(self, domain: str) -> tuple[int, int]:
        """Frames and views of a clip; row `frame * views + view` of its arrays is one sample."""

    def clips(self, domain: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples."""

    def identity(self, domain: str, split: str, clip: int) -> int:
        """Person of a clip; no person occurs in two splits or domains."""

    def fields(self, size: int) -> Mapping[str, Field]:
        """Arrays of a sample."""

    def warm_up(self) -> None:
        """Compile what is compiled, so that worker processes find it done."""

    def render(self, domain: str, split: str, clip: int, *, size: int, seed: int) -> Arrays:
        """Arrays of one clip, one row per sample."""


def rows_per_clip(renderer: Renderer, domain: str) -> int:
    """Samples of a clip."""
    frames, views = renderer.clip_shape(domain)
    return frames * views


def sample_ids(renderer: Renderer, domain: str, split: str, samples: int) -> list[str]:
    """Ids of the first samples, `domain/split/clip-frame-view`; known before anything is rendered."""
    frames, views = renderer.clip_shape(domain)
    rows = [f"-{frame}-{view}" for frame in range(frames) for view in range(views)]
    clips = renderer.clips(domain, split, samples)
    ids = [f"{domain}/{split}/{clip:05d}{row}" for clip in range(clips) for row in rows]
    return ids[:samples]


def identities(renderer: Renderer, domain: str, split: str, samples: int) -> NDArray[np.int64]:
    """Person of each of the first samples, (samples,)."""
    clips = renderer.clips(domain, split, samples)
    people = np.array([renderer.identity(domain, split, clip) for clip in range(clips)], np.int64)
    return np.repeat(people, rows_per_clip(renderer, domain))[:samples]
