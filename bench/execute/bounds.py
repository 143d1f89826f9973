"""Floor and ceiling of a task, measured with its own metrics on the test data of a cell.

The *floor* is what the best prediction reaches that looks at no image, made of the labels that the whole
budget sees. The *ceiling* is what a flawless network reaches through the task's output grid and decoding.
Both depend on task, data and the encoder's strides alone, so that cells share them: the first one to be
scored measures them, and leaves them in the store for the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.adapters.sources import shipped_digest
from bench.api import Dataset, FeatureInfo, Stats, Task
from bench.data.opening import open_dataset
from bench.dataset import Field
from bench.errors import StepError
from bench.execute.features import feature_info
from bench.execute.finetuning import (
    CHUNK,
    NETWORK,
    Rows,
    choose,
    joined,
    labelled_rows,
    rebuilt,
)  # fmt: skip
from bench.execute.returned import finite, plain_metrics, scored
from bench.execute.site import RunContext, check_input
from bench.files import canonical, sha256_text, write_atomic
from bench.grid.plan import Step
from bench.records.store import Store

FOLDER = "bounds"  # of the store
VERSION = 1  # of how bounds are measured
SEEN_BYTES = 256e6  # of training labels that a floor is made of; beyond, evenly spaced samples stand for all

Bounds = dict[str, dict[str, float]]  # "floor" and "ceiling", as far as the task defines them: by metric


def bounds(cell: Step, score: Step, task: Task, test: Dataset, store: Store, site: RunContext) -> Bounds:
    """Return floor and ceiling for a cell, from the store where they have been measured already.

    Args:
        cell: its training, done: of kind finetune or probe.
        score: its score step.
        task: of the cell.
        test: the test data.
        store: where the steps lie.
        site: where adapters are found.

    Raises:
        StepError: a bound is not finite, or a hook of the task returns arrays of another length.
    """
    if not (defines(task, "floor_prediction") or defines(task, "ceiling_prediction")):
        return {}
    encoder = _encoder(cell, store)
    path = store.root / FOLDER / f"{_digest(cell, score, encoder)}.json"
    with suppress(OSError, ValueError):  # not measured yet, or damaged: both are soon mended
        return dict(json.loads(path.read_bytes()))
    found: Bounds = {}
    if defines(task, "floor_prediction"):
        found["floor"] = floor(task, _seen(cell, task, store, site), test)
    if defines(task, "ceiling_prediction"):
        found["ceiling"] = ceiling(task, test, _info(cell, encoder, site))
    write_atomic(path, json.dumps(found, indent=1, sort_keys=True))
    return found


def floor(task: Task, seen: Stats, test: Dataset) -> dict[str, float]:
    """Score the best prediction that looks at no image.

    Args:
        task: whose floor it is.
        seen: its targets of training samples.
        test: the test data.
    """
    one = task.floor_prediction(seen, 1)
    for name, values in one.items():
        if len(values) != 1:
            raise StepError(f'floor_prediction()["{name}"] has {len(values)} rows for 1 sample')
    return _scored(
        task, test, "floor", lambda t, n: {name: np.repeat(values, n, 0) for name, values in one.items()}
    )


def ceiling(task: Task, test: Dataset, info: FeatureInfo) -> dict[str, float]:
    """Score what a flawless network gives through the task's output grid and decoding.

    Args:
        task: whose ceiling it is.
        test: the test data.
        info: of the encoder.
    """
    return _scored(task, test, "ceiling", lambda truth, n: task.ceiling_prediction(truth, info))


def seen_rows(rows: Rows, fields: Mapping[str, Field], targets: tuple[str, ...]) -> Rows:
    """Return the training samples that a floor is made of: all, or as many as fit, evenly spaced."""
    size = sum(np.dtype(fields[name].dtype).itemsize * math.prod(fields[name].shape) for name in targets)
    most = max(1, int(SEEN_BYTES // max(1, size)))
    if len(rows) <= most:
        return rows
    kept: Rows = rows[np.arange(most) * len(rows) // most]
    return kept


def defines(task: Task, hook: str) -> bool:
    """Say whether a task overrides an optional hook."""
    return getattr(type(task), hook) is not getattr(Task, hook)


def _scored(task: Task, test: Dataset, what: str, predict: Callable[[Stats, int], Stats]) -> dict[str, float]:
    """Score chunk by chunk; all metrics have to be finite."""
    parts = []
    for rows in _chunks(len(test)):
        truth = test.batch(rows, (*task.targets, *task.extras))
        parts.append(scored(task, predict(truth, len(rows)), truth))
    return finite(plain_metrics(task, joined(parts)), "test", f" of the task's {what}")


def _chunks(count: int) -> Iterator[NDArray[np.int64]]:
    for first in range(0, count, CHUNK):
        yield np.arange(first, min(first + CHUNK, count))


def _seen(cell: Step, task: Task, store: Store, site: RunContext) -> Stats:
    """Return the labels that the whole budget sees, whatever the share of this cell is."""
    data = cell.spec["data"]
    sets = {split: open_dataset(part, store.data, site.config_dirs) for split, part in data.items() if part}
    whole = {**cell.spec, "budget": "fraction=1", "subset": 0}
    chosen = choose(sets["train"], sets.get("val"), task, whole)
    rows = np.intersect1d(chosen.train_rows, labelled_rows(chosen.train, task))
    return chosen.train.batch(seen_rows(rows, chosen.train.fields, task.targets), task.targets)


def _encoder(cell: Step, store: Store) -> dict[str, Any]:
    """Return what tells the encoder's strides, as plain data: facts of features, or a spec to build it."""
    if cell.kind == "probe":
        record = store.record(cell.inputs[0])
        assert record is not None
        return {name: record["facts"][name] for name in ("feature_info", "layers")}
    built: dict[str, Any] = json.loads(check_input(store, cell, NETWORK).read_text())
    return {"encoders": built["encoders"], "modules": {}}


def _info(cell: Step, encoder: Mapping[str, Any], site: RunContext) -> FeatureInfo:
    """Return what the encoder returns; of several, that of the task's first input."""
    if cell.kind == "probe":
        return feature_info(encoder)
    first = next(iter(cell.spec["inputs"]))
    only = {"encoders": {first: encoder["encoders"][first]}, "modules": {}}
    return rebuilt(only, site.config_dirs).encoders[first].feature_info


def _digest(cell: Step, score: Step, encoder: Mapping[str, Any]) -> str:
    """Return what bounds depend on, as 16 hex digits."""
    own = ("adapter", "version", "source", "config", "data")
    told = {name: cell.spec[name] for name in own if name in cell.spec}
    test = score.inputs[0].spec["data"]
    code = shipped_digest((str(cell.spec["adapter"]),))
    body = [VERSION, told, score.spec["version"], test, encoder, code]
    return sha256_text(canonical({"bounds": body}))[:16]
