"""What the numbers cost: pretraining and fine-tuning, and which methods no other one beats at their cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.records import PLACE, SETTING, Floats

COST_QUALITY = (
    *PLACE, "method", "fraction", "metric", "unit", "higher_is_better", "n", "mean", "low", "high",
    "device_hours", "samples_seen", "front_device_hours", "front_samples_seen",
)  # fmt: skip
SHOWN = (
    "pretrain_samples_seen", "pretrain_forward_passes", "pretrain_device_s", "wall_s", "train_wall_s",
    "samples_seen", "samples_per_s", "data_wait_share", "peak_memory_mb",
)  # fmt: skip


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the cost of the runs by setting, encoder and method (scratch first); NaN = not recorded.

    Device times that lack are those of one device.
    """
    runs = runs.fillna({"pretrain_device_s": runs["pretrain_wall_s"]})
    by = [*SETTING, "encoder", "trained", "method"]
    grouped = runs.groupby(by)  # sorts
    found = grouped[[*SHOWN]].mean().assign(runs=grouped.size()).reset_index()
    return found[[*by[:5], "method", "runs", *SHOWN]]


def cost_quality(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the ranked rows with what one run costs, pretraining and fine-tuning together, by budget.

    Costs are means over runs, NaN where one lacks them. Device-hours are hours times devices; records without
    device times count their wall time, as of one device. Pareto fronts are of means, within an encoder and a
    budget: rows on them may be ties.

    Returns:
        `COST_QUALITY` and the number of the table.
    """
    hours = (
        runs["device_s"].fillna(runs["wall_s"]) + runs["pretrain_device_s"].fillna(runs["pretrain_wall_s"])
    ) / 3600
    spent = pd.DataFrame(
        {"device_hours": hours, "samples": runs["samples_seen"] + runs["pretrain_samples_seen"]}
    )
    place = ["table", "encoder", "name", "fraction"]
    by_cell = spent.groupby([runs[name] for name in place])
    means = by_cell.mean().where(by_cell.count().eq(by_cell.size(), axis=0)).reset_index()
    found = cells[cells["primary"] & cells["ranked"]].drop(columns=["method", "samples_seen"])
    found = found.merge(means, on=place).rename(columns={"name": "method", "samples": "samples_seen"})
    order = {label: i for i, label in enumerate(runs.sort_values("budget")["fraction"].unique())}
    found = found.assign(budget=found["fraction"].map(order))
    found = found.sort_values(["table", "encoder", "budget"], kind="stable", ignore_index=True)
    quality = found["mean"] * found["higher_is_better"].map({True: 1, False: -1})
    for name in ("device_hours", "samples_seen"):
        on = np.zeros(len(found), bool)
        for rows in found.groupby(["table", "encoder", "fraction"]).indices.values():
            on[rows] = pareto_front(quality.to_numpy()[rows], found[name].to_numpy()[rows])
        found[f"front_{name}"] = on
    return found[[*COST_QUALITY, "table"]]


def pareto_front(quality: Floats, cost: Floats) -> NDArray[np.bool_]:
    """Say which points no other one beats: at least as good at no more cost, and better in one of them.

    >>> pareto_front(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, np.nan])).tolist()
    [True, True, False, False]
    """
    as_good, as_cheap = quality >= quality[:, None], cost <= cost[:, None]
    beaten = as_good & as_cheap & ((quality > quality[:, None]) | (cost < cost[:, None]))
    on: NDArray[np.bool_] = ~beaten.any(axis=1) & ~np.isnan(cost)
    return on
