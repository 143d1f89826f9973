from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.execute.gate import FAILURES, Change, changes, markdown
from bench.records.record import seal
from bench.records.record_set import RecordSet

Make = Callable[..., dict[str, Any]]
SEEDS = range(3)
UNITS = 40


@pytest.fixture
def make_record() -> Make:
    """The score records of the report's tests."""
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = spec_from_file_location("worlds", path)
    assert spec and spec.loader
    worlds = module_from_spec(spec)
    spec.loader.exec_module(worlds)
    return worlds.record  # type: ignore[no-any-return]


def curve(terms: Mapping[str, float]) -> list[dict[str, float]]:
    return [
        {"step": 10.0 * i, "progress": i / 4, **{n: v * (5 - i) for n, v in terms.items()}}
        for i in range(1, 5)
    ]


def stage(seed: int, terms: Mapping[str, float], speed: float = 100.0, device: str = "cpu") -> dict[str, Any]:
    """A record of pretraining whose terms end at the values given."""
    return seal(
        {
            "kind": "pretrain", "key": f"{seed:016x}", "inputs": [], "files": {}, "facts": {},
            "manifests": {},
            "labels": {"method": "hcmoco", "stage": "hcmoco.dense", "encoder": "resnet10", "seed": seed},
            "curve": curve(terms), "cost": {"samples_per_s": speed}, "provenance": {"device": device},
            "spec": {"seed": seed},
        }
    )  # fmt: skip


def cells(make_record: Make, scores: Sequence[NDArray[Any]], **labels: Any) -> list[dict[str, Any]]:
    return [make_record(s, seed=i, labels={"minimum_effect": 0.5, **labels}) for i, s in enumerate(scores)]


def gate(old: Sequence[Any], new: Sequence[Any], ratio: float = 0.5) -> list[Change]:
    return changes(RecordSet(records=tuple(old)), RecordSet(records=tuple(new)), ratio)


def world(rng: np.random.Generator, shift: float = 0.0, spread: float = 1.0) -> list[NDArray[np.float64]]:
    """Scores (UNITS,) of three seeds: what a unit is worth, what a seed is worth, and noise."""
    units = np.random.default_rng(0).normal(40, 8, UNITS)
    return [units + shift + rng.normal(0, spread) + rng.normal(0, 3, UNITS) for _ in SEEDS]


def test_an_unchanged_tree_is_the_same(make_record: Make) -> None:
    records = [*cells(make_record, world(np.random.default_rng(1))), stage(0, {"loss_a": 2.0, "part": 1.0})]
    found = gate(records, records)
    assert [(c.what, c.verdict) for c in found] == [
        ("metric", "same"), ("loss", "same"), ("speed", "as fast"), ("speed", "as fast"),
    ]  # fmt: skip
    assert "**passed**" in markdown(found)


@pytest.mark.parametrize("higher", [True, False])
def test_a_drop_beyond_interval_and_minimum_effect_fails(make_record: Make, higher: bool) -> None:
    def metric(shift: float, labels: Mapping[str, Any] | None = None) -> Change:
        base = world(np.random.default_rng(1))
        old, new = (cells(make_record, [s + d for s in base], **(labels or {})) for d in (0.0, shift))
        for record in (*old, *new):
            record["metrics"][0]["higher_is_better"] = higher
        return gate(old, new)[0]

    down, up = ("worse", "better") if higher else ("better", "worse")
    assert metric(-2.0).verdict == down
    assert metric(+2.0).verdict == up
    assert metric(-0.4).verdict == "tie"  # sure, but below the minimum effect
    assert metric(-0.4, {"minimum_effect": 0.1}).verdict == down


def test_noise_of_seeds_hardly_fails_and_real_drops_do(make_record: Make) -> None:
    """Three cells at once, so that Holm's correction counts; the truth is known."""
    rng = np.random.default_rng(5)
    fails = {0.0: 0, -12.0: 0}
    trials = 60
    for shift in fails:
        for _ in range(trials):
            pairs = [(world(rng), world(rng, shift)) for _ in range(3)]
            old, new = (
                [r for k, p in enumerate(pairs) for r in cells(make_record, p[i], task=f"t{k}")]
                for i in (0, 1)
            )
            fails[shift] += any(change.fails for change in gate(old, new))
    assert fails[0.0] <= 0.12 * trials  # 4 % in 1,000 trials, and chance
    assert fails[-12.0] >= 0.9 * trials


TERMS = {"loss_dense": 6.0, "loss_joint": 2.0, "sample_rgb_depth": 5.0}


@pytest.mark.parametrize(
    ("now", "verdicts"),
    [
        ({"loss_dense": 6.2, "loss_joint": 2.0, "sample_rgb_depth": 9.0}, ["tie", "same"]),
        ({"loss_dense": 6.6, "loss_joint": 1.0, "sample_rgb_depth": 5.0}, ["worse", "fell"]),
        ({"loss_joint": 2.0, "sample_rgb_depth": 5.0}, ["vanished", "same"]),
        ({"loss_dense": 0.0, "loss_joint": 2.0, "sample_rgb_depth": 5.0}, ["vanished", "same"]),
        ({"loss_dense": 6.0, "loss_joint": 2.0}, ["same", "same", "vanished"]),
        ({**TERMS, "loss_new": 1.0}, ["same", "same", "new"]),
    ],
)
def test_loss_terms_are_compared_by_their_last_values(now: dict[str, float], verdicts: list[str]) -> None:
    old, new = ([stage(seed, terms) for seed in SEEDS] for terms in (TERMS, now))
    found = [change for change in gate(old, new) if change.what == "loss"]
    assert [change.verdict for change in found] == verdicts
    assert any(c.fails for c in found) == bool(FAILURES & set(verdicts))


def test_a_change_of_a_loss_within_the_spread_over_seeds_is_a_tie() -> None:
    factors = (0.85, 1.25, 1.2)
    old = [stage(seed, {"loss_a": 2.0}) for seed in SEEDS]
    new = [stage(seed, {"loss_a": 2.0 * factor}) for seed, factor in zip(SEEDS, factors, strict=True)]
    assert gate(old, new)[0].verdict == "tie" and gate(old, new)[0].difference == "+10.0%"


def test_missing_cells_seeds_and_other_data_fail_and_new_ones_do_not(make_record: Make) -> None:
    base = cells(make_record, world(np.random.default_rng(1)))
    other = cells(make_record, world(np.random.default_rng(1)), method="new")
    assert [(c.verdict, c.note) for c in gate(base, [])] == [("missing", "no run now of seeds 0, 1, 2")]
    assert gate(base, base[:2])[0].note == "no run now of seed 2"
    assert gate(base[:2], base)[0].verdict == "same"
    assert [c.verdict for c in gate(base, [*base, *other])] == ["same", "new", "as fast"]
    assert not any(c.fails for c in gate(base, [*base, *other]))
    moved = [{**r, "manifests": {"test": {"n": 1, "sha256": "00"}}} for r in base]
    assert (gate(base, moved)[0].verdict, gate(base, moved)[0].note) == (
        "missing",
        "the test data are others",
    )
    renamed = [{**r, "metrics": [{**r["metrics"][0], "name": "x"}]} for r in base]
    assert gate(base, renamed)[0].note == "the primary metric is another one"


def test_speed_counts_on_equal_devices_only() -> None:
    old = [stage(seed, TERMS, speed) for seed, speed in zip(SEEDS, (90.0, 100.0, 400.0), strict=True)]

    def speed(new: float, ratio: float = 0.5, device: str = "cpu") -> Change:
        return gate(old, [stage(seed, TERMS, new, device) for seed in SEEDS], ratio)[-1]

    assert (speed(51).verdict, speed(49).verdict, speed(49, 0.4).verdict) == ("as fast", "slower", "as fast")
    assert speed(49).difference == "x 0.49" and speed(49).fails  # of the median
    assert (speed(1, 0).verdict, speed(1, 0.5, "gpu").verdict) == ("as fast", "not compared")


def test_tables_hold_any_name_and_put_failures_first(make_record: Make) -> None:
    names = ["<script>alert(1)</script>", "a|b`c", "x" * 200, "../..", "line\nbreak"]
    base = [r for n in names for r in cells(make_record, world(np.random.default_rng(1)), method=n)]
    text = markdown(gate(base, [*base[:-3]]), ["note | <b>"])
    rows = [line for line in text.splitlines() if line.startswith("| parts")]
    assert len(rows) == 5 and rows[0].startswith("| parts, line break") and "**missing**" in rows[0]
    assert "<script>" not in text and all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "**failed**: 1 regression" in text
