"""The `probe` step: heads on frozen features, one per rate, trained in one pass; validation chooses.

The encoder is not there while heads learn: they read what the `features` steps left. Nothing is augmented, as
each sample is encoded once.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import ArrayLike
from safetensors.torch import save
from torch import Tensor, nn

from bench.api import Batch, Context, Dataset, FeatureInfo, Stats, StepOutput, Task
from bench.data import manifest
from bench.data.batches import moved, to_batch
from bench.data.loader import loader
from bench.data.opening import open_dataset
from bench.dataset import Arrays
from bench.encoders.files import load_whole
from bench.errors import ConfigError, StepError
from bench.execute.device import device_name, make_fabric
from bench.execute.features import Layout, Source, feature_info, open_features
from bench.execute.finetuning import (
    CHUNK,
    EVALUATION_BATCH,
    NETWORK,
    PREDICTIONS,
    WEIGHTS,
    Chosen,
    Rows,
    build_task,
    choose,
    labels,
)  # fmt: skip
from bench.execute.predictions import write_chunks
from bench.execute.returned import per_sample, plain_metrics, scored
from bench.execute.site import RunContext, check_input, digests
from bench.files import write_atomic
from bench.grid.plan import Step, code_of
from bench.heads.frozen import NearestNeighbours
from bench.records.provenance import provenance
from bench.records.store import Store
from bench.train.loop import fit, points
from bench.train.run import Run, TrainModule
from bench.train.seeding import seeded_initialisation

FEATURES = "features"  # entry of a batch: rows of features as they are kept


class Heads(TrainModule):
    """Heads that start alike and learn side by side, each at its own rate; none sees the others."""

    def __init__(
        self, task: Task, heads: Sequence[nn.Module], rates: Sequence[float], layout: Layout
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.task, self.layout = task, layout
        self._rates = {
            id(p): rate for head, rate in zip(heads, rates, strict=True) for p in head.parameters()
        }
        self._names = [f"rate_{rate:g}" for rate in rates]

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        features = self.layout.unpack(batch[FEATURES])
        terms = {}
        for name, head in zip(self._names, self.heads, strict=True):
            loss = torch.stack(
                list(self.task.loss(head(features, self.task.data.size), batch).values())
            ).sum()
            # a rate at which a head diverges must not end the others
            terms[name] = (
                loss if bool(torch.isfinite(loss)) else loss.detach().new_zeros((), requires_grad=True)
            )
        return StepOutput(terms=terms)

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        own = self.task.group(name.split(".", 2)[2], parameter)
        return {**own, "lr_scale": self._rates[id(parameter)] * float(own.get("lr_scale", 1.0))}


class _Labelled:
    """Samples with their features, for the loader."""

    def __init__(self, data: Dataset, source: Source) -> None:
        self._data, self._source = data, source

    def __len__(self) -> int:
        return len(self._data)

    def batch(self, indices: ArrayLike, fields: Sequence[str]) -> Arrays:
        """Read rows."""
        return {**self._data.batch(indices, fields), FEATURES: self._source.read(indices)}


def probe(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Train heads on the features of a share of the labels; keep the one that is best on validation."""
    spec = step.spec
    fabric = make_fabric(spec, site.accelerator)
    sets = {
        split: open_dataset(data, store.data, site.config_dirs)
        for split, data in spec["data"].items()
        if data
    }
    task = build_task(spec, sets["train"], site.config_dirs)
    chosen = choose(sets["train"], sets.get("val"), task, spec)
    sources = [
        open_features(needed, store, data, site, fabric)
        for needed, data in zip(step.inputs, sets.values(), strict=True)
    ]
    facts = _facts(step, store)
    info = feature_info(facts)
    folder = store.folder(step)
    if spec["head"] == "knn":
        found = _neighbours(spec, task, chosen, sources, fabric)
    else:
        found = _trained(step, task, info, chosen, sources, folder, fabric)
    head, built, selection, curve, cost = found
    for source in sources:
        source.check_unchanged()
    state = {k: v.detach().cpu().contiguous() for k, v in head.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(state))
    write_atomic(folder / NETWORK, json.dumps(built, indent=1, sort_keys=True))
    encoded = [record["cost"]["encode_wall_s"] for i in step.inputs if (record := store.record(i))]
    splits = (("train", chosen.train, chosen.train_rows), ("val", chosen.val, chosen.val_rows))
    return {
        "labels": {**labels(spec), "encoder_modality": facts["origin"], "fresh_modules": ""},
        "curve": curve,
        "selection": selection,
        "manifests": {
            split: {"n": len(rows), "sha256": manifest.sha256([data.ids[i] for i in rows])}
            for split, data, rows in splits
        },
        "files": digests(folder, [WEIGHTS, NETWORK]),
        "cost": {**cost, "encode_wall_s": float(sum(encoded))},
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def predict_probe(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Run the chosen head on the features of the test data."""
    cell, frozen = step.inputs
    spec = cell.spec
    fabric = make_fabric(spec, site.accelerator)
    test = open_dataset(step.spec["data"], store.data, site.config_dirs)
    task = build_task(spec, test, site.config_dirs)
    source = open_features(frozen, store, test, site, fabric)
    built = json.loads(check_input(store, cell, NETWORK).read_text())
    head = NearestNeighbours(**built) if spec["head"] == "knn" else build_head(spec, task, _info(step, store))
    load_whole(head, check_input(store, cell, WEIGHTS))
    head.to(fabric.device).eval()
    folder = store.folder(step)
    chunks = (found[0] for _, found in _predictions(task, [head], source, np.arange(len(test)), fabric))
    write_chunks(folder / PREDICTIONS, chunks)
    source.check_unchanged()
    return {
        "labels": labels(spec),
        "manifests": {"test": {"n": len(test), "sha256": test.manifest_sha256}},
        "files": digests(folder, [PREDICTIONS]),
        "cost": {},
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


Found = tuple[nn.Module, dict[str, Any], dict[str, Any], list[dict[str, float]], dict[str, float]]


def _facts(step: Step, store: Store) -> dict[str, Any]:
    record = store.record(step.inputs[0])
    assert record is not None
    facts: dict[str, Any] = record["facts"]
    return facts


def _info(step: Step, store: Store) -> FeatureInfo:
    return feature_info(_facts(step.inputs[0], store))


def build_head(spec: Mapping[str, Any], task: Task, info: FeatureInfo) -> nn.Module:
    """Build a head; all of a cell start from the same weights."""
    with seeded_initialisation(spec["seed"], "head", str(spec["task"])):
        try:
            return task.probe_head(str(spec["head"]), info)
        except NotImplementedError as error:
            raise ConfigError(f"task {spec['task']}: probes: {spec['head']}: {error}") from error


def _trained(
    step: Step,
    task: Task,
    info: FeatureInfo,
    chosen: Chosen,
    sources: Sequence[Source],
    folder: Path,
    fabric: Fabric,
) -> Found:
    """Train a head per rate; return the best one on validation, the earlier rate where several are."""
    spec, rates = step.spec, [float(rate) for rate in step.spec["rates"]]
    trainee = Heads(task, [build_head(spec, task, info) for _ in rates], rates, sources[0].layout)
    names = [f"{task.metrics[0].name}@{rate:g}" for rate in rates]

    def evaluate() -> dict[str, float]:
        trainee.eval()
        values = _values(task, list(trainee.heads), sources[-1], chosen, fabric)
        return dict(zip(names, values, strict=True))

    outcome = fit(trainee, _run(step, task, chosen, sources[0], folder, fabric, evaluate), fabric)
    last = outcome.curve[-1]
    best = _best(task, list(trainee.heads), [last[name] for name in names])
    for point in outcome.curve:
        point[task.metrics[0].name] = point[names[best]]
    selection = {
        "rule": "best rate on validation, last step",
        "step": last["step"],
        "value": last[names[best]],
        "rate": rates[best],
        "values": {f"{rate:g}": last[name] for rate, name in zip(rates, names, strict=True)},
    }
    return trainee.heads[best], {"rate": rates[best]}, selection, outcome.curve, outcome.cost


def _neighbours(
    spec: Mapping[str, Any], task: Task, chosen: Chosen, sources: Sequence[Source], fabric: Fabric
) -> Found:
    """Remember the training samples; choose the number of neighbours on validation."""
    begun = time.monotonic()
    rows = chosen.train_rows
    pooled = torch.from_numpy(sources[0].read(rows)).to(fabric.device)
    classes = _classes(spec, task, chosen.train, rows, fabric)
    heads, built = [], []
    for k in sorted({min(int(k), len(rows)) for k in spec["neighbours"]}):
        words: dict[str, Any] = {
            "samples": len(rows), "width": pooled.shape[1], "classes": int(classes.max()) + 1, "k": k,
            "temperature": float(spec["temperature"]),
        }  # fmt: skip
        head = NearestNeighbours(**words).to(fabric.device).eval()
        head.remember(pooled, classes)
        heads.append(head)
        built.append(words)
    values = _values(task, heads, sources[-1], chosen, fabric)
    best = _best(task, heads, values)
    selection = {
        "rule": "best number of neighbours on validation",
        "step": 0,
        "value": values[best],
        "neighbours": built[best]["k"],
        "values": {str(words["k"]): value for words, value in zip(built, values, strict=True)},
    }
    spent = time.monotonic() - begun
    cost = {"train_wall_s": spent, "device_s": spent, "samples_seen": float(len(rows))}
    return heads[best], built[best], selection, [], cost


def _classes(spec: Mapping[str, Any], task: Task, data: Dataset, rows: Rows, fabric: Fabric) -> Tensor:
    """Return the class of each sample, (N,) int64.

    Raises:
        ConfigError: the task's first target is none.
    """
    target = task.targets[0]
    raw = data.batch(rows, (target,))
    found = to_batch(raw, (), (target,), data.fields, fabric.device, joint_set=data.info.joint_set)[target]
    if found.ndim != 1 or found.is_floating_point():
        raise ConfigError(f"task {spec['task']}: probes: knn votes on classes of samples, {target} is none")
    return found


def _best(task: Task, heads: Sequence[nn.Module], values: Sequence[float]) -> int:
    """Return the first of the best heads on validation.

    Raises:
        StepError: all of them have diverged.
    """
    sign = 1 if task.metrics[0].higher_is_better else -1
    sound = [math.isfinite(v) and _finite(head) for head, v in zip(heads, values, strict=True)]
    if not any(sound):
        raise StepError("the heads of all rates have diverged; name smaller ones: preset.probe.rates=[...]")
    return max((i for i, good in enumerate(sound) if good), key=lambda i: (sign * values[i], -i))


def _finite(head: nn.Module) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in head.parameters())


def _run(
    step: Step,
    task: Task,
    chosen: Chosen,
    source: Source,
    folder: Path,
    fabric: Fabric,
    evaluate: Callable[[], Mapping[str, float]],
) -> Run:
    spec, data, rows = step.spec, chosen.train, chosen.train_rows
    train = {**spec["train"], "lr": 1.0, "batch": min(int(spec["train"]["batch"]), len(rows))}

    def batches(start: int) -> Iterator[Any]:
        return loader(
            _Labelled(data, source),
            task.targets,
            train["batch"],
            int(train["steps"]),
            int(spec["seed"]),
            start,
            int(step.resources["data_workers"]),
            rows,
        )

    def prepare(raw: Any, draws: object) -> Batch:
        batch = to_batch(raw, (), task.targets, data.fields, fabric.device, joint_set=data.info.joint_set)
        return {**batch, FEATURES: moved(raw[FEATURES], fabric.device)}

    return Run(
        train=train,
        seed=int(spec["seed"]),
        folder=folder,
        steps_per_epoch=max(1, len(rows) // train["batch"]),
        batches=batches,
        prepare=prepare,
        evaluate_at=points(int(train["steps"]), int(spec["evaluations"])),
        evaluate=evaluate,
        checkpoint_s=float(step.resources["checkpoint_s"]),
    )


def _values(
    task: Task, heads: Sequence[nn.Module], source: Source, chosen: Chosen, fabric: Fabric
) -> list[float]:
    """Return the primary metric of each head on the validation part."""
    statistics: list[list[Stats]] = [[] for _ in heads]
    for rows, found in _predictions(task, heads, source, chosen.val_rows, fabric):
        truth = chosen.val.batch(rows, (*task.targets, *task.extras))
        for own, predicted in zip(statistics, found, strict=True):
            own.append(scored(task, predicted, truth))
    return [plain_metrics(task, _joined(own))[task.metrics[0].name] for own in statistics]


@torch.no_grad()
def _predictions(
    task: Task, heads: Sequence[nn.Module], source: Source, rows: Rows, fabric: Fabric
) -> Iterator[tuple[Rows, list[Stats]]]:
    """Predict samples with several heads, which read their features once; yield chunks of rows."""
    for start in range(0, len(rows), CHUNK):
        here = rows[start : start + CHUNK]
        parts: list[list[Stats]] = [[] for _ in heads]
        for first in range(0, len(here), EVALUATION_BATCH):
            own = source.read(here[first : first + EVALUATION_BATCH])
            features = source.layout.unpack(moved(own, fabric.device))
            for found, head in zip(parts, heads, strict=True):
                predicted = task.predict(head(features, task.data.size), {})
                found.append(per_sample("predict", predicted, len(own)))
        yield here, [_joined(found) for found in parts]


def _joined(parts: Sequence[Stats]) -> Stats:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
