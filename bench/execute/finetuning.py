"""The `finetune` step trains and never opens test data; `predict` opens it and stores predictions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from bench.api import Batch, Context, Encoder, Outputs, Score, Stats, StepOutput, Task
from bench.data import manifest, subset
from bench.data.batches import to_batch
from bench.data.people import People
from bench.encoders import build_encoder, load_encoder
from bench.encoders.files import load_whole, pack, packed_specs
from bench.errors import ConfigError, DataError
from bench.execute.device import device_name, make_fabric
from bench.execute.feed import feed
from bench.execute.site import Site, check_input, digests
from bench.files import write_atomic
from bench.plan import Step, code_of
from bench.provenance import provenance
from bench.store import Store
from bench.train.adapters import load_configured
from bench.train.loop import fit, points
from bench.train.run import Run, Trainee
from bench.train.seeding import seeded_initialisation

WEIGHTS = "weights.safetensors"
PREDICTIONS = "predictions.npz"
EVALUATION_BATCH = 64


class FinetuneTrainee(Trainee):
    """Encoder and head of one cell."""

    def __init__(self, encoder: Encoder, task: Task, modality: str, size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = task.head(encoder.feature_info)
        self.task = task
        self.modality = modality
        self.size = size

    def outputs(self, batch: Batch) -> Outputs:
        """Return the task's outputs at the size of the picture."""
        found: Outputs = self.head(self.encoder(batch[self.modality]), (self.size, self.size))
        return found

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        return StepOutput(terms=self.task.loss(self.outputs(batch), batch))

    def no_decay(self, name: str, parameter: nn.Parameter) -> bool:
        # biases and normalisation, as is usual for AdamW, and tables of positions, as in MAE's official code
        return parameter.ndim <= 1 or name.endswith("pos_embed")


def finetune(step: Step, store: Store, site: Site) -> dict[str, Any]:
    """Train encoder and head on a share of the labels; record the validation curve on the way."""
    spec = step.spec
    fabric = make_fabric(spec, site.accelerator)
    train, val = (People(spec["data"][split], store.data) for split in ("train", "val"))
    chosen = {"train": choose(train.ids, spec), "val": choose_validation(val.ids, spec)}
    source, modality = _encoder_folder(store, step)
    trainee = build_trainee(spec, train, site.config_dirs, source)
    folder = store.folder(step)
    task = trainee.task
    rows = np.asarray(chosen["val"])

    def evaluate() -> dict[str, float]:
        predicted = predict_all(trainee, val, rows, fabric.device)
        scores = evaluate_task(task, predicted, val.batch(rows, task.fields))
        return {score.name: score.value for score in scores}

    outcome = fit(trainee, _run(step, train, chosen["train"], folder, task, fabric, evaluate), fabric)
    write_atomic(folder / WEIGHTS, pack(trainee, {"encoder": trainee.encoder}))
    last = outcome.curve[-1]
    return {
        "labels": labels(spec, modality),
        "curve": outcome.curve,
        "selection": {"rule": "last", "step": last["step"], "value": last[spec["metric"]]},
        "manifests": {
            split: {"n": len(rows), "sha256": manifest.sha256([data.ids[i] for i in rows])}
            for split, data, rows in (("train", train, chosen["train"]), ("val", val, chosen["val"]))
        },
        "files": digests(folder, [WEIGHTS]),
        "cost": outcome.cost,
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def predict(step: Step, store: Store, site: Site) -> dict[str, Any]:
    """Run the fine-tuned network on the test data; the only step that opens it."""
    cell = step.inputs[0]
    spec = cell.spec
    fabric = make_fabric(spec, site.accelerator)
    test = People(step.spec["data"], store.data)
    weights = check_input(store, cell, WEIGHTS)
    encoder = packed_specs(weights)["encoder"]
    trainee = build_trainee({**spec, "encoder": encoder}, test, site.config_dirs, None)
    load_whole(trainee, weights)
    trainee.to(fabric.device)
    predicted = predict_all(trainee, test, np.arange(len(test.ids)), fabric.device)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **predicted)
    folder = store.folder(step)
    write_atomic(folder / PREDICTIONS, buffer.getvalue())
    return {
        "labels": labels(spec, spec["modality"]),
        "manifests": {"test": {"n": len(test.ids), "sha256": test.manifest_sha256}},
        "files": digests(folder, [PREDICTIONS]),
        "cost": {},
        "provenance": provenance(device_name(fabric), code_of(spec)),
    }


def choose(ids: Sequence[str], spec: Mapping[str, Any]) -> list[int]:
    """Return the training samples of a budget: the stride rule, or a random subset of the same size.

    Raises:
        ConfigError: shots on a task without classes per sample.
    """
    name, _, value = spec["budget"].partition("=")
    if name == "shots":
        raise ConfigError(f"--shots: {spec['task']} has no class per sample; use --fractions")
    if spec["subset"] == 0:
        return subset.stride(ids, Fraction(value))
    return subset.shuffled(ids, Fraction(value), seed=0, subset=spec["subset"])


def choose_validation(ids: Sequence[str], spec: Mapping[str, Any]) -> list[int]:
    """Return the validation samples: the same fraction of the split, at least 50 items."""
    value = Fraction(spec["budget"].partition("=")[2])
    least = Fraction(min(len(ids), subset.MIN_VALIDATION), len(ids))
    return subset.stride(ids, max(value, least))


def build_trainee(
    spec: Mapping[str, Any], data: People, config_dirs: tuple[str, ...], source: Path | None
) -> FinetuneTrainee:
    """Build encoder (from a pretraining's folder, or empty where weights follow) and a seeded head."""
    adapter, config = load_configured(spec, Task, str(spec["task"]), config_dirs)
    task: Task = adapter(config, data.info)
    with seeded_initialisation(spec["seed"], "head", str(spec["task"])):
        if source:
            encoder = load_encoder(source, modality=spec["modality"], config_dirs=config_dirs)
        else:
            encoder = build_encoder(spec["encoder"], spec["modality"], data.info.joint_set, config_dirs)
    with seeded_initialisation(spec["seed"], "head", str(spec["task"])):
        return FinetuneTrainee(encoder, task, spec["modality"], data.info.image_size)


def _encoder_folder(store: Store, step: Step) -> tuple[Path, str]:
    """Return the pretrained encoder for the task's input and the modality it was trained on.

    A method without a depth encoder hands over its colour encoder; the report marks such cells.
    """
    folder = store.folder(step.inputs[0]) / "encoders"
    for modality in (step.spec["modality"], "rgb"):
        if (folder / modality).is_dir():
            return folder / modality, modality
    raise DataError(f"{folder} holds no encoder for {step.spec['modality']}")


def _run(
    step: Step,
    data: People,
    rows: Sequence[int],
    folder: Path,
    task: Task,
    fabric: Fabric,
    evaluate: Any,
) -> Run:
    train = {**step.spec["train"], "batch": min(int(step.spec["train"]["batch"]), len(rows))}
    return feed(
        step,
        data,
        folder,
        fabric,
        train=train,
        modalities=(step.spec["modality"],),
        labels=task.fields,
        rows=rows,
        evaluate_at=points(int(train["steps"]), int(step.spec["evaluations"])),
        evaluate=evaluate,
    )


@torch.no_grad()
def predict_all(trainee: FinetuneTrainee, data: People, rows: Any, device: torch.device) -> Stats:
    """Predict samples in batches of a fixed size; one row per sample."""
    trainee.eval()
    parts: list[Stats] = []
    for start in range(0, len(rows), EVALUATION_BATCH):
        raw = data.batch(rows[start : start + EVALUATION_BATCH], (trainee.modality,))
        batch = to_batch(raw, (trainee.modality,), (), device)
        parts.append(trainee.task.predict(trainee.outputs(batch), batch))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def evaluate_task(task: Task, predicted: Stats, truth: Stats) -> list[Score]:
    """Score predictions against the truth of the same rows."""
    stats = task.score_samples(predicted, truth)
    return task.aggregate({name: values.sum(0) for name, values in stats.items()})


def labels(spec: Mapping[str, Any], modality: str) -> dict[str, Any]:
    """Return the labels of a cell; the columns of published tables first."""
    budget = str(spec["budget"])
    return {
        "task": spec["task"],
        "method": spec["method"],
        "backbone": spec["encoder"]["name"],
        "setting": budget,
        "encoder": spec["encoder"]["name"],
        "encoder_kind": spec["encoder"]["kind"],
        "encoder_modality": modality,
        "modality": spec["modality"],
        "fraction": budget.partition("=")[2] if budget.startswith("fraction=") else "",
        "seed": spec["seed"],
        "subset": spec["subset"],
        "config": spec["variant"],
        "preset": spec["preset"],
        "track": spec["track"],
        "mode": spec["mode"],
        "protocol": spec["protocol"],
    }
