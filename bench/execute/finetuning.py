"""The `finetune` step trains and never opens test data; `predict` opens it and stores predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from bench.adapters.loading import load_configured
from bench.api import Batch, Context, Dataset, Encoder, Pretrained, Stats, StepOutput, Task
from bench.data import manifest, subset
from bench.data.batches import to_batch
from bench.data.feed import feed, find_pairs, paired, partners
from bench.data.opening import open_dataset
from bench.dataset import MODALITIES
from bench.encoders import build_encoder, fields_of, load_encoder
from bench.encoders.files import load_whole
from bench.encoders.image import ImageEncoder
from bench.encoders.modules import build_module, load_module, module_spec
from bench.errors import ConfigError, DataError, StepError
from bench.execute.device import device_name, make_fabric
from bench.execute.predictions import write_chunks
from bench.execute.returned import finite, per_sample, plain_metrics, scored
from bench.execute.site import RunContext, check_input, digests
from bench.files import write_atomic
from bench.grid.plan import Step, code_of
from bench.records.provenance import provenance
from bench.records.store import Store
from bench.train.loop import fit, points
from bench.train.run import Run, TrainModule
from bench.train.seeding import seeded_initialisation

WEIGHTS = "weights.safetensors"
NETWORK = "network.json"  # which encoders and modules the network was built from
PREDICTIONS = "predictions.npz"
EVALUATION_BATCH = 64
CHUNK = 8 * EVALUATION_BATCH  # samples that are predicted, stored and scored at once

Rows = NDArray[np.int64]


class FinetuneModule(TrainModule):
    """The network of one cell."""

    def __init__(self, task: Task, network: nn.Module, rates: Mapping[int, float] | None = None) -> None:
        """Keep what is trained.

        Args:
            task: whose network it is.
            network: batch -> outputs.
            rates: factors on the learning rate, by the `id` of a parameter.
        """
        super().__init__()
        self.network = network
        self.task = task
        self._rates = dict(rates or {})

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        terms = self.task.loss(self.network(batch), batch)
        if not isinstance(terms, Mapping):
            raise StepError(f"loss() returns a {type(terms).__name__}, not a dict of named terms")
        return StepOutput(terms=terms)

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        rate = self._rates.get(id(parameter))
        own = self.task.group(name.removeprefix("network."), parameter)
        return own if rate is None else {"lr_scale": rate, **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which samples a budget leaves: rows of two data sets, one and the same where there is no val split."""

    train: Dataset
    train_rows: Rows
    val: Dataset
    val_rows: Rows


def finetune(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Train a task's network on a share of the labels; record the validation curve on the way."""
    spec = step.spec
    fabric = make_fabric(spec, site.accelerator)
    sets = {
        split: open_dataset(data, store.data, site.config_dirs)
        for split, data in spec["data"].items()
        if data
    }
    task = build_task(spec, sets["train"], site.config_dirs)
    chosen = choose(sets["train"], sets.get("val"), task, spec)
    given, built = pretrained(spec, store.folder(step.inputs[0]), site.config_dirs)
    trainee = build_trainee(spec, task, given)
    folder = store.folder(step)
    metric = task.metrics[0].name
    outcome = fit(trainee, make_run(step, chosen, folder, trainee, fabric), fabric)
    state = {k: v.detach().cpu().contiguous() for k, v in trainee.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(state))
    write_atomic(folder / NETWORK, json.dumps(built, indent=1, sort_keys=True))
    last = outcome.curve[-1]
    splits = (("train", chosen.train, chosen.train_rows), ("val", chosen.val, chosen.val_rows))
    return {
        "labels": {**labels(spec), **built["labels"]},
        "curve": outcome.curve,
        "selection": {"rule": "last", "step": last["step"], "value": last[metric]},
        "manifests": {
            split: {"n": len(rows), "sha256": manifest.sha256([data.ids[i] for i in rows])}
            for split, data, rows in splits
        },
        "files": digests(folder, [WEIGHTS, NETWORK]),
        "cost": outcome.cost,
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def predict(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Run the fine-tuned network on the test data; the only step that opens it."""
    cell = chosen_trial(step, store, site)
    spec = cell.spec
    fabric = make_fabric(spec, site.accelerator)
    test = open_dataset(step.spec["data"], store.data, site.config_dirs)
    task = build_task(spec, test, site.config_dirs)
    built = json.loads(check_input(store, cell, NETWORK).read_text())
    trainee = build_trainee(spec, task, rebuilt(built, site.config_dirs))
    load_whole(trainee, check_input(store, cell, WEIGHTS))
    trainee.to(fabric.device)
    folder = store.folder(step)
    rows = np.arange(len(test))
    write_chunks(folder / PREDICTIONS, predict_all(trainee, test, rows, spec, fabric.device))
    return {
        "labels": labels(spec),
        "manifests": {"test": {"n": len(test), "sha256": test.manifest_sha256}},
        "files": digests(folder, [PREDICTIONS]),
        "cost": {},
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def chosen_trial(step: Step, store: Store, site: RunContext) -> Step:
    """Return the training whose network a prediction step runs: of several, the best on validation.

    Where two are equally good, the smaller rate counts.

    Raises:
        StepError: none of them ends with a number.
    """
    if "rule" not in step.spec:
        return step.inputs[0]
    spec = step.inputs[0].spec
    data = open_dataset(spec["data"]["train"], store.data, site.config_dirs)
    higher = build_task(spec, data, site.config_dirs).metrics[0].higher_is_better
    values = trial_values(step, store)
    sound = [i for i, value in enumerate(values) if np.isfinite(value)]
    if not sound:
        raise StepError("no rate ends with a number on validation; name smaller ones: --rates")
    return step.inputs[max(sound, key=lambda i: (values[i] if higher else -values[i], -i))]


def trial_values(step: Step, store: Store) -> list[float]:
    """Return the last validation value of each training that a prediction step chooses from."""
    records = [store.record(trial) for trial in step.inputs]
    return [float(record["selection"]["value"]) if record else float("nan") for record in records]


def choose(train: Dataset, val: Dataset | None, task: Task, spec: Mapping[str, Any]) -> Chosen:
    """Apply a budget: the stride rule, a random subset of the same size, or shots per class.

    Only samples that have all targets count. Where the data has no validation split, its clusters give a
    tenth, which is thinned alike.

    Raises:
        ConfigError: shots of data without classes.
        DataError: nothing is left, or a class has too few samples.
    """
    kind, _, value = str(spec["budget"]).partition("=")
    labelled = labelled_rows(train, task)
    held: frozenset[int] = frozenset()
    if val is None:
        names = [train.ids[i] for i in labelled]
        held = subset.held_out(names, Fraction(1, 10), train.clusters[labelled].tolist())
    pool = np.array([row for i, row in enumerate(labelled) if i not in held], np.int64)
    ids = [train.ids[i] for i in pool]
    if kind == "shots":
        if train.classes is None:
            raise ConfigError(
                f"--shots: the data of {spec['task']} tell no class per sample (`classes` of the data set); "
                "use --fractions"
            )
        classes, users = train.classes[pool].tolist(), train.clusters[pool].tolist()
        picked = subset.shots(ids, classes, int(value), seed=int(spec["subset"]), users=users)
    else:
        groups = None if train.groups is None else train.groups[pool].tolist()
        if spec["subset"] == 0:
            picked = subset.stride(ids, Fraction(value), groups)
        else:
            strata = None if train.strata is None else [train.strata[i] for i in pool]
            picked = subset.shuffled(
                ids, Fraction(value), seed=0, subset=spec["subset"], groups=groups, strata=strata
            )
    rows = pool[picked]
    if task.unlabelled:
        rows = np.sort(np.concatenate([rows, np.setdiff1d(np.arange(len(train)), labelled)]))
    checked = train if val is None else val
    candidates = labelled[sorted(held)] if val is None else labelled_rows(val, task)
    share = Fraction(value) if kind == "fraction" else Fraction(len(picked), len(pool))
    least = Fraction(min(len(candidates), subset.MIN_VALIDATION), len(candidates))
    thinned = subset.stride([checked.ids[i] for i in candidates], max(share, least))
    return Chosen(train=train, train_rows=rows, val=checked, val_rows=candidates[thinned])


def labelled_rows(data: Dataset, task: Task) -> Rows:
    """Return the rows that have all targets of a task."""
    has = [data.valid[name] for name in task.targets if name in data.valid]
    rows: Rows = np.flatnonzero(np.all(has, axis=0)) if has else np.arange(len(data))
    if not len(rows):
        raise DataError(f"no sample of {data.ids[0].rpartition('/')[0]} has {', '.join(task.targets)}")
    return rows


def build_task(spec: Mapping[str, Any], data: Dataset, config_dirs: Sequence[str]) -> Task:
    """Build a task for a data set.

    Raises:
        ConfigError: the adapter is no task, its config is wrong, or the data lacks a field that it needs.
    """
    adapter, config = load_configured(spec, Task, str(spec["task"]), config_dirs)
    task: Task = adapter(config, data.info)
    for name in (*task.targets, *task.extras):
        if name not in data.fields:
            raise ConfigError(
                f"task {spec['task']} needs the field {name}, which its data do not have: "
                f"{', '.join(sorted(data.fields))}"
            )
    return task


def pretrained(
    spec: Mapping[str, Any], folder: Path, config_dirs: Sequence[str]
) -> tuple[Pretrained, dict[str, Any]]:
    """Load what a pretraining hands to a task.

    A method without a depth encoder hands over its colour encoder. A module that the task can do without is
    left to the task.

    Args:
        spec: of fine-tuning: `inputs`, `needs`, `wants`.
        folder: of the pretraining.
        config_dirs: where adapters are found besides.

    Returns:
        The modules, and what `rebuilt` needs, with labels that say what was handed over.

    Raises:
        DataError: an encoder or a needed module is not there.
    """
    encoders: dict[str, Encoder] = {}
    origin: dict[str, str] = {}
    with seeded_initialisation(spec["seed"], "head", str(spec["task"])):
        for modality in spec["inputs"]:
            place = encoder_place(folder, modality)
            encoders[modality] = load_encoder(place, modality=modality, config_dirs=config_dirs)
            origin[modality] = place.name
        there = [n for n in (*spec["needs"], *spec["wants"]) if (folder / "modules" / f"{n}.json").is_file()]
        missing = [name for name in spec["needs"] if name not in there]
        if missing:
            raise DataError(f"{folder / 'modules'} holds no {missing[0]}, which {spec['task']} needs")
        modules = {name: load_module(name, folder / "modules", config_dirs) for name in there}
    built = {
        "encoders": {m: dict(encoder.spec) for m, encoder in encoders.items()},
        "modules": {name: module_spec(module) for name, module in modules.items()},
        "labels": {
            "encoder_modality": "+".join(origin.values()),
            "fresh_modules": ", ".join(name for name in spec["wants"] if name not in there),
        },
    }
    return Pretrained(encoders=encoders, modules=modules), built


def encoder_place(folder: Path, modality: str) -> Path:
    """Return where a pretraining has left the encoder of a modality; of depth, maybe that of colour.

    Raises:
        DataError: there is none.
    """
    sources = (modality, "rgb") if modality == "depth" else (modality,)
    for name in sources:
        if (place := folder / "encoders" / name).is_dir():
            return place
    raise DataError(f"{folder / 'encoders'} holds no encoder for {modality}: export() gave none")


def rebuilt(built: Mapping[str, Any], config_dirs: Sequence[str]) -> Pretrained:
    """Rebuild encoders and modules with fresh weights, for a state that is loaded over them."""
    encoders = {m: build_encoder(s, m, s["joint_set"], config_dirs) for m, s in built["encoders"].items()}
    return Pretrained(
        encoders=encoders,
        modules={name: build_module(s, config_dirs) for name, s in built["modules"].items()},
    )


def build_trainee(spec: Mapping[str, Any], task: Task, given: Pretrained) -> FinetuneModule:
    """Build the task's network; what is new in it draws from a stream of its own."""
    with seeded_initialisation(spec["seed"], "head", str(spec["task"])):
        network = task.network(given)
    set_drop_path(given, float(spec["train"].get("drop_path", 0.0)))
    return FinetuneModule(task, network, layer_rates(given, float(spec["train"].get("layer_decay", 1.0))))


def set_drop_path(given: Pretrained, rate: float) -> None:
    """Let blocks of token encoders be skipped at random while training (arXiv:1603.09382).

    Args:
        given: what a pretraining hands over; changed in place. No weight is added.
        rate: of the last block; it grows evenly from 0 at the first, as in timm.

    Raises:
        ConfigError: an encoder has no such blocks.
    """
    if not rate:
        return
    from timm.layers.drop import DropPath

    for modality, encoder in given.encoders.items():
        blocks = getattr(getattr(encoder, "model", None), "blocks", None)
        if blocks is None or not all(hasattr(block, "drop_path1") for block in blocks):
            raise ConfigError(f"drop_path: the {modality} encoder has no blocks that can be skipped; use 0.0")
        for number, block in enumerate(blocks):
            share = rate * number / max(1, len(blocks) - 1)
            for name in ("drop_path1", "drop_path2"):
                setattr(block, name, DropPath(share).train(block.training))


def layer_rates(given: Pretrained, decay: float) -> dict[int, float]:
    """Return the factor on the rate of each parameter of the image encoders (timm's layer decay).

    Raises:
        ConfigError: layer decay is asked for, but there is no timm model, or one whose layers timm does not
            tell apart (those that give feature pyramids).
    """
    if decay == 1.0:
        return {}
    from timm.optim._param_groups import param_groups_layer_decay

    rates: dict[int, float] = {}
    for modality, encoder in given.encoders.items():
        if not isinstance(encoder, ImageEncoder):
            raise ConfigError(f"layer_decay: the {modality} encoder has no layers that timm knows; use 1.0")
        groups = param_groups_layer_decay(encoder.model, layer_decay=decay)
        if len({group["lr_scale"] for group in groups}) == 1:
            raise ConfigError(f"layer_decay: timm tells no layers of the {modality} encoder apart; use 1.0")
        for group in groups:
            rates |= {id(parameter): float(group["lr_scale"]) for parameter in group["params"]}
    return rates


def make_run(step: Step, chosen: Chosen, folder: Path, trainee: FinetuneModule, fabric: Fabric) -> Run:
    """Return a step of fine-tuning as the training loop wants it, with the scores on validation samples.

    Raises:
        DataError: pairs are wanted, and no training sample has a partner.
    """
    spec, task = step.spec, trainee.task

    def evaluate() -> dict[str, float]:
        predicted = joined(predict_all(trainee, chosen.val, chosen.val_rows, spec, fabric.device))
        truth = chosen.val.batch(chosen.val_rows, (*task.targets, *task.extras))
        return finite(evaluate_task(task, predicted, truth), "validation")

    pairs = tuple(spec.get("pairs", ()))
    count = len(chosen.train_rows)
    if pairs and not (count := len(find_pairs(chosen.train, pairs, chosen.train_rows, ordered=True).rows)):
        raise DataError(
            f"none of the {len(chosen.train_rows)} training samples of {spec['task']} has a partner of "
            f"kind {' or '.join(pairs)}; take a larger share of the labels"
        )
    own = fields_of(trainee)
    train = {**spec["train"], "batch": min(int(spec["train"]["batch"]), count)}
    return feed(
        step,
        chosen.train,
        folder,
        fabric,
        train=train,
        modalities=tuple(spec["inputs"]),
        labels=tuple(dict.fromkeys((*task.targets, *own))),
        pairs=pairs,
        first_only=tuple(name for name in task.targets if name not in own) if pairs else (),
        rows=chosen.train_rows,
        evaluate_at=points(int(train["steps"]), int(spec["evaluations"])),
        evaluate=evaluate,
    )


@torch.no_grad()
def predict_all(
    trainee: FinetuneModule, data: Dataset, rows: Rows, spec: Mapping[str, Any], device: torch.device
) -> Iterator[Stats]:
    """Predict samples in batches of a fixed size; yield chunks with one row per sample.

    Args:
        trainee: the network.
        data: its samples; a second picture may be one of those that are not predicted.
        rows: which are predicted.
        spec: of fine-tuning: `inputs`, maybe `pairs`.
        device: where the network is.
    """
    trainee.eval()
    more, kinds = fields_of(trainee), spec.get("pairs", ())
    partner = partners(data, kinds) if kinds else None

    def read(some: Rows) -> Batch:
        return read_batch(data, some, spec["inputs"], more, device)

    for start in range(0, len(rows), CHUNK):
        parts: list[Stats] = []
        for first in range(start, min(start + CHUNK, len(rows)), EVALUATION_BATCH):
            some = rows[first : min(first + EVALUATION_BATCH, start + CHUNK)]
            batch = read(some) if partner is None else paired(read(some), read(partner[some]))
            found = trainee.task.predict(trainee.network(batch), batch)
            parts.append(per_sample("predict", found, len(some)))
        yield joined(parts)


def read_batch(
    data: Dataset, rows: Rows, inputs: Sequence[str], names: Sequence[str], device: torch.device
) -> Batch:
    """Read samples as they are stored: modalities and further fields."""
    raw = data.batch(rows, (*(MODALITIES[name] for name in inputs), *names))
    return to_batch(raw, inputs, names, data.fields, device, joint_set=data.info.joint_set)


def joined(parts: Iterator[Stats] | Sequence[Stats]) -> Stats:
    """Return the rows of chunks, one after the other."""
    chunks = list(parts)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def evaluate_task(task: Task, predicted: Stats, truth: Stats) -> dict[str, float]:
    """Score predictions against the truth of the same rows."""
    return plain_metrics(task, scored(task, predicted, truth))


def labels(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels of a cell; the columns of published tables first."""
    budget = str(spec["budget"])
    return {
        "task": spec["task"],
        "method": spec["method"],
        "backbone": spec["encoder"]["name"],
        "setting": budget,
        "encoder": spec["encoder"]["name"],
        "encoder_kind": spec["encoder"]["kind"],
        "modality": "+".join(spec["inputs"]),
        "fraction": budget.partition("=")[2] if budget.startswith("fraction=") else "",
        "shots": budget.partition("=")[2] if budget.startswith("shots=") else "",
        "seed": spec["seed"],
        "subset": spec["subset"],
        "config": spec["variant"],
        "preset": spec["preset"],
        "track": spec["track"],
        "mode": spec["mode"],
        "protocol": spec["protocol"],
    }
