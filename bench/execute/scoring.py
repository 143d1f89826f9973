"""The `score` step: from stored predictions to metrics, per-sample statistics and bootstrap replicates."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.api import Stats, Task
from bench.data.people import People
from bench.errors import StepError
from bench.execute.finetuning import PREDICTIONS
from bench.execute.site import Site, check_input, digests
from bench.files import write_atomic
from bench.metrics.bootstrap import replicates, resample_weights
from bench.plan import Step, code_of
from bench.provenance import cpu_name, provenance
from bench.store import Store
from bench.train.adapters import load_configured

SCORES = "scores.npz"


def score(step: Step, store: Store, site: Site) -> dict[str, Any]:
    """Score the predictions of one cell; no network is run."""
    begun = time.monotonic()
    prediction = step.inputs[0]
    cell = prediction.inputs[0]
    test = People(prediction.spec["data"], store.data)
    adapter, config = load_configured(cell.spec, Task, str(cell.spec["task"]), site.config_dirs)
    task: Task = adapter(config, test.info)
    with np.load(check_input(store, prediction, PREDICTIONS), allow_pickle=False) as file:
        predicted = {name: file[name] for name in file.files}
    stats = task.score_samples(predicted, test.batch(np.arange(len(test.ids)), task.fields))
    folder = store.folder(step)
    write_scores(folder, stats, test)
    metrics = task.aggregate({name: values.sum(0) for name, values in stats.items()})
    _check_primary(step.spec["primary"], metrics[0], str(cell.spec["task"]))
    bad = [m.name for m in metrics if not np.isfinite(m.value)]
    if bad:
        raise StepError(f"metric {bad[0]} is not finite on the test data")
    fine, tested = store.record(cell), store.record(prediction)
    assert fine is not None and tested is not None
    return {
        "labels": {**fine["labels"], **_data_labels(step, cell)},
        "metrics": [
            {"name": m.name, "value": float(m.value), "unit": m.unit, "higher_is_better": m.higher_is_better}
            for m in metrics
        ],
        "interval": _interval(task, stats, test, int(step.spec["replicates"])),
        "curve": _curve(fine, metrics[0].name),
        "selection": fine["selection"],
        "manifests": {**fine["manifests"], **tested["manifests"]},
        "exposure": "none",  # identities, rooms and motions of the splits are disjoint by construction
        "files": digests(folder, [SCORES]),
        "cost": {**fine["cost"], **_pretraining_cost(cell, store), "score_wall_s": time.monotonic() - begun},
        "provenance": {
            **provenance(cpu_name(), code_of(cell.spec)),
            "device": fine["provenance"]["device"],
        },
    }


def _check_primary(declared: Mapping[str, Any], found: Any, task: str) -> None:
    actual = {"metric": found.name, "unit": found.unit, "higher_is_better": found.higher_is_better}
    if dict(declared) != actual:
        raise StepError(f"task {task}: its YAML declares primary {dict(declared)}, its code returns {actual}")


def write_scores(folder: Any, stats: Stats, test: People) -> None:
    """Write per-sample statistics with the sample's cluster, so that any interval can be recomputed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, cluster=test.clusters, **stats)
    write_atomic(folder / SCORES, buffer.getvalue())


def _interval(task: Task, stats: Stats, test: People, count: int) -> dict[str, Any]:
    """Recompute the primary metric on resampled test persons; equal draws for all methods on equal data."""
    values = replicates(task.aggregate, stats, resample_weights(test.clusters, count, seed=0))
    return {
        "unit": "person",
        "n_units": len(np.unique(test.clusters)),
        "n_samples": len(test.ids),
        "replicates": [round(float(v), 8) for v in values],
    }


def _curve(fine: Mapping[str, Any], metric: str) -> list[dict[str, float]]:
    return [{"progress": p["progress"], "step": p["step"], "value": p[metric]} for p in fine["curve"]]


def _data_labels(step: Step, cell: Step) -> dict[str, Any]:
    chain = [s for s in cell.ancestors() if s.kind == "pretrain"]
    trained = [s for s in chain if s.spec["data"]]
    domains = [p["domain"] for s in trained[-1:] for p in s.spec["data"]["parts"]]
    return {
        "paper": "bodybench",
        "published": step.spec["published"],
        "minimum_effect": step.spec["minimum_effect"],
        "dataset": cell.spec["data"]["train"]["parts"][0]["domain"],
        "init": "random" if not chain[0].spec["name"].startswith("imagenet") else "imagenet",
        "pretrain_data": "+".join(domains) or "none",
        "pretrain_seed": chain[-1].spec["seed"],
    }


def _pretraining_cost(cell: Step, store: Store) -> dict[str, float]:
    records = [store.record(s) for s in {s.key: s for s in cell.ancestors()}.values() if s.kind == "pretrain"]
    costs = [r["cost"] for r in records if r]
    return {
        "pretrain_samples_seen": float(sum(c.get("samples_seen", 0.0) for c in costs)),
        "pretrain_wall_s": float(sum(c.get("train_wall_s", 0.0) for c in costs)),
        "pretrain_device_s": float(sum(c.get("device_s", 0.0) for c in costs)),
    }
