from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.doubts import doubts
from bench.report.frame import load
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)


def said(root: Path) -> list[str]:
    return doubts(build_tables(load(root))[0], ("scratch",))


def test_rows_without_a_common_seed_are_named(make_record: Make, store: Store) -> None:
    (line,) = said(store([make_record(SCORES, seed=0), make_record(SCORES + 1, method="cmc", seed=1)]))
    assert "cmc and scratch share no seed" in line
    assert "parts on people, resnet10, 10 % labels" in line


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"protocol": 2}, "records of several protocols: 1, 2"),
        ({"minimum_effect": 0.5}, "records of several minimum effects: 0, 0.5"),
    ],
)
def test_records_that_cannot_share_a_table_are_named(
    labels: dict[str, Any], message: str, make_record: Make, store: Store
) -> None:
    records = [make_record(SCORES), make_record(SCORES + 1, method="cmc", labels=labels)]
    found = said(store(records))
    assert len(found) == 1 and message in found[0]


def test_other_test_sets_are_named_and_plain_stores_are_not(
    make_world: Make, make_record: Make, store: Store
) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0})
    assert said(store(records)) == []
    other = {"test": {"n": 240, "sha256": "ffff" * 16}}
    found = said(store([make_record(SCORES, method="cmc", manifests=other)]))
    assert len(found) == 1 and "several test sets" in found[0]
