"""What the numbers cost: pretraining and fine-tuning, and which methods no other one beats at their cost."""

from __future__ import annotations

import pandas as pd

from bench.report.records import PLACE, SETTING

COST_QUALITY = (
    *PLACE, "method", "fraction", "metric", "unit", "higher_is_better", "n", "mean", "low", "high", "device_hours",
    "samples_seen", "front_device_hours", "front_samples_seen",
)  # fmt: skip
SHOWN = (
    "pretrain_samples_seen", "pretrain_wall_s", "pretrain_samples_per_s", "wall_s", "train_wall_s",
    "samples_seen", "samples_per_s", "data_wait_share", "peak_memory_mb",
)  # fmt: skip


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Average the cost of the runs by setting, encoder and method (scratch first); NaN = not recorded."""
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
    means = spent.groupby([runs[n] for n in place]).agg(lambda part: part.mean(skipna=False)).reset_index()
    found = cells[cells["primary"] & cells["ranked"]].drop(columns=["method", "samples_seen"])
    order = {label: i for i, label in enumerate(runs.sort_values("budget")["fraction"].unique())}
    found = found.merge(means, on=place).rename(columns={"name": "method", "samples": "samples_seen"})
    found = found.assign(budget=found["fraction"].map(order))
    groups = found["encoder"].groupby(found["table"], sort=False).transform(lambda e: pd.factorize(e)[0])
    found = found.assign(group=groups).sort_values(
        ["table", "group", "budget"], kind="stable", ignore_index=True
    )
    for name in ("device_hours", "samples_seen"):
        front = pd.Series(False, index=found.index)
        for _, part in found.groupby(["table", "encoder", "fraction"], sort=False):
            sign = 1 if part["higher_is_better"].iloc[0] else -1
            front[part.index] = pareto_front(sign * part["mean"], part[name])
        found[f"front_{name}"] = front
    return found[[*COST_QUALITY, "table"]]


def pareto_front(quality: pd.Series[float], cost: pd.Series[float]) -> pd.Series[bool]:
    """Say which points no other one beats: at least as good at no more cost, and better in one of them.

    >>> pareto_front(pd.Series([1.0, 2.0, 2.0, 3.0]), pd.Series([1.0, 2.0, 3.0, float("nan")])).tolist()
    [True, True, False, False]
    """
    order = pd.DataFrame({"quality": quality, "cost": cost}).dropna()
    cheaper = order.groupby("cost")["quality"].max().cummax().shift(fill_value=float("-inf"))
    best = order.groupby("cost")["quality"].transform("max")
    on = (order["quality"] == best) & (order["quality"] > order["cost"].map(cheaper))
    return on.reindex(quality.index, fill_value=False)
