"""What the hooks of a task return, looked at before it is stored: one row per sample, numbers for metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.api import Stats, Task
from bench.errors import ConfigError, StepError


def per_sample(hook: str, found: Any, count: int) -> Stats:
    """Return what a hook gives for some samples.

    Args:
        hook: its name.
        found: what it returned.
        count: samples.

    Raises:
        StepError: it is no dict of arrays with one row per sample.
    """
    if not isinstance(found, Mapping) or not found:
        empty = "an empty " if isinstance(found, Mapping) else ""
        raise StepError(f"{hook}() returns {empty}{type(found).__name__}, not a dict of arrays")
    for name, values in found.items():
        if not isinstance(values, np.ndarray):
            hint = "; end it with .cpu().numpy()" if hasattr(values, "cpu") else ""
            raise StepError(f'{hook}()["{name}"] is a {type(values).__name__}, not a numpy array{hint}')
        if not values.ndim or len(values) != count:
            raise StepError(
                f'{hook}()["{name}"] has the shape {values.shape}, not one row for each of {count} samples'
            )
    return dict(found)


def scored(task: Task, predicted: Stats, truth: Stats) -> Stats:
    """Return the statistics of some samples; see `Task.score_samples`.

    Raises:
        StepError: they are not one row per sample.
    """
    return per_sample("score_samples", task.score_samples(predicted, truth), len(next(iter(truth.values()))))


def plain_metrics(task: Task, rows: Stats) -> dict[str, float]:
    """Return the metrics of per-sample statistics, every sample counted once.

    Raises:
        ConfigError: the task returns other metrics than it declares.
        StepError: not one value per weighting.
    """
    count = len(next(iter(rows.values())))
    values = task.aggregate(rows, np.ones((1, count)))
    wanted = [metric.name for metric in task.metrics]
    if sorted(values) != sorted(wanted):
        raise ConfigError(f"aggregate() returns {', '.join(values)}, the task declares {', '.join(wanted)}")
    for name in wanted:
        if np.shape(values[name]) != (1,):
            raise StepError(
                f'aggregate()["{name}"] has the shape {np.shape(values[name])} for weights of shape '
                f"(1, {count}), not (1,): one value per row of the weights"
            )
    return {name: float(values[name][0]) for name in wanted}


def finite(values: Mapping[str, float], data: str, what: str = "") -> dict[str, float]:
    """Return metrics.

    Args:
        values: by name.
        data: the split that they were measured on.
        what: they are of, e.g. of a bound; "" = of predictions.

    Raises:
        StepError: one is not finite on the data that are named.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise StepError(
                f"metric {name}{what} is {value} on the {data} data; it must be finite whatever is predicted"
            )
    return dict(values)
