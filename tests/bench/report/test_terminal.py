from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.console import UNLIMITED
from bench.report.frame import load
from bench.report.tables import build_tables
from bench.report.terminal import terminal

Make = Callable[..., Any]
Store = Callable[..., Path]


def test_many_fractions_and_long_names_fit_into_the_width(make_world: Make, store: Store) -> None:
    fractions = {f"1/{2**i}": float(-i) for i in range(6)}
    effects = {"scratch": 25.0, "a_method_with_a_very_long_name_indeed": 45.0}
    shown = terminal(build_tables(load(store(make_world(effects, fractions=fractions))))[0], 80)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    for fraction in ("50 %", "3.125 %", "100 %"):
        assert sum(f"{fraction} labels" in line for line in lines) == 1
    starred = [line for line in lines if line.startswith("a_method")]
    assert starred and all("…" in line and line.count("*") == line.count("n=3") for line in starred)


def test_nothing_is_cut_where_there_is_no_terminal(make_world: Make, store: Store) -> None:
    fractions = {f"1/{2**i}": float(-i) for i in range(6)}
    name = "a_method_with_a_very_long_name_indeed"
    world = make_world({"scratch": 25.0, name: 45.0}, fractions=fractions)
    shown = terminal(build_tables(load(store(world)))[0], UNLIMITED)
    (line,) = [line for line in shown.splitlines() if line.startswith(name)]
    assert line.count("n=3") == len(fractions) and "…" not in shown


def test_incomplete_rows_stand_below(make_world: Make, store: Store) -> None:
    records = make_world({"scratch": 25.0, "cmc": 45.0})
    shown = terminal(build_tables(load(store(records[:-1])))[0], 100)
    assert "resnet10: cmc is incomplete (not ranked), missing 100 %: 1 seed" in shown
    assert "*" not in shown.partition("resnet10: cmc")[0]
