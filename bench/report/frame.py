"""Records to data frames: one row per (record, metric), with fixed columns.

Nothing but `<store>/score/*/record.json` is read. A record that is truncated, edited or incomplete is named
in `Loaded.problems` and left out.

Columns of `Loaded.frame`:

| columns                                                 | content                                          |
|---------------------------------------------------------|--------------------------------------------------|
| key                                                     | of the score step                                |
| preset, track, mode, protocol                           | what a table never mixes                         |
| task, modality, published, dataset                 | `published`: task name in the published numbers  |
| method, init, pretrain_data, backbone, setting, config  | `config`: tells configurations of a method apart |
| encoder, encoder_kind, encoder_modality                 |                                                  |
| fraction, seed, subset, pretrain_seed                   | `pretrain_seed` -1 = not recorded                |
| metric, value, unit, higher_is_better, primary          |                                                  |
| minimum_effect                                          | of the primary metric, 0 where not recorded      |
| exposure, test_set                                      | `test_set`: manifest hash, unit, number of units |
| interval_unit, n_units, n_samples, n_replicates         |                                                  |
| wall_s ... pretrain_device_s                            | cost, NaN where not recorded                     |
| commit, dirty, source_sha256, device, created, imported | provenance                                       |
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.reading import COSTS, Entry, Read, read

COLUMNS = (
    "key", "preset", "track", "mode", "protocol", "task", "modality", "published", "dataset",
    "method", "init", "pretrain_data", "backbone", "setting", "config",
    "encoder", "encoder_kind", "encoder_modality", "fraction", "seed", "subset", "pretrain_seed",
    "metric", "value", "unit", "higher_is_better", "primary", "minimum_effect", "exposure", "test_set",
    "interval_unit", "n_units", "n_samples", "n_replicates", *COSTS,
    "commit", "dirty", "source_sha256", "device", "created", "imported",
)  # fmt: skip
CURVE_COLUMNS = ("key", "method", "encoder", "task", "fraction", "seed", "progress", "step", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All that reporting knows."""

    frame: pd.DataFrame  # `COLUMNS`, one row per (record, metric)
    curves: pd.DataFrame  # `CURVE_COLUMNS`, one row per evaluation on the validation part
    replicates: Mapping[str, NDArray[np.float64]]  # key -> (B,) primary metric on resampled test units
    details: Mapping[str, Mapping[str, Any]]  # key -> entries `DETAILS` of the record, as they stand there
    problems: tuple[str, ...]  # one line per record or folder that was left out


def load(store_root: Path, select: Collection[str] | None = None) -> Loaded:
    """Read the score records of a store, see `reading.read`.

    Raises:
        DataError: the store has no score records at all.
    """
    return tabulate(read(store_root, select))


def tabulate(found: Read) -> Loaded:
    """Arrange records as data frames."""
    frame, curves = _frames(found.entries)
    return Loaded(
        frame=frame,
        curves=curves,
        replicates={entry.key: entry.replicates for entry in found.entries},
        details={entry.key: entry.details for entry in found.entries},
        problems=found.problems,
    )


def _frames(entries: Sequence[Entry]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return metrics and curves with the labels of their records."""
    labels = pd.DataFrame([entry.labels for entry in entries])
    metrics = [metric for entry in entries for metric in entry.metrics]
    points = [point for entry in entries for point in entry.curve]
    if not entries:
        return pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(CURVE_COLUMNS))
    of_metrics, of_points = (
        labels.iloc[np.repeat(np.arange(len(entries)), sizes)].reset_index(drop=True)
        for sizes in ([len(entry.metrics) for entry in entries], [len(entry.curve) for entry in entries])
    )
    frame = pd.concat([of_metrics, pd.DataFrame(metrics)], axis=1)
    curves = pd.concat([of_points, pd.DataFrame(points, columns=list(CURVE_COLUMNS[-3:]))], axis=1)
    return frame[list(COLUMNS)], curves[list(CURVE_COLUMNS)]


def split_curves(loaded: Loaded) -> dict[str, NDArray[np.float64]]:
    """Return the curves by record key, (P, 2): progress, ascending, and the metric."""
    frame = loaded.curves
    if frame.empty:
        return {}
    code, keys = pd.factorize(frame["key"])
    points = frame[["progress", "value"]].to_numpy(dtype=np.float64)
    order = np.lexsort((points[:, 0], code))
    ends = np.cumsum(np.bincount(code))[:-1]
    return dict(zip(map(str, keys), np.split(points[order], ends), strict=True))
