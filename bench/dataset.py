"""The contract of data sets: named fields, rows, units, budgets; how adapters are described and opened.

Nothing here imports torch, so that planning and preparing data stay quick. An adapter is a class in
`bench/datasets/` (or in a folder of one's own) and a YAML of the same stem in `configs/dataset`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import ConfigError, nearest
from bench.modalities import MODALITIES as MODALITIES

Arrays = dict[str, NDArray[Any]]
Ints = NDArray[np.int64]
Outcome = Literal["built", "present", "taken"]  # taken: another process is at work on it
Progress = Callable[[int, int], object]  # samples there, samples wanted

# What a field is says how it is decoded, cropped, warped and mirrored (`bench.data.augment`)
FieldKind = Literal[
    "image",  # (H, W, 3) uint8 colour; resampled bilinearly
    "depth",  # (H, W) uint16 millimetres, 0 = no measurement; nearest pixel
    "classes",  # (H, W) integer class per pixel; nearest pixel; `flip` names the classes' mirror table
    "mask",  # (H, W) bool; nearest pixel
    "uv",  # (H, W, 2) uint8 surface coordinates of the chart map that `of` names; nearest pixel
    "pixels",  # (P, 2) annotated pixels (row, col), centres at integers; absent = -1
    "point_classes",  # (P,) class of each annotated pixel of the field that `of` names; 0 = none
    "point_uv",  # (P, 2) uint8 surface coordinates of the annotated pixels that `of` names
    "boxes",  # (B, 4) left, top, right, bottom edge in pixels; absent = 0
    "joints2d",  # (J, 3 or 4) x, y in pixels, ..., visibility or confidence last; `flip` is the joint set
    "joints3d",  # (J, 3 or 4) camera coordinates x, y, z in metres [, visibility]; `flip` is the joint set
    "vertices",  # (V, 3) camera coordinates in metres; `flip` is the body
    "rotations",  # (J, 3) axis-angle, the first one global in camera coordinates; `flip` is the joint set
    "camera",  # (3, 3) intrinsics of the image, pixels
    "plain",  # anything that a crop leaves as it is: shape coefficients, ids, a class of the whole sample
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One array of a sample."""

    dtype: str  # as numpy spells it, e.g. "uint8"
    shape: tuple[int, ...]  # of one sample
    kind: FieldKind = "plain"
    flip: str = ""  # what mirroring swaps: a joint set or a key of `bench.data.mirror.CLASSES`; "" = nothing
    of: str = ""  # the field that this one belongs to, e.g. the charts of a `uv` map
    absent: int = 0  # value of samples that lack the field


def picture_size(fields: Mapping[str, Field]) -> tuple[int, int]:
    """Return (H, W) of the images that fields tell of.

    Raises:
        ConfigError: none of them is an image or a map.
    """
    for made in fields.values():
        if made.kind in ("image", "depth", "classes", "mask", "uv"):
            return made.shape[0], made.shape[1]
    raise ConfigError("the data have no images, hence no size that joints could lie in")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """Facts about the data that a method or task may size itself by."""

    n_samples: int  # training samples; addresses memory banks
    size: tuple[int, int]  # (H, W) of the crops, pixels
    joint_set: str  # key of `bench.bodymodels.joints.JOINT_SETS`; "" = the data has no joints
    classes: int = 0  # of whole samples; 0 = none
    flips: Mapping[str, str] = field(default_factory=dict)  # `Field.flip` of all fields; set when opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some samples of one split of one source of a data set, in the set's own order."""

    source: str  # what a data set is made of, e.g. a synthetic domain; "main" where there is one only
    split: str
    samples: int  # the first so many; 0 = all, where the data end
    hide: tuple[str, ...] = ()  # fields and modalities that count as absent here


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Which data are wanted: an adapter with its settings, and parts in order."""

    name: str
    adapter: str  # "module:Class"
    version: int
    config: Mapping[str, Any]
    size: tuple[int, int]  # (H, W), pixels
    parts: tuple[Part, ...]
    source: str = ""  # digest of the code that is meant, of adapters outside the project; "" = any

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> DataSpec:
        """Return the typed form of a step's `data`; planning has checked it."""
        parts = tuple(Part(**{**part, "hide": tuple(part.get("hide", ()))}) for part in spec["parts"])
        height, width = spec["size"]
        return cls(
            name=str(spec["name"]),
            adapter=str(spec["adapter"]),
            version=int(spec["version"]),
            config=dict(spec["config"]),
            size=(int(height), int(width)),
            parts=parts,
            source=str(spec.get("source", "")),
        )


class Piece(Protocol):
    """Some missing samples that can be made apart from the others, in any process. Picklable."""

    @property
    def name(self) -> str:
        """Where it will be, below the root; unique."""

    def warm_up(self) -> None:
        """Compile what making it needs, before several processes would do so side by side."""

    def make(self, root: Path) -> Outcome:
        """Make it, unless it is there or another live process makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a user's files hold."""

    digest: str  # of the annotations, 16 hex digits
    counts: Mapping[str, Mapping[str, int]]  # source -> split -> samples
    text: str  # for people, a line per part
    problems: tuple[str, ...] = ()  # a line each


class Dataset:
    """Rows of named fields, opened from a spec; the base of all data-set adapters.

    Attributes:
        info: facts that methods and tasks size themselves by.
        fields: what can be read, by name. A field named `rgb`, `depth` or `keypoints_detected` is what the
            modalities `rgb`, `depth` and `kp2d` are made of.
        ids: unique names of the samples, in order.
        clusters: what a bootstrap draws as one, per sample, (n,) int64: person, image, sequence.
        unit: the name of such a cluster.
        groups: what budgets keep together, (n,) int64, e.g. versions of one image; None = nothing.
        strata: what budgets thin alike, e.g. the subject, (n,); None = nothing.
        classes: of the whole sample, (n,) int64, for budgets in shots; None = none.
        valid: which samples have a field or modality, name -> (n,) bool; all of `MODALITIES` are named, of
            the fields those that some samples lack.
        sources: collections that the samples come from, e.g. "coco/main/train"; a row is exposed where the
            pretraining or the fine-tuning saw those of the test data.
        manifest_sha256: names the selection in records.
    """

    Config: ClassVar[type]  # frozen dataclass, the schema of the YAML's `config`

    info: DataInfo
    fields: Mapping[str, Field]
    ids: Sequence[str]
    clusters: Ints
    unit: str
    groups: Ints | None = None
    strata: Sequence[str] | None = None
    classes: Ints | None = None
    valid: Mapping[str, NDArray[np.bool_]]
    sources: frozenset[str] = frozenset()
    manifest_sha256: str

    @classmethod
    def check(cls, spec: DataSpec, root: Path | None = None) -> None:
        """Check a spec without reading samples; must be quick and free of torch.

        Args:
            spec: what is wanted.
            root: of prepared data; None = only what needs no file.

        Raises:
            ConfigError: an unknown source or split, an impossible size, more samples than there are.
        """

    @classmethod
    @abstractmethod
    def prepare(
        cls, specs: Sequence[DataSpec], root: Path, jobs: int = 1, on_progress: Progress | None = None
    ) -> int:
        """Make what is missing of some specs below `root`, in `jobs` processes; return how many samples.

        Raises:
            AssetError: a user's files are not where they were said to be.
        """

    @classmethod
    def missing(cls, specs: Sequence[DataSpec], root: Path) -> Sequence[Piece]:
        """Return what `prepare` would make, in pieces that workers share; () = nothing, or not in pieces."""
        return ()

    @classmethod
    def verify(cls, spec: DataSpec, root: Path) -> list[str]:
        """Check every byte of prepared data; return one line per problem."""
        return []

    @classmethod
    def list_ids(cls, spec: DataSpec, root: Path) -> Sequence[str]:
        """Return the ids of the samples; the default opens the data."""
        return cls(spec, root).ids

    @classmethod
    def look_over(cls, root: Path, progress: Callable[[str, int, int], None] | None = None) -> Found:
        """Look at a user's files below `root`, for `bench data add` and `check`.

        Raises:
            ConfigError: the data set is not made of a user's files.
        """
        raise ConfigError(f"data set {cls.__name__} needs no files; `bench data build` makes it")

    @classmethod
    def preview(cls, spec: DataSpec, root: Path, rows: Sequence[int]) -> bytes:
        """Return the sheet of some samples; data that can be made need not be there, nor are they kept."""
        return cls(spec, root).sheet(rows)

    def sheet(self, rows: ArrayLike) -> bytes:
        """Draw samples beside each other with what is known about them; return a PNG.

        Raises:
            ConfigError: the data set does not draw itself.
        """
        raise ConfigError(f"data set {type(self).__name__} draws no sheets of its samples")

    @abstractmethod
    def __init__(self, spec: DataSpec, root: Path) -> None:
        """Open prepared data.

        Raises:
            DataError: something is missing or damaged; names it and the command that makes it.
        """

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def batch(self, rows: ArrayLike, fields: Sequence[str]) -> Arrays:
        """Read samples.

        Args:
            rows: positions 0..n-1, (N,).
            fields: names of `fields`.

        Returns:
            The fields, (N, ...) each, absent ones filled with `Field.absent`; `sample_id` (N,) int64, the
            positions; `valid.<name>` (N,) bool for every name in `valid`.

        Raises:
            ConfigError: unknown field, with the nearest one.
            IndexError: a position is outside 0..n-1.
        """

    def checked(self, rows: ArrayLike, fields: Sequence[str]) -> Ints:
        """Return rows as numbers; for `batch`, which raises the same errors."""
        found = np.asarray(rows, np.int64).reshape(-1)
        if len(found) and (found.min() < 0 or found.max() >= len(self)):
            raise IndexError(f"positions {found.min()}..{found.max()} in a data set of {len(self)} samples")
        for name in fields:
            if name not in self.fields:
                raise ConfigError(f'data have no field "{name}".{nearest(name, self.fields)}')
        return found

    def pairs(self, kind: str) -> Ints:
        """Return rows that show one person twice, (M, 2), first < second.

        Args:
            kind: `view` (one moment, two cameras) or `pose` (one camera, two moments).

        Raises:
            ConfigError: the data set has no such pairs.
        """
        raise ConfigError(
            f"data set {type(self).__name__} has no pairs of kind {kind}; choose a method that needs none"
        )
