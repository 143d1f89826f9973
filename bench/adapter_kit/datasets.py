"""What every data set must do, checked on a few samples of each of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bench.adapter_kit.finding import Check, ContractViolation
from bench.api import Draws, seeded
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.opening import open_dataset, prepare
from bench.dataset import MODALITIES, Arrays, Dataset, DataSpec, Part
from bench.errors import ConfigError
from bench.grid.registry import config_dirs as all_dirs
from bench.grid.registry import load, pick, yamls

SAMPLES = 6
SIDE = 48  # pixels
STRONG = {"zoom": [0.75, 1.25], "rotation": 30.0, "shift": 0.1, "flip": True}


def parts_of(name: str, config_dirs: Sequence[str]) -> list[DataSpec]:
    """Return a small spec for every source and split that the YAML of a data set names.

    Raises:
        ConfigError: no such data set, or it is made of a user's files.
    """
    files = {path.stem: path for folder in all_dirs(config_dirs) for path in yamls(folder / "dataset")}
    body = load(files[pick(name, "dataset", files)[0]], "dataset")
    if body.get("files"):
        raise ConfigError(f"data set {name} is made of your files; `bench data check {name}` looks them over")
    return [
        DataSpec(
            name=name,
            adapter=str(body["adapter"]),
            version=int(body["version"]),
            config=dict(body["config"]),
            size=(SIDE, SIDE),
            parts=(Part(source=source, split=split, samples=SAMPLES),),
        )
        for source, splits in body["sources"].items()
        for split in splits
    ]


@dataclass(frozen=True, kw_only=True)
class DatasetChecks:
    """The checks of one data set."""

    specs: Sequence[DataSpec]
    root: Path
    config_dirs: tuple[str, ...] = ()

    def checks(self) -> Iterator[Check]:
        """Yield names and checks."""
        yield "opens as its YAML says", self._opens
        yield "facts", self._facts
        yield "arrays", self._arrays
        yield "order and repetition", self._order
        yield "augmentation", self._augmentation
        yield "bad rows and names", self._refuses

    @cached_property
    def data(self) -> Mapping[str, Dataset]:
        """Opened parts, by what they are called in messages."""
        prepare(self.specs, self.root, 1, self.config_dirs)
        return {
            f"{spec.parts[0].source}/{spec.parts[0].split}": open_dataset(spec, self.root, self.config_dirs)
            for spec in self.specs
        }

    def _opens(self) -> None:
        for where, data in self.data.items():
            if len(data) != SAMPLES:
                raise ContractViolation(f"{where} has {len(data)} samples, asked for {SAMPLES}")

    def _facts(self) -> None:
        for where, data in self.data.items():
            n = len(data)
            wrong = {
                "ids are not unique": len(set(data.ids)) != n,
                "clusters are not (n,) whole numbers": _shape(data.clusters) != (n,)
                or not np.issubdtype(np.asarray(data.clusters).dtype, np.integer),
                "unit has no name": not data.unit,
                "info.n_samples is another number": data.info.n_samples != n,
                f"info.size is not the {SIDE} x {SIDE} asked for": tuple(data.info.size) != (SIDE, SIDE),
                f"valid does not name {', '.join(MODALITIES)}": not MODALITIES.keys() <= data.valid.keys(),
                "sources is empty, so that exposure cannot be known": not data.sources,
                "manifest_sha256 is empty": not data.manifest_sha256,
                "groups are not (n,)": data.groups is not None and _shape(data.groups) != (n,),
                "classes are not (n,)": data.classes is not None and _shape(data.classes) != (n,),
            }
            for name, flags in data.valid.items():
                array = np.asarray(flags)
                wrong[f"valid[{name}] is not (n,) bool"] = array.shape != (n,) or array.dtype != bool
            for text, found in wrong.items():
                if found:
                    raise ContractViolation(f"{where}: {text}")
        ids = [name for data in self.data.values() for name in data.ids]
        if len(set(ids)) != len(ids):
            raise ContractViolation("two parts share a sample; test data must not be trained on")

    def _arrays(self) -> None:
        for where, data in self.data.items():
            batch = data.batch(np.arange(len(data)), list(data.fields))
            for name, field in data.fields.items():
                found, wanted = batch[name], (len(data), *field.shape)
                if found.shape != wanted or found.dtype != np.dtype(field.dtype):
                    raise ContractViolation(
                        f"{where}: {name} is {found.dtype} {found.shape}, declared {field.dtype} {wanted}"
                    )
                lacks = ~data.valid[name] if name in data.valid else np.zeros(len(data), bool)
                if (found[lacks] != np.asarray(field.absent, found.dtype)).any():
                    raise ContractViolation(f"{where}: absent {name} is not {field.absent}")
            if not np.array_equal(batch["sample_id"], np.arange(len(data))):
                raise ContractViolation(f"{where}: sample_id is not the position of the sample")
            for name, flags in data.valid.items():
                if not np.array_equal(batch[f"valid.{name}"], flags):
                    raise ContractViolation(f"{where}: valid.{name} of the batch is not that of the data")

    def _order(self) -> None:
        for spec, (where, data) in zip(self.specs, self.data.items(), strict=True):
            names, rows = list(data.fields), np.array([3, 0, 3])
            whole = data.batch(np.arange(len(data)), names)
            some, none = data.batch(rows, names), data.batch([], names)
            again = open_dataset(spec, self.root, self.config_dirs).batch(rows, names)
            for name in names:
                if not _equal(some[name], whole[name][rows]):
                    raise ContractViolation(f"{where}: {name} depends on which rows are read with it")
                if not _equal(some[name], again[name]):
                    raise ContractViolation(f"{where}: {name} is another one when the data are opened again")
                if none[name].shape != whole[name][:0].shape:
                    raise ContractViolation(f"{where}: {name} of no rows is {none[name].shape}")

    def _augmentation(self) -> None:
        for data in self.data.values():
            raw: Arrays = data.batch(np.arange(len(data)), list(data.fields))
            has = [m for m, field in MODALITIES.items() if field in data.fields and data.valid[m].any()]
            joints = data.info.joint_set
            batch = to_batch(raw, has, list(data.fields), data.fields, "cpu", joint_set=joints)
            moved = augment(batch, data.fields, STRONG, Draws(generator=seeded("contract")), joint_set=joints)
            for name, values in moved.items():
                if values.is_floating_point() and not torch.isfinite(values).all():
                    raise ContractViolation(f"{name} is not finite after augmentation")

    def _refuses(self) -> None:
        for where, data in self.data.items():
            name = next(iter(data.fields))
            for rows in ([len(data)], [-1]):
                try:
                    data.batch(rows, [name])
                except IndexError:
                    continue
                raise ContractViolation(f"{where}: row {rows[0]} of {len(data)} is not refused (IndexError)")
            try:
                data.batch([0], ["no such field"])
            except ConfigError:
                continue
            raise ContractViolation(f"{where}: an unknown field is not refused (ConfigError)")


def _shape(values: ArrayLike) -> tuple[int, ...]:
    return np.asarray(values).shape


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.floating))
