"""What every encoder must do, checked on embedded people in each modality that it reads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.adapter_kit.finding import Check, ContractViolation
from bench.api import Batch, Encoder, Features, check_features
from bench.data.batches import to_batch
from bench.data.opening import open_dataset, prepare
from bench.dataset import DataSpec, Part
from bench.encoders import build_encoder
from bench.encoders.files import load_encoder, save_encoder
from bench.errors import ConfigError
from bench.grid.registry import config_dirs as all_dirs
from bench.grid.registry import load, names
from bench.train.seeding import seeded_initialisation

READS = {"pyramid": ("rgb", "depth"), "tokens": ("rgb", "depth"), "points": ("depth",), "graph": ("kp2d",)}
SIDES = (64, 128)  # pixels; multiples of the coarsest stride of common networks
SAMPLES = 3
DATA = "people"
SOURCE = "lab_rgbd"
CLOSE = 1e-4  # of features whose batch is another one: kernels sum in another order


@dataclass(frozen=True, kw_only=True)
class EncoderChecks:
    """The checks of one encoder."""

    name: str
    root: Path  # of the data
    config_dirs: tuple[str, ...] = ()

    def checks(self) -> Iterator[Check]:
        """Yield names and checks."""
        yield "builds as its YAML says", self._builds
        yield "features are what it says", self._features
        yield "rows do not depend on each other", self._rows
        yield "gradients", self._gradients
        yield "a frozen one stays as it is", self._frozen
        yield "save and load", self._saved

    @cached_property
    def body(self) -> dict[str, Any]:
        """Its YAML."""
        return load(names("encoder", all_dirs(self.config_dirs))[self.name], "encoder")

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """Those that it can be built for."""
        found, refused = [], []
        for modality in READS[self.body["kind"]]:
            try:
                self._built(modality)
                found.append(modality)
            except ConfigError as error:
                refused.append(str(error))
        if not found:
            raise ContractViolation(f"it can be built for no modality: {'; '.join(refused)}")
        return tuple(found)

    @cached_property
    def batches(self) -> dict[tuple[int, int], Batch]:
        """Embedded people, by height and width; images alone also higher than wide."""
        found = {(side, side): self._batch((side, side)) for side in SIDES}
        high, wide = max(SIDES), min(SIDES)
        batch = found[high, high]
        if set(self.modalities) <= {"rgb", "depth"} and not self._fields:
            found[high, wide] = {name: batch[name][..., :wide] for name in self.modalities}
        return found

    @cached_property
    def _fields(self) -> list[str]:
        """What it reads besides its modality."""
        return sorted({name for m in self.modalities for name in self._built(m).fields})

    @property
    def _first(self) -> Batch:
        return next(iter(self.batches.values()))

    def _batch(self, size: tuple[int, int]) -> Batch:
        body = self._people
        part = Part(source=SOURCE, split="pretrain", samples=SAMPLES)
        spec = DataSpec(
            name=DATA,
            adapter=str(body["adapter"]),
            version=int(body["version"]),
            config=dict(body["config"]),
            size=size,
            parts=(part,),
        )
        prepare([spec], self.root, 1)
        data = open_dataset(spec, self.root)
        raw = data.batch(np.arange(SAMPLES), list(data.fields))
        joints = data.info.joint_set
        return to_batch(raw, self.modalities, self._fields, data.fields, "cpu", joint_set=joints)

    @cached_property
    def _people(self) -> dict[str, Any]:
        """The YAML of the embedded people."""
        return load(names("dataset", all_dirs(()))[DATA], "dataset")

    def _built(self, modality: str) -> Encoder:
        joints = str(self._people["joint_set"]) if modality == "kp2d" else None
        with seeded_initialisation("contract"):
            return build_encoder(self.body, modality, joints, self.config_dirs)

    def _each(self) -> Iterator[tuple[str, Encoder, Callable[[Batch], Features]]]:
        """Yield each modality with a fresh encoder in evaluation mode, and a function that runs it."""
        for modality in self.modalities:
            encoder = self._built(modality).eval()

            def run(batch: Batch, encoder: Encoder = encoder, modality: str = modality) -> Features:
                found: Features = encoder(batch[modality], *encoder.besides(batch))
                return found

            yield modality, encoder, run

    def _builds(self) -> None:
        for modality in self.modalities:
            first, again = (self._built(modality).state_dict() for _ in range(2))
            if other := _differs(first, again):
                raise ContractViolation(
                    f"{modality}: {other} is another one under the same seed; draw weights from torch's state"
                )

    def _features(self) -> None:
        for modality, encoder, run in self._each():
            for size, batch in self.batches.items():
                where = f"{modality}, {size[0]} x {size[1]} pixels"
                found = run(batch)
                check_features(found, encoder.feature_info, size)
                for name, values in _named(found).items():
                    if len(values) != SAMPLES or not torch.isfinite(values).all():
                        raise ContractViolation(
                            f"{where}: {name} of {SAMPLES} rows is not {SAMPLES} finite rows"
                        )
                if encoder.feature_info.kind == "tokens":
                    cells = found.maps[-1].shape[2] * found.maps[-1].shape[3]
                    there = None if found.tokens is None else found.tokens.shape[1]
                    if there != cells:
                        raise ContractViolation(f"{where}: {there} tokens, and {cells} cells of the last map")

    def _rows(self) -> None:
        batch = self._first
        for modality, _, run in self._each():
            with torch.no_grad():
                whole, one = _named(run(batch)), _named(run(_row(batch, 1)))
            for name, values in one.items():
                far = float((values[0] - whole[name][1]).abs().max() / (1 + whole[name].abs().max()))
                if far > CLOSE:
                    raise ContractViolation(f"{modality}: {name} of a row depends on the rows beside it")

    def _gradients(self) -> None:
        batch = self._first
        for modality, encoder, run in self._each():
            loss = torch.stack([values.square().sum() for values in _named(run(batch)).values()]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            trained = {name: p for name, p in encoder.named_parameters() if p.requires_grad}
            if not trained:
                raise ContractViolation(f"{modality}: it has no parameter that can be trained")
            for name, parameter in trained.items():
                if parameter.grad is None or not torch.isfinite(parameter.grad).all():
                    raise ContractViolation(f"{modality}: no finite gradient reaches {name}")

    def _frozen(self) -> None:
        for modality, encoder, run in self._each():
            before = {name: values.clone() for name, values in encoder.state_dict().items()}
            with torch.no_grad():
                first, again = _named(run(self._first)), _named(run(self._first))
            if other := _differs(before, encoder.state_dict()):
                raise ContractViolation(f"{modality}: {other} changes in evaluation mode")
            if other := _differs(first, again):
                raise ContractViolation(f"{modality}: {other} is another one the second time")

    def _saved(self) -> None:
        for modality, encoder, run in self._each():
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                save_encoder(encoder, Path(folder))
                loaded = load_encoder(Path(folder), modality, self.config_dirs).eval()
                batch = self._first
                found = _named(loaded(batch[modality], *loaded.besides(batch)))
                if other := _differs(_named(run(batch)), found):
                    raise ContractViolation(f"{modality}: {other} is another one after saving and loading")


def _named(features: Features) -> dict[str, Tensor]:
    found = {f"maps[{k}]": values for k, values in enumerate(features.maps)} | {"pooled": features.pooled}
    return found if features.tokens is None else {**found, "tokens": features.tokens}


def _row(batch: Batch, row: int) -> Batch:
    return {name: values[row : row + 1] for name, values in batch.items()}


def _differs(first: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that is not the same, "" where all are."""
    for name in dict.fromkeys((*first, *again)):
        if name not in first or name not in again or not torch.equal(first[name], again[name]):
            return name
    return ""
