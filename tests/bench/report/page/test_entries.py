from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.frame import load
from bench.report.lineage import Lineage
from bench.report.page.entries import Entries, Pool, Sources
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]


def opened(root: Path) -> tuple[Any, Any]:
    """Return the first table of a store and the JSON of all its cells and differences."""
    loaded = load(root)
    (table, *_), _ = build_tables(loaded)
    points = loaded.curves.groupby("key")[["progress", "value"]]
    sources = Sources(
        details=loaded.details,
        curves={str(key): part.to_numpy(dtype=float) for key, part in points},
        lineage=Lineage(root),
        colours={row.name: "#000000" for row in table.rows},
    )
    entries = Entries(sources)
    numbers = {
        (row.identity, budget): entries.add_cell(table, row, cell)
        for row in table.rows
        for budget, cell in row.cells.items()
    }
    for c in table.comparisons:
        entries.add_difference(table, c, [numbers[r.identity, c.budget] for r in (c.row, c.reference)])
    return table, json.loads(entries.json())


def facts(data: Any, entry: Any) -> dict[str, list[str]]:
    """Return all facts about the runs of an entry by name."""
    rows = [data["rows"][r] for s in entry["sections"] for r in data["sections"][s][2]]
    return {row[0]: row[1:] for row in rows}


def test_a_cell_tells_all_about_its_runs(make_world: Make, store: Store) -> None:
    made = {
        "commit": "0123456789abcdef", "dirty_sha256": "beef" * 16, "source_sha256": "f" * 64, "device": "cpu",
        "versions": {"torch": "2.6"}, "python": "3.11", "created": "2024-06-01T10:00:00Z",
    }  # fmt: skip
    records = make_world(
        {"scratch": 25.0, "cmc": 30.0}, fractions={"1/10": 0.0}, provenance=made, spec={"a": {"b": [1, 2]}}
    )
    table, data = opened(store(records))
    cell = table.groups[0].rows[1].cells[table.budgets[0]]
    entry = data["entries"][1]
    assert (entry["title"], entry["place"]) == ("cmc", "parts on people, resnet10, 10 % labels")
    assert entry["columns"] == ["seed 0", "seed 1", "seed 2", "mean"]
    primary, other = (data["rows"][r] for r in entry["metrics"])
    assert primary[0] == "miou (% ↑)" and other[0] == "error (mm ↓)"
    assert [float(v) for v in primary[1:]] == pytest.approx([*cell.values, cell.values.mean()], abs=6e-4)
    known = facts(data, entry)
    assert known["record key"] == list(cell.keys)
    assert known["pretraining seed"] == ["0", "1", "2"]
    assert known["commit"] == ["0123456789abcdef with uncommitted changes"]
    assert known["torch"] == ["2.6"] and known["device"] == ["cpu"]
    assert known["test"] == ["240 samples, sha256 a1b2c3d4a1b2c3d4"]
    assert known["peak memory"] == ["310 MB"]
    assert known["a.b"] == ["[1,2]"]  # of the spec
    curve = next(r for r in records if r["key"] == cell.keys[2])["curve"]
    axis, values = entry["curves"][2]
    assert data["axes"][axis] == [p["progress"] for p in curve]
    assert values == pytest.approx([p["value"] for p in curve], rel=1e-3)


def test_a_difference_shows_both_cells_on_their_common_runs(make_world: Make, store: Store) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0}, fractions={"1": 0.0})
    lacking = [r for r in records if (r["labels"]["method"], r["labels"]["seed"]) != ("cmc", 1)]
    _, data = opened(store(lacking))
    (entry,) = [e for e in data["entries"] if "links" in e]
    assert entry["title"] == "cmc minus scratch"
    assert entry["columns"] == ["seed 0", "seed 2"]
    ours, theirs, gap = (np.array(data["rows"][r][1:], dtype=float) for r in entry["metrics"])
    np.testing.assert_allclose(ours - theirs, gap, atol=2e-3)
    assert [data["entries"][number]["title"] for _, number in entry["links"]] == ["cmc", "scratch"]


def test_facts_that_all_runs_share_stand_there_once(make_world: Make, store: Store) -> None:
    _, data = opened(store(make_world({"scratch": 25.0, "cmc": 30.0})))
    assert len({json.dumps(row) for row in data["rows"]}) == len(data["rows"])
    assert len(data["axes"]) == 1
    costs = [s for s in data["sections"] if s[0] == "Cost"]
    assert len(costs) == 2  # of scratch and of cmc, whatever the labels


def test_equal_values_have_one_number() -> None:
    pool = Pool()
    assert [pool.add(v) for v in ([1, "a"], [1, "b"], [1, "a"])] == [0, 1, 0]
    assert pool.values == [[1, "a"], [1, "b"]]


def test_the_json_cannot_end_its_script_element(make_world: Make, store: Store) -> None:
    root = store(make_world({"scratch": 25.0, "</script>\u2028<!--": 30.0}))
    loaded = load(root)
    (table,), _ = build_tables(loaded)
    sources = Sources(
        details=loaded.details, curves={}, lineage=Lineage(root), colours={r.name: "" for r in table.rows}
    )
    entries = Entries(sources)
    for row in table.rows:
        entries.add_cell(table, row, row.cells[table.budgets[0]])
    text = entries.json()
    assert "<" not in text and text.isascii()
    assert json.loads(text)["entries"][1]["title"] == "</script> <!--"
