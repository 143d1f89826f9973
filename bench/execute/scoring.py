"""The `score` step: from stored predictions to metrics, per-sample statistics and bootstrap replicates."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Dataset, Stats, Task
from bench.data.opening import open_dataset
from bench.errors import StepError
from bench.execute.bounds import bounds
from bench.execute.finetuning import (
    PREDICTIONS,
    build_task,
    chosen_trial,
    joined,
    trial_values,
)  # fmt: skip
from bench.execute.predictions import read_chunks
from bench.execute.returned import finite, plain_metrics, scored
from bench.execute.site import RunContext, check_input, digests
from bench.files import write_atomic
from bench.grid.plan import Step, code_of
from bench.metrics.bootstrap import replicates, resample_weights
from bench.records.provenance import cpu_name, provenance
from bench.records.record import FINE_TUNED
from bench.records.store import Store

SCORES = "scores.npz"
WEIGHTS = (  # what a row of published weights says of them, from the record of its first stage
    "weights", "weights_sha256", "weights_layout", "weights_mean", "weights_std", "licence", "trained_on",
    "parameters", "gmacs",
)  # fmt: skip


def score(step: Step, store: Store, site: RunContext) -> dict[str, Any]:
    """Score the predictions of one cell; no network is run."""
    begun = time.monotonic()
    prediction = step.inputs[0]
    cell = chosen_trial(prediction, store, site)
    test = open_dataset(prediction.spec["data"], store.data, site.config_dirs)
    task = build_task(cell.spec, test, site.config_dirs)
    rows = score_chunks(task, test, check_input(store, prediction, PREDICTIONS))
    folder = store.folder(step)
    write_scores(folder, rows, test)
    values = finite(plain_metrics(task, rows), "test")
    fine, tested = store.record(cell), store.record(prediction)
    assert fine is not None and tested is not None
    return {
        "labels": {
            **fine["labels"],
            **_data_labels(step, cell, store),
            **{name: step.spec[name] for name in ("protocol",) if name in step.spec},
        },
        "metrics": [
            {
                "name": metric.name,
                "value": values[metric.name],
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
            }
            for metric in task.metrics
        ],
        "bounds": bounds(cell, step, task, test, store, site),
        "interval": _interval(task, rows, test, int(step.spec["replicates"])),
        # heads on frozen features learn in passes of their own, which compare with no epoch of fine-tuning
        "curve": [] if cell.kind == "probe" else _curve(fine, task.metrics[0].name),
        "selection": _selection(prediction, cell, fine, store),
        "manifests": {**fine["manifests"], **tested["manifests"]},
        "exposure": _exposure(test, cell, store),
        "files": digests(folder, [SCORES]),
        "cost": {
            **_cost(prediction, fine, store),
            **_pretraining_cost(cell, store),
            "score_wall_s": time.monotonic() - begun,
        },
        "provenance": {
            **provenance(cpu_name(), code_of(cell.spec)),
            "device": fine["provenance"]["device"],
        },
    }


def score_chunks(task: Task, test: Dataset, path: Path) -> Stats:
    """Score stored predictions chunk by chunk; return the statistics of all samples.

    Raises:
        StepError: there is not one prediction per sample.
    """
    parts: list[Stats] = []
    done = 0
    for predicted in read_chunks(path):
        count = len(next(iter(predicted.values())))
        if done + count > len(test):
            break
        truth = test.batch(np.arange(done, done + count), (*task.targets, *task.extras))
        parts.append(scored(task, predicted, truth))
        done += count
    if done != len(test):
        raise StepError(f"{path} does not hold one prediction for each of the {len(test)} test samples")
    return joined(parts)


def write_scores(folder: Path, rows: Stats, test: Dataset) -> None:
    """Write per-sample statistics with the sample's cluster, so that any interval can be recomputed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, cluster=test.clusters, **rows)
    write_atomic(folder / SCORES, buffer.getvalue())


def _interval(task: Task, rows: Stats, test: Dataset, count: int) -> dict[str, Any]:
    """Recompute the primary metric on resampled test clusters; equal draws for all methods on equal data."""
    weights = resample_weights(test.clusters, count, seed=0)
    values = replicates(task.aggregate, rows, weights, task.metrics[0].name)
    return {
        "unit": test.unit,
        "n_units": len(np.unique(test.clusters)),
        "n_samples": len(test),
        "replicates": [round(float(v), 8) for v in values],
    }


def _exposure(test: Dataset, cell: Step, store: Store) -> str:
    """Return which collections of the test data the training has seen, or "none".

    Fine-tuning on the test data itself is for overfitting a handful of samples; no table shows it.
    """
    tuned = {
        f"{data['name']}/{part['source']}/{part['split']}"
        for data in cell.spec["data"].values()
        for part in data.get("parts", ())
    }
    if both := sorted(tuned & test.sources):
        return f"{FINE_TUNED}{'+'.join(both)}"
    seen: set[str] = set()
    for step in cell.ancestors():
        if step.kind == "pretrain" and (record := store.record(step)):
            seen |= set(record["facts"].get("sources", "").split("+"))
    return "+".join(sorted(seen & test.sources)) or "none"


def _selection(prediction: Step, cell: Step, fine: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Return how network and rate were chosen."""
    found: dict[str, Any] = fine["selection"]
    if "rule" not in prediction.spec:
        return found
    rates = [trial.spec["train"]["lr"] for trial in prediction.inputs]
    values = dict(zip((f"{rate:g}" for rate in rates), trial_values(prediction, store), strict=True))
    return {**found, "rule": prediction.spec["rule"], "rate": cell.spec["train"]["lr"], "values": values}


def _cost(prediction: Step, fine: Mapping[str, Any], store: Store) -> dict[str, float]:
    """Return what the training of a cell has cost: of all trials together, where there are several."""
    cost: dict[str, float] = fine["cost"]
    if "rule" not in prediction.spec:
        return cost
    records = [record for trial in prediction.inputs if (record := store.record(trial))]
    summed = ("wall_s", "train_wall_s", "device_s", "samples_seen")
    found = {**cost, **{name: float(sum(r["cost"][name] for r in records)) for name in summed}}
    if found["train_wall_s"] > 0:
        found["samples_per_s"] = found["samples_seen"] / found["train_wall_s"]
    return {**found, "trials": float(len(records))}


def _curve(fine: Mapping[str, Any], metric: str) -> list[dict[str, float]]:
    return [{"progress": p["progress"], "step": p["step"], "value": p[metric]} for p in fine["curve"]]


def _data_labels(step: Step, cell: Step, store: Store) -> dict[str, Any]:
    chain = [s for s in cell.ancestors() if s.kind == "pretrain"]
    first = store.record(chain[0])
    facts = first["facts"] if first else {}
    trained = [s for s in chain if s.spec["data"]]
    parts = [p["source"] for s in trained[-1:] for p in s.spec["data"]["parts"]]
    return {
        "paper": "bodybench",
        "published": step.spec["published"],
        "uses": step.spec["uses"],
        "minimum_effect": step.spec["minimum_effect"],
        "dataset": step.spec["dataset"],
        "init": facts.get("init", "random"),
        "pretrain_data": "+".join(parts) or facts.get("trained_on", "none"),
        **({"weights": told} if (told := {k: facts[k] for k in WEIGHTS if k in facts}) else {}),
        "pretrain_seed": chain[-1].spec["seed"],
    }


def _pretraining_cost(cell: Step, store: Store) -> dict[str, float]:
    records = [store.record(s) for s in {s.key: s for s in cell.ancestors()}.values() if s.kind == "pretrain"]
    costs = [r["cost"] for r in records if r]
    return {
        "pretrain_samples_seen": float(sum(c.get("samples_seen", 0.0) for c in costs)),
        "pretrain_forward_passes": float(sum(c.get("forward_passes", 0.0) for c in costs)),
        "pretrain_wall_s": float(sum(c.get("train_wall_s", 0.0) for c in costs)),
        "pretrain_device_s": float(sum(c.get("device_s", 0.0) for c in costs)),
    }
