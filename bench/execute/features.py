"""The `features` step: what a frozen encoder makes of all samples of some data, once for all heads.

They are kept in half precision, a row per sample in one file of the store, and read through a memory map.
Where they would take the store's features beyond `resources.features_gb`, nothing is kept, and heads have the
encoder compute them whenever they are needed. Samples always go through the encoder in batches of one size,
so that both ways give the same numbers on a CPU.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from bench.api import Dataset, Encoder, FeatureInfo, Features
from bench.console import warn
from bench.data import manifest
from bench.data.batches import to_batch
from bench.data.opening import open_dataset
from bench.dataset import MODALITIES
from bench.encoders import load_encoder
from bench.encoders.files import CARD
from bench.errors import DataError, StepError
from bench.execute.device import device_name, make_fabric
from bench.execute.finetuning import encoder_place
from bench.execute.site import RunContext, digests
from bench.files import write_atomic
from bench.grid.plan import Step
from bench.records.provenance import provenance
from bench.records.store import Store

FILE = "features.npy"
BATCH = 64  # samples that go through an encoder at once; fewer are filled up
GB = 1e9
LARGEST = float(torch.finfo(torch.float16).max)

Halves = NDArray[np.float16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the features of a sample lie in a row."""

    layers: str  # maps, tokens (the last map), pooled
    shapes: tuple[tuple[int, ...], ...]  # of each array of a sample: (C, h, w), or (P,)

    @property
    def width(self) -> int:
        """Numbers per sample."""
        return sum(math.prod(shape) for shape in self.shapes)

    def pack(self, features: Features) -> Tensor:
        """Return rows (N, width), half precision; what is too large for it becomes its largest number."""
        rows = torch.cat([part.float().flatten(1) for part in _parts(features, self.layers)], 1)
        return rows.clamp(-LARGEST, LARGEST).half()

    def unpack(self, rows: Tensor) -> Features:
        """Return rows as float32 features; those that are not kept are empty."""
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = torch.split(rows.float(), sizes, 1)
        found = tuple(part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True))
        if self.layers == "pooled":
            return Features(maps=(), pooled=found[0])
        return Features(maps=found, pooled=rows.new_zeros((len(rows), 0), dtype=torch.float32))


def _parts(features: Features, layers: str) -> tuple[Tensor, ...]:
    if layers == "pooled":
        return (features.pooled,)
    return features.maps if layers == "maps" else features.maps[-1:]


class Frozen:
    """An encoder that is only read: in evaluation mode, without gradients, and the same at the end."""

    def __init__(self, encoder: Encoder, data: Dataset, modality: str, layers: str, fabric: Fabric) -> None:
        self._encoder = encoder.to(fabric.device).eval().requires_grad_(False)
        self._data, self._modality, self._fabric = data, modality, fabric
        self._digest = state_digest(self._encoder)
        self.info = encoder.feature_info
        with torch.no_grad():
            first = self._features(np.zeros(1, np.int64))
        if not all(part.numel() for part in _parts(first, layers)) or not _parts(first, layers):
            raise StepError(f"the {encoder.feature_info.kind} encoder of {modality} returns no {layers}")
        shapes = tuple(tuple(part.shape[1:]) for part in _parts(first, layers))
        self.layout = Layout(layers=layers, shapes=shapes)

    def _features(self, rows: NDArray[np.int64]) -> Features:
        data, names = self._data, (self._modality,)
        raw = data.batch(rows, [MODALITIES[name] for name in names])
        batch = to_batch(raw, names, (), data.fields, self._fabric.device, joint_set=data.info.joint_set)
        with self._fabric.autocast():
            out: Features = self._encoder(batch[self._modality])
        return out

    def read(self, rows: ArrayLike) -> Halves:
        """Return the features of some samples, (N, width)."""
        wanted = np.asarray(rows, np.int64)
        found = np.empty((len(wanted), self.layout.width), np.float16)
        with torch.no_grad():
            for first in range(0, len(wanted), BATCH):
                own = wanted[first : first + BATCH]
                filled = np.concatenate([own, np.full(BATCH - len(own), own[-1])])
                packed = self.layout.pack(self._features(filled)).cpu().numpy()
                found[first : first + len(own)] = packed[: len(own)]
        return found

    def check_unchanged(self) -> None:
        """Make sure that reading has changed nothing.

        Raises:
            StepError: a parameter or a buffer of the encoder is another one.
        """
        if state_digest(self._encoder) != self._digest:
            raise StepError(
                "the encoder changed while its features were read: something in it learns in evaluation mode"
            )


class Kept:
    """Features of a file, read where they are needed."""

    def __init__(self, path: Path, layout: Layout, count: int) -> None:
        """Map a file.

        Raises:
            DataError: it is missing, damaged, or of another shape.
        """
        try:
            self._rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({error}); run again to have it made anew") from error
        if self._rows.shape != (count, layout.width) or self._rows.dtype != np.float16:
            raise DataError(
                f"{path} holds other features than its record says; run again to have it made anew"
            )
        self.layout = layout

    def read(self, rows: ArrayLike) -> Halves:
        """Return the features of some samples, (N, width)."""
        return np.ascontiguousarray(self._rows[np.asarray(rows, np.int64)])

    def check_unchanged(self) -> None:
        """Nothing is run here that could change."""


Source = Frozen | Kept


def state_digest(module: nn.Module) -> str:
    """Return a digest of all parameters and buffers, bit by bit, also of those that no file keeps."""
    found = hashlib.sha256()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def encode(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Run a frozen encoder over some data, and keep the features where there is room."""
    begun = time.monotonic()
    fabric = make_fabric(step.spec, site.accelerator)
    data = open_dataset(step.spec["data"], store.data, site.config_dirs)
    place = encoder_place(store.folder(step.inputs[0]), step.spec["modality"])
    frozen = _frozen(step, data, place, site, fabric)
    size, room = 2 * len(data) * frozen.layout.width, _room(step, store)
    kept = size <= room
    folder = store.folder(step)
    if kept:
        write_atomic(folder / FILE, lambda file: _write(file, frozen, len(data)))
    else:
        (folder / FILE).unlink(missing_ok=True)
        warn(
            f"{folder.name}: {size / GB:.3g} GB of features do not fit into the {max(0, room) / GB:.3g} GB "
            "that resources.features_gb leaves; they are computed whenever they are read"
        )
    frozen.check_unchanged()
    files = [FILE] if kept else []
    return {
        "labels": {},
        "facts": {
            "kept": kept,
            "bytes": size,
            "layers": frozen.layout.layers,
            "shapes": [list(shape) for shape in frozen.layout.shapes],
            "feature_info": asdict(frozen.info),
            "origin": place.name,
            "weights_sha256": json.loads((place / CARD).read_text())["weights_sha256"],
        },
        "manifests": {"all": {"n": len(data), "sha256": manifest.sha256(list(data.ids))}},
        "files": digests(folder, files),
        "cost": {"encode_wall_s": time.monotonic() - begun},
        "provenance": provenance(device_name(fabric), (str(step.spec["encoder"]["adapter"]),)),
    }


def open_features(step: Step, store: Store, data: Dataset, site: RunContext, fabric: Fabric) -> Source:
    """Return the features of a done step, from its file or from its encoder.

    Raises:
        DataError: the file is not what its record says.
    """
    record = store.record(step)
    assert record is not None
    facts = record["facts"]
    if not facts["kept"]:
        place = encoder_place(store.folder(step.inputs[0]), step.spec["modality"])
        return _frozen(step, data, place, site, fabric)
    layout = Layout(layers=facts["layers"], shapes=tuple(map(tuple, facts["shapes"])))
    return Kept(store.folder(step) / FILE, layout, len(data))


def feature_info(facts: Mapping[str, Any]) -> FeatureInfo:
    """Return what the encoder of features returns."""
    info = facts["feature_info"]
    found = FeatureInfo(**{**info, "channels": tuple(info["channels"]), "strides": tuple(info["strides"])})
    return layer_info(found, facts["layers"])


def layer_info(info: FeatureInfo, layers: str) -> FeatureInfo:
    """Return what a head that reads some layers gets of an encoder."""
    if layers != "tokens":
        return info
    return replace(info, channels=info.channels[-1:], strides=info.strides[-1:])


def _frozen(step: Step, data: Dataset, place: Path, site: RunContext, fabric: Fabric) -> Frozen:
    modality = str(step.spec["modality"])
    encoder = load_encoder(place, modality=modality, config_dirs=site.config_dirs)
    return Frozen(encoder, data, modality, str(step.spec["layers"]), fabric)


def _room(step: Step, store: Store) -> float:
    """Return how many bytes of features the store may still take; a file of this step counts as gone."""
    there = (store.root / "features").glob(f"*/*{FILE}*")
    taken = sum(_size(path) for path in there if path.parent != store.folder(step))
    return float(step.resources["features_gb"]) * GB - taken


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # another process has just finished or removed it
        return 0


def _write(file: BinaryIO, frozen: Frozen, count: int) -> None:
    """Write one `.npy`, with the memory of one batch."""
    header = {"descr": "<f2", "fortran_order": False, "shape": (count, frozen.layout.width)}
    np.lib.format.write_array_header_2_0(file, header)
    for rows in _blocks(count):
        file.write(frozen.read(rows).astype("<f2").tobytes())


def _blocks(count: int) -> Iterator[Sequence[int]]:
    for first in range(0, count, BATCH):
        yield range(first, min(count, first + BATCH))
