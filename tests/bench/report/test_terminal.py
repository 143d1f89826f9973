from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.report.leaderboard import Summaries
from bench.report.overview import overview
from bench.report.terminal import WIDTH, terminal

Make = Callable[..., Any]

SCORES = np.linspace(10, 60, 80)


def shown(found: Summaries) -> list[str]:
    lines = terminal(found, overview(found.cells, found.differences)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    return lines


def test_many_fractions_and_long_names_fit_into_the_width(make_world: Make, summaries: Make) -> None:
    fractions = {f"1/{2**i}": float(-i) for i in range(6)}
    effects = {"scratch": 25.0, "a_method_with_a_very_long_name_indeed": 45.0}
    lines = shown(summaries(make_world(effects, fractions=fractions)))
    table = lines[lines.index("parts on people") :]
    for fraction in ("50 %", "3.125 %", "100 %"):
        assert sum(f"{fraction} labels" in line for line in table) == 1
    assert sum(line.count("*") for line in table if "n=3" in line) == 6


def test_many_methods_and_tasks_show_every_number_of_the_overview_once(
    make_record: Make, summaries: Make
) -> None:
    names = [f"method_{c}" for c in "abcd"] + ["m" * 200]
    tasks = [f"task_{i:02}" for i in range(19)] + ["t" * 200]
    records = [
        make_record(SCORES + 100 * i + k + 0.5, method=name, labels={"task": task}, curve=[])
        for i, name in enumerate(names)
        for k, task in enumerate(tasks)
    ]
    lines = shown(summaries(records))
    matrix = "\n".join(lines[: lines.index("task_00 on people")])
    for i in range(len(names)):
        for k in range(len(tasks)):
            assert len(re.findall(rf"(?<![\d.]){100 * i + k + 35}\.5(?!\d)", matrix)) == 1
    assert matrix.count("435.5*") == 1 and "method_a" in matrix and "tttt…" in matrix


def test_the_overview_comes_first_and_incomplete_rows_stand_below(make_world: Make, summaries: Make) -> None:
    seeds = {"scratch": 4, "mae": 3, "cmc": 2}
    records = make_world({"scratch": 25.0, "mae": 30.0, "cmc": 45.0}, seeds=4, fractions={"1": 0.0})
    kept = [r for r in records if r["labels"]["seed"] < seeds[r["labels"]["method"]]]
    lines = shown(summaries(kept))
    text = "\n".join(lines)
    assert lines[0].startswith("resnet10, 100 % labels")
    assert "Incomplete, not ranked: resnet10, cmc: missing 100 %: seed 2." in text
    assert "Further runs, not used: resnet10, scratch: 100 %: seed 3" in text.replace("\n", " ")


@pytest.mark.parametrize("name", ["[red]x[/red]", "a|b", "$x$", "<script>", "a\nb", "漢\u202e字", "*b*"])
def test_names_are_shown_as_they_are(name: str, make_record: Make, summaries: Make) -> None:
    labels = {"task": name, "encoder": name}
    records = [make_record(SCORES + i, method=m, labels=labels) for i, m in enumerate(("scratch", name))]
    words = " ".join(name.replace("\u202e", "").split())
    lines = shown(summaries(records))
    assert lines[0].startswith(f"{words}, 10 %")
    assert any(f"{words} ↑" in line for line in lines[:4])
    assert sum(line.startswith(f"{words}  ") for line in lines) == 3  # overview, encoder, scores
    assert f"{words} on people" in lines
