"""The embedded people: rendered samples opened as one memory-mapped data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.api import DataInfo
from bench.data import manifest, shards
from bench.data.build import check, spans, stored_fields
from bench.data.renderer import Arrays, Renderer, identities, rows_per_clip, sample_ids
from bench.data.shards import Span
from bench.data.spec import Part, parse
from bench.data.synthetic import Synthetic
from bench.errors import ConfigError, DataError, nearest
from bench.synth.labels import chart24, mask, part25

JOINT_SET = "smpl24"  # joint set of `kp` and `kp_det`
MODALITIES = ("rgb", "depth", "kp2d")
LOOK_UPS = {"parts": part25, "chart": chart24, "mask": mask}  # by triangle number
DERIVED = (*LOOK_UPS, "cluster")  # made when read


def part_ids(spec: Mapping[str, Any], part: int) -> list[str]:
    """Ids of one part of a data spec; nothing needs to be rendered for it.

    Raises:
        ConfigError: the spec is wrong.
    """
    source, wanted = Synthetic(), parse(spec)
    check(wanted, source)
    place, samples = wanted.parts[part].place, wanted.parts[part].samples
    return sample_ids(source, place.domain, place.split, samples)


class People:
    """Samples of a data spec in the order of its parts.

    Attributes:
        info: facts that methods and tasks size themselves by.
        ids: unique names, `domain/split/clip-frame-view`.
        clusters: person of each sample, (n,) int64; people never cross domains or splits.
        groups: clip of each sample, (n,) int64, counted through the parts; its samples show one moment
            or motion and belong together.
        domains: domain name of each sample, (n,).
        valid: which samples have a modality, name -> (n,) bool.
        manifest_sha256: names the selection in records.
    """

    def __init__(self, spec: Mapping[str, Any], root: Path, *, source: Renderer | None = None) -> None:
        """Open the shards that `build` has rendered below `root`; each is checked, its bytes
        once.

        Raises:
            ConfigError: the spec is wrong.
            DataError: samples are missing, or a shard is damaged; names it.
        """
        source = source or Synthetic()
        wanted = parse(spec)
        check(wanted, source)
        self.info = DataInfo(n_samples=wanted.samples, image_size=wanted.size, joint_set=JOINT_SET)
        self.ids: list[str] = []
        people: list[NDArray[np.int64]] = []
        groups: list[NDArray[np.int64]] = []
        domains: list[NDArray[np.str_]] = []
        for part in wanted.parts:
            domain, split, samples = part.place.domain, part.place.split, part.samples
            self.ids += sample_ids(source, domain, split, samples)
            people.append(identities(source, domain, split, samples))
            first = groups[-1][-1] + 1 if groups else 0
            groups.append(first + np.arange(samples) // rows_per_clip(source, domain))
            domains.append(np.full(samples, domain))
        self.clusters: NDArray[np.int64] = np.concatenate(people)
        self.groups: NDArray[np.int64] = np.concatenate(groups)
        self.domains: NDArray[np.str_] = np.concatenate(domains)
        self.manifest_sha256 = manifest.sha256(self.ids)
        has = {name: set(source.modalities(name)) for name in {p.place.domain for p in wanted.parts}}
        self.valid = {m: np.array([m in has[name] for name in self.domains]) for m in MODALITIES}
        self._fields = stored_fields(source, wanted.size)
        self._chunks = [chunk for part in wanted.parts for chunk in _chunks(part, root, source)]
        self._starts = np.cumsum([0] + [count for _, _, count in self._chunks])
        self._maps: dict[tuple[int, str], NDArray[Any]] = {}

    def __len__(self) -> int:
        return self.info.n_samples

    def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
        """Read rows of the data set.

        Args:
            indices: positions 0..n-1, (N,).
            fields: stored arrays (`rgb`, `depth`, `fid`, `uv`, `kp`, `kp_det`, `points`, `point_chart`,
                `point_uv`, `pose`, `betas`, `transl`, `cam`, `ids`) or derived ones: `parts` uint8 (N, S, S)
                in 25 classes, `chart` uint8 (N, S, S) in 0..24, `mask` bool (N, S, S), `cluster` int64 (N,).

        Returns:
            The fields as stored, plus `sample_id` int64 (N,), the positions, and `valid.rgb`, `valid.depth`,
            `valid.kp2d` bool (N,). Points and key points count pixels as `bench.data.batches` describes,
            except that `points` are whole pixels here.

        Raises:
            ConfigError: unknown field.
            IndexError: a position is outside 0..n-1.
        """
        rows = np.asarray(indices, np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"positions {rows.min()}..{rows.max()} in a data set of {len(self)} samples")
        out: Arrays = {"sample_id": rows, **{f"valid.{m}": flags[rows] for m, flags in self.valid.items()}}
        chunk = np.searchsorted(self._starts, rows, side="right") - 1
        within = rows - self._starts[chunk]
        picks = list(zip(chunk.tolist(), within.tolist(), strict=True))
        for name in dict.fromkeys(self._stored(name) for name in fields):
            if name:
                out[name] = self._gather(name, picks)
        for name in fields:
            if name in LOOK_UPS:
                out[name] = LOOK_UPS[name](out["fid"])
            elif name == "cluster":
                out[name] = self.clusters[rows]
        if "fid" not in fields:
            out.pop("fid", None)
        return out

    def _stored(self, name: str) -> str:
        """The array that a field is read from; empty for none."""
        if name in self._fields:
            return name
        if name not in DERIVED:
            raise ConfigError(f'data has no field "{name}".{nearest(name, [*self._fields, *DERIVED])}')
        return "" if name == "cluster" else "fid"

    def _gather(self, name: str, picks: list[tuple[int, int]]) -> NDArray[Any]:
        field = self._fields[name]
        out = np.empty((len(picks), *field.shape), field.dtype)
        for row, (chunk, position) in enumerate(picks):
            array = self._maps.get((chunk, name))
            if array is None:
                array = self._open(chunk, name)
            out[row] = array[position]
        return out

    def _open(self, chunk: int, name: str) -> NDArray[Any]:
        folder, span, _ = self._chunks[chunk]
        array = self._maps[chunk, name] = shards.open_array(folder, span, name, self._fields[name])
        return array


def _chunks(part: Part, root: Path, source: Renderer) -> list[tuple[Path, Span, int]]:
    """Shards that hold a part: folder, shard, and how many of its samples are read."""
    folder, fields = part.place.under(root), stored_fields(source, part.place.size)
    flaws = {span: shards.flaw(folder, part.place, span, fields) for span in shards.present(folder)}
    good = [span for span, what in flaws.items() if what is None]
    chunks = []
    for wanted in spans(part, source):
        span = shards.holder(good, wanted)
        if span is None:
            found = [f"{folder / span.name}: {what}" for span, what in flaws.items() if what]
            missing = f"{folder}: no shard holds the samples {wanted.first} to {wanted.stop - 1}"
            raise DataError(f"{found[0] if found else missing}; run `bench data build people`")
        if what := shards.damage_since(folder, span):
            raise DataError(
                f"{folder / span.name}: {what}; `bench data build people`, with the store, preset and "
                "overrides of the run, renders it anew"
            )
        chunks.append((folder, span, min(wanted.count, part.samples - wanted.first)))
    return chunks
