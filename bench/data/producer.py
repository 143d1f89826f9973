"""Who makes samples that are kept in shards, as the rest of this package sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.dataset import Arrays, Field, Ints

Size = tuple[int, int]  # (H, W), pixels


class Producer(Protocol):
    """Makes whole clips, each a pure function of (producer, source, split, clip, size). Picklable, hashable.

    A clip is a run of samples that belong together: a moment or a motion, from one or several views.
    """

    @property
    def name(self) -> str:
        """What the samples depend on besides: a word with version and settings, part of a folder's name."""

    @property
    def version(self) -> int:
        """Raised whenever a sample changes."""

    def sources(self) -> tuple[str, ...]:
        """Names of the sources."""

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of a source."""

    def clip_shape(self, source: str) -> tuple[int, int]:
        """Frames and views of a clip; row `frame * views + view` of its arrays is one sample."""

    def clips(self, source: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples.

        Raises:
            ConfigError: there are not so many.
        """

    def cluster(self, source: str, split: str, clip: int) -> int:
        """What a bootstrap draws as one, e.g. the person; no cluster occurs in two splits or sources."""

    def fields(self, source: str, size: Size) -> Mapping[str, Field]:
        """Arrays of a sample of a source; what a source lacks is not among them."""

    def warm_up(self) -> None:
        """Compile what is compiled, so that worker processes find it done."""

    def produce(self, source: str, split: str, clip: int, size: Size) -> Arrays:
        """Arrays of one clip, one row per sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One split of one source of one size: a folder of shards."""

    producer: str  # name of it
    source: str
    split: str
    height: int  # pixels
    width: int

    @property
    def size(self) -> Size:
        """Size of the images."""
        return self.height, self.width

    @property
    def folder(self) -> str:
        """Folder below the data root, e.g. `people-v3-seed0-64x64px/d_dense/train`."""
        return f"{self.producer}-{self.height}x{self.width}px/{self.source}/{self.split}"

    def under(self, root: Path) -> Path:
        """Absolute or relative path of the folder."""
        return root / self.folder


def rows_per_clip(producer: Producer, source: str) -> int:
    """Samples of a clip."""
    frames, views = producer.clip_shape(source)
    return frames * views


def sample_ids(producer: Producer, source: str, split: str, samples: int) -> list[str]:
    """Ids of the first samples, `source/split/clip-frame-view`; known before anything is made."""
    clips = producer.clips(source, split, samples)
    return [name for clip in range(clips) for name in clip_ids(producer, source, split, clip)][:samples]


def clip_ids(producer: Producer, source: str, split: str, clip: int) -> list[str]:
    """Ids of the samples of a clip."""
    frames, views = producer.clip_shape(source)
    return [f"{source}/{split}/{clip:05d}-{frame}-{view}" for frame in range(frames) for view in range(views)]


def sample_clusters(producer: Producer, source: str, split: str, samples: int) -> Ints:
    """Cluster of each of the first samples, (samples,)."""
    clips = producer.clips(source, split, samples)
    found = np.array([producer.cluster(source, split, clip) for clip in range(clips)], np.int64)
    return np.repeat(found, rows_per_clip(producer, source))[:samples]
