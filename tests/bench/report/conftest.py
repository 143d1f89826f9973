"""Synthetic stores with known truth: sealed score records whose replicates share their resamples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.files import sha256_text
from bench.records.record import seal
from bench.report.leaderboard import Summaries, analyse
from bench.report.records import load

UNITS = 80

Record = dict[str, Any]


@lru_cache
def resamples(replicates: int, units: int = UNITS) -> NDArray[np.float64]:
    """Return shares of the test units in each resample, (B, units); the same for all methods and seeds."""
    return np.random.default_rng(7).multinomial(units, np.full(units, 1 / units), size=replicates) / units


def record(
    scores: NDArray[np.float64],
    *,
    method: str = "scratch",
    fraction: str = "1/10",
    seed: int = 0,
    replicates: int = 200,
    labels: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """Return a sealed score record of a model with these scores on the test units, (units,)."""
    few = fraction.startswith("shots=")
    all_labels: dict[str, Any] = {
        "preset": "tiny", "track": "controlled", "mode": "strict", "protocol": 1, "task": "parts",
        "modality": "rgb", "dataset": "people", "method": method, "init": "random",
        "pretrain_data": "none" if method == "scratch" else "lab", "pretrain_seed": seed,
        "backbone": "resnet10", "setting": fraction if few else f"fraction={fraction}", "encoder": "resnet10",
        "encoder_kind": "pyramid", "encoder_modality": "rgb", "seed": seed, "subset": 0,
        "fraction": "" if few else fraction,
        "uses": "none" if method == "scratch" else "depth, 2D joints", **(labels or {}),
    }  # fmt: skip
    end = float(scores.mean())
    drawn = resamples(replicates, len(scores)) @ scores if replicates else np.zeros(0)
    body: Record = {
        "kind": "score",
        "key": sha256_text(repr((all_labels, end)))[:16],
        "labels": all_labels,
        "metrics": [
            {"name": "miou", "value": end, "unit": "%", "higher_is_better": True},
            {"name": "error", "value": 100 - end, "unit": "mm", "higher_is_better": False},
        ],
        "interval": {
            "unit": "person", "n_units": len(scores), "n_samples": 3 * len(scores),
            "replicates": drawn.tolist(),
        },
        "curve": [
            {"progress": p / 8, "step": 25 * p, "value": end * (1 - 0.5 ** (p + 1)) - 2} for p in range(1, 9)
        ],
        "selection": {"rule": "best", "step": 200, "value": end},
        "manifests": {"test": {"n": 3 * len(scores), "sha256": "a1b2c3d4" * 8}},
        "exposure": "none",
        "inputs": [],
        "files": {},
        "cost": {
            "wall_s": 30.0, "train_wall_s": 25.0, "samples_seen": 6400, "samples_per_s": 256.0,
            "data_wait_share": 0.01, "peak_memory_mb": 310.0,
            "pretrain_wall_s": 0.0 if method == "scratch" else 90.0,
            "pretrain_samples_seen": 0 if method == "scratch" else 20000,
            "pretrain_forward_passes": 0 if method == "scratch" else 60000,
        },
        "provenance": {
            "commit": "0123456789abcdef", "dirty_sha256": "", "source_sha256": "f" * 64, "versions": {},
            "device": "cpu", "python": "3.11", "created": "2024-06-01T10:00:00Z",
        },
        "spec": {"seed": seed},
        **changes,
    }  # fmt: skip
    return seal(body)


def write(store: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """Write records as the store lays them out; return the store."""
    for found in records:
        kind = "score" if found["labels"] else found["kind"]  # only the steps before have no labels here
        folder = store / kind / f"cell-{found['key']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "record.json").write_text(json.dumps(found, indent=1, sort_keys=True))
    return store


def world(
    effects: Mapping[str, float],
    *,
    fractions: Mapping[str, float] | None = None,
    seeds: int = 3,
    seed_sd: float = 0.5,
    unit_sd: float = 12.0,
    own_sd: float = 1.0,
    stream: int = 0,
    **options: Any,
) -> list[Record]:
    """Return records of methods with known mean scores (`effects`, in %).

    Test units differ by `unit_sd` (shared by all methods), runs by `seed_sd`; `own_sd` is the noise of one
    unit under one run.
    """
    rng = np.random.default_rng(stream)
    units = rng.normal(0, unit_sd, UNITS)
    units -= units.mean()
    found = []
    for fraction, shift in (fractions or {"1/10": 0.0, "1": 8.0}).items():
        for seed in range(seeds):
            for method, effect in effects.items():
                own = effect + shift + rng.normal(0, seed_sd) + rng.normal(0, own_sd, UNITS)
                found.append(record(own + units, method=method, fraction=fraction, seed=seed, **options))
    return found


# what the grid of `leaderboards/tiny` holds: methods by encoder; modality, published name, metric, unit and
# level by task
TINY_ENCODERS = {"resnet10_w24": ("scratch", "cmc", "hcmoco"), "vit_d96": ("scratch", "mae")}
TINY_TASKS = {
    "densepose": ("rgb", "DensePose (single-person AUC)", "auc30", "", 16.0),
    "parsing_depth": ("depth", "human parsing (depth)", "miou", "%", 10.0),
    "parsing_rgb": ("rgb", "human parsing (RGB)", "miou", "%", 8.0),
}


def tiny_world() -> list[Record]:
    """Return 90 score records that look like `leaderboards/tiny`, each after the steps that it rests on."""
    found = []
    for place, (encoder, methods) in enumerate(TINY_ENCODERS.items()):
        for task, (modality, published, metric, unit, level) in TINY_TASKS.items():
            labels = {
                "encoder": encoder, "backbone": encoder, "task": task, "dataset": f"d_{task}",
                "modality": modality, "published": published, "encoder_modality": "rgb", "config": "",
            }  # fmt: skip
            effects = {name: level * (1 + 0.06 * i) / (1 + place) for i, name in enumerate(methods)}
            scores = world(effects, labels=labels, unit_sd=3.0, fractions={"1/10": 0.0, "1": 0.4})
            found += [_scaled(record, metric, unit) for record in scores]
    return [step for record in found for step in _with_steps(record)]


def _scaled(record: Record, metric: str, unit: str) -> Record:
    """Return a record in another unit; ratios are a hundredth of what they would be in percent."""
    factor = 1.0 if unit == "%" else 0.01
    body = {name: value for name, value in record.items() if name not in ("schema", "digest")}
    value = body["metrics"][0]["value"] * factor
    body["metrics"] = [
        {"name": name, "value": value * share, "unit": unit, "higher_is_better": higher}
        for name, share, higher in (
            (metric, 1.0, True),
            ("macc", 1.7, True),
            ("background_share", 0.2, False),
        )
    ]
    body["interval"] = {
        **body["interval"], "replicates": [v * factor for v in body["interval"]["replicates"]],
    }  # fmt: skip
    body["curve"] = [{**point, "value": point["value"] * factor} for point in body["curve"]]
    return seal(body)


def _with_steps(score: Record) -> list[Record]:
    """Return a score record after the steps that it names as its inputs."""
    labels = score["labels"]
    specs: dict[str, Any] = {
        "pretrain": {"adapter": f"methods.{labels['method']}:M", "train": {"lr": 0.003, "batch": 32}},
        "finetune": {"task": labels["task"], "train": {"lr": 0.02, "betas": [0.9, 0.999], "steps": 80}},
        "predict": {"data": {"split": "test", "size": 48}},
    }
    steps: list[Record] = []
    for kind, spec in specs.items():
        common = {name: score[name] for name in ("curve", "selection", "manifests", "cost", "provenance")}
        body = {
            **common, "kind": kind, "key": sha256_text(f"{kind} {score['key']}")[:16], "labels": {},
            "facts": {}, "inputs": [step["key"] for step in steps[-1:]], "files": {},
            "spec": {**spec, "seed": labels["seed"]},
        }  # fmt: skip
        steps.append(seal(body))
    body = {name: value for name, value in score.items() if name not in ("schema", "digest")}
    return [*steps, seal({**body, "inputs": [steps[-1]["key"]]})]


@pytest.fixture
def store(tmp_path: Path) -> Callable[[Iterable[Mapping[str, Any]]], Path]:
    """Return a function that writes records into a fresh store."""
    return lambda records: write(tmp_path / "store", records)


@pytest.fixture
def summaries(tmp_path: Path) -> Callable[..., Summaries]:
    """Return a function that analyses records, and nothing but them."""
    stores = (tmp_path / f"analysed{i}" for i in count())
    return lambda records, *references: analyse(load(write(next(stores), records)), references)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return record


@pytest.fixture
def make_world() -> Callable[..., list[Record]]:
    return world


@pytest.fixture
def tiny_records() -> list[Record]:
    return tiny_world()
