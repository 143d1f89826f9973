"""Data sets of samples that a producer makes and that are kept in memory-mapped shards."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.data import build, manifest, shards
from bench.data.build import Piece, place_of, spans, stored_fields
from bench.data.producer import Place, Producer, rows_per_clip, sample_clusters, sample_ids
from bench.data.shards import Span
from bench.dataset import (
    MODALITIES,
    Arrays,
    DataInfo,
    Dataset,
    DataSpec,
    Field,
    Ints,
    Part,
    Progress,
)  # fmt: skip
from bench.errors import ConfigError, DataError, nearest
from bench.settings import SIDES


class Read(Protocol):
    """Gives the rows of a stored array."""

    def __call__(self, name: str, *, other: bool = False) -> NDArray[Any]:
        """Read an array.

        Args:
            name: of a stored array.
            other: of the rows beside these in their clip instead: 1 of 0, 0 of 1, 3 of 2. In clips of two
                cameras these are what the other camera saw.
        """


class ShardedDataset(Dataset):
    """Samples of a producer; groups are its clips.

    An adapter names `joint_set` and `unit`, builds the `producer`, and may derive further fields.
    """

    joint_set: ClassVar[str] = ""
    unit = "clip"

    @classmethod
    @abstractmethod
    def producer(cls, config: Any) -> Producer:
        """Return who makes the samples of a config."""

    @classmethod
    def derived(cls, stored: Mapping[str, Field], source: str) -> Mapping[str, Field]:
        """Return fields that are made when read, for a source with these stored arrays."""
        return {}

    @classmethod
    def hidden(cls) -> Sequence[str]:
        """Return stored arrays that are no fields, only what others are derived from."""
        return ()

    def derive(self, name: str, read: Read) -> NDArray[Any]:
        """Make a derived field of some rows.

        Args:
            name: of the field.
            read: gives the rows of stored arrays.
        """
        raise NotImplementedError(f"{type(self).__name__} declares the field {name} and does not derive it")

    @classmethod
    def check(cls, spec: DataSpec, root: Path | None = None) -> None:
        producer = cls._producer(spec)
        if spec.version != producer.version:
            raise DataError(
                f"data {spec.name} ask for version {spec.version} of the producer, installed is "
                f"{producer.version}; update the YAML (configs/dataset) or install the matching release"
            )
        if not all(SIDES[0] <= side <= SIDES[1] for side in spec.size):
            raise ConfigError(f"data.size: {list(spec.size)} is outside {SIDES[0]}..{SIDES[1]} pixels")
        if not spec.parts:
            raise ConfigError("data.parts is empty: a data set needs at least one source, split and number")
        for part in spec.parts:
            _check_part(part, producer)
        if len({(part.source, part.split) for part in spec.parts}) != len(spec.parts):
            raise ConfigError("data.parts names a source and split twice; ask for more samples in one part")
        known = cls._all_fields(spec, producer)
        for name in (name for part in spec.parts for name in part.hide):
            if name not in known and name not in MODALITIES:
                raise ConfigError(
                    f'data.parts.hide: there is no "{name}".{nearest(name, [*known, *MODALITIES])}'
                )

    @classmethod
    def prepare(
        cls, specs: Sequence[DataSpec], root: Path, jobs: int = 1, on_progress: Progress | None = None
    ) -> int:
        found = cls._by_producer(specs)
        return sum(build.build(own, root, producer, jobs, on_progress) for producer, own in found.items())

    @classmethod
    def missing(cls, specs: Sequence[DataSpec], root: Path) -> list[Piece]:
        found = cls._by_producer(specs)
        return [p for producer, own in found.items() for p in build.missing_pieces(own, root, producer)]

    @classmethod
    def verify(cls, spec: DataSpec, root: Path) -> list[str]:
        cls.check(spec)
        return build.verify(spec, root, cls._producer(spec))

    @classmethod
    def list_ids(cls, spec: DataSpec, root: Path) -> list[str]:
        cls.check(spec)
        producer = cls._producer(spec)
        parts = (sample_ids(producer, part.source, part.split, part.samples) for part in spec.parts)
        return [name for ids in parts for name in ids]

    def __init__(self, spec: DataSpec, root: Path) -> None:
        self.check(spec)
        producer = self._producer(spec)
        counts = [part.samples for part in spec.parts]
        self.ids = self.list_ids(spec, root)
        self.info = DataInfo(n_samples=sum(counts), size=spec.size, joint_set=self.joint_set)
        self.clusters = np.concatenate(
            [sample_clusters(producer, part.source, part.split, part.samples) for part in spec.parts]
        )
        self.sources = frozenset(f"{spec.name}/{part.source}/{part.split}" for part in spec.parts)
        self.manifest_sha256 = manifest.sha256(self.ids)
        places = [place_of(spec, part, producer) for part in spec.parts]
        self._stored = [stored_fields(producer, place) for place in places]  # by part
        own = [
            self._fields_of(stored, part.source)
            for stored, part in zip(self._stored, spec.parts, strict=True)
        ]
        self.fields = self._all_fields(spec, producer)
        self.valid = _valid(self.fields, spec.parts, own, counts)
        self._firsts = np.cumsum([0, *counts])
        self._chunks = [
            (k, folder, span, count)
            for k, (place, part) in enumerate(zip(places, spec.parts, strict=True))
            for folder, span, count in _chunks(place, part, root, producer, self._stored[k], spec.name)
        ]
        self._starts = np.cumsum([0, *(count for _, _, _, count in self._chunks)])
        self._maps: dict[tuple[int, str], NDArray[Any]] = {}

    def batch(self, rows: ArrayLike, fields: Sequence[str]) -> Arrays:
        wanted = self.checked(rows, fields)
        out: Arrays = {"sample_id": wanted}
        out |= {f"valid.{name}": flags[wanted] for name, flags in self.valid.items()}
        part = np.searchsorted(self._firsts, wanted, side="right") - 1
        here = np.unique(part)
        if len(here) == 1 and all(name not in self.valid or out[f"valid.{name}"].all() for name in fields):
            out |= self._read(wanted, int(here[0]), fields)
            return out
        for name in fields:
            field = self.fields[name]
            out[name] = np.full((len(wanted), *field.shape), field.absent, field.dtype)
        for k in here.tolist():
            mine = np.flatnonzero(part == k)
            has = [n for n in fields if n not in self.valid or self.valid[n][wanted[mine[0]]]]
            for name, values in self._read(wanted[mine], k, has).items():
                out[name][mine] = values
        return out

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        """Draw the stored arrays of some samples beside each other; return a PNG.

        Raises:
            ConfigError: the data set does not draw itself.
        """
        raise ConfigError(f"data set {cls.__name__} draws no sheets of its samples")

    @classmethod
    def preview(cls, spec: DataSpec, root: Path, rows: Sequence[int]) -> bytes:
        if not cls.missing([spec], root):
            return cls(spec, root).sheet(rows)
        producer, samples = cls._producer(spec), []
        for row in rows:
            ends = np.cumsum([part.samples for part in spec.parts])
            k = int(np.searchsorted(ends, row, side="right"))
            part = spec.parts[k]
            clip, own = divmod(row - int(ends[k] - part.samples), rows_per_clip(producer, part.source))
            made = producer.produce(part.source, part.split, clip, spec.size)
            samples.append({name: values[own] for name, values in made.items()})
        return cls.draw(samples)

    def sheet(self, rows: ArrayLike) -> bytes:
        return self.draw([self.stored(row) for row in np.asarray(rows, np.int64).tolist()])

    def stored(self, row: int) -> Arrays:
        """Return all stored arrays of one sample."""
        part = int(np.searchsorted(self._firsts, row, side="right")) - 1
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        pick = [(chunk, int(row - self._starts[chunk]))]
        return {name: self._gather(name, field, pick)[0] for name, field in self._stored[part].items()}

    def _read(self, rows: Ints, part: int, fields: Sequence[str]) -> Arrays:
        """Rows of one part."""
        chunk = np.searchsorted(self._starts, rows, side="right") - 1
        picks = list(zip(chunk.tolist(), (rows - self._starts[chunk]).tolist(), strict=True))
        stored = self._stored[part]

        @cache
        def read(name: str, *, other: bool = False) -> NDArray[Any]:
            chosen = [(shard, position ^ 1) for shard, position in picks] if other else picks
            return self._gather(name, stored[name], chosen)

        return {name: read(name) if name in stored else self.derive(name, read) for name in fields}

    def _gather(self, name: str, field: Field, picks: list[tuple[int, int]]) -> NDArray[Any]:
        out = np.empty((len(picks), *field.shape), field.dtype)
        for row, (chunk, position) in enumerate(picks):
            array = self._maps.get((chunk, name))
            if array is None:
                _, folder, span, _ = self._chunks[chunk]
                array = self._maps[chunk, name] = shards.open_array(folder, span, name, field)
            out[row] = array[position]
        return out

    @classmethod
    def _producer(cls, spec: DataSpec) -> Producer:
        from bench.adapters.loading import build_config

        return cls.producer(build_config(cls.Config, spec.config, f"data {spec.name}"))

    @classmethod
    def _by_producer(cls, specs: Sequence[DataSpec]) -> dict[Producer, list[DataSpec]]:
        found: dict[Producer, list[DataSpec]] = {}
        for spec in specs:
            cls.check(spec)
            found.setdefault(cls._producer(spec), []).append(spec)
        return found

    @classmethod
    def _fields_of(cls, stored: Mapping[str, Field], source: str) -> dict[str, Field]:
        """Fields of a source with some stored arrays."""
        shown = {name: field for name, field in stored.items() if name not in cls.hidden()}
        return {**shown, **cls.derived(stored, source)}

    @classmethod
    def _all_fields(cls, spec: DataSpec, producer: Producer) -> dict[str, Field]:
        """Fields of all parts.

        Raises:
            ConfigError: two sources mean different things by one name.
        """
        found: dict[str, Field] = {}
        for part in spec.parts:
            stored = dict(producer.fields(part.source, spec.size))
            for name, field in cls._fields_of(stored, part.source).items():
                if found.setdefault(name, field) != field:
                    raise ConfigError(f"data {spec.name}: {part.source} has another {name} than its peers")
        return found


def _check_part(part: Part, producer: Producer) -> None:
    if part.source not in producer.sources():
        raise ConfigError(f'unknown source "{part.source}".{nearest(part.source, producer.sources())}')
    splits = producer.splits(part.source)
    if part.split not in splits:
        raise ConfigError(f'{part.source} has no split "{part.split}".{nearest(part.split, splits)}')
    if part.samples < 1:
        raise ConfigError(
            f"{part.source}/{part.split}: {part.samples} samples; say how many to make, from 1 on"
        )
    producer.clips(part.source, part.split, part.samples)


def _valid(
    fields: Mapping[str, Field], parts: Sequence[Part], own: Sequence[Mapping[str, Field]], counts: list[int]
) -> dict[str, NDArray[np.bool_]]:
    """Which samples have each modality, and each field that some lack."""
    has = {
        name: [
            field in mine and not {name, field} & set(part.hide)
            for part, mine in zip(parts, own, strict=True)
        ]
        for name, field in {**{n: n for n in fields}, **MODALITIES}.items()
    }
    for modality, field in MODALITIES.items():
        if field in has:
            has[field] = has[modality]  # hidden as one, hidden as the other
    return {n: np.repeat(flags, counts) for n, flags in has.items() if n in MODALITIES or not all(flags)}


def _chunks(
    place: Place, part: Part, root: Path, producer: Producer, fields: Mapping[str, Field], name: str
) -> list[tuple[Path, Span, int]]:
    """Shards that hold a part: folder, shard, and how many of its samples are read."""
    folder = place.under(root)
    flaws = {span: shards.flaw(folder, place, span, fields) for span in shards.present(folder)}
    good = [span for span, what in flaws.items() if what is None]
    chunks = []
    for wanted in spans(place, part.samples, producer):
        span = shards.holder(good, wanted)
        if span is None:
            found = [f"{folder / span.name}: {what}" for span, what in flaws.items() if what]
            missing = f"{folder}: no shard holds the samples {wanted.first} to {wanted.stop - 1}"
            raise DataError(f"{found[0] if found else missing}; run `bench data build {name}`")
        if what := shards.damage_since(folder, span):
            raise DataError(
                f"{folder / span.name}: {what}; `bench data build {name}`, with the store, preset and "
                "overrides of the run, makes it anew"
            )
        chunks.append((folder, span, min(wanted.count, part.samples - wanted.first)))
    return chunks
