from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report import tables
from bench.report.overview import Block, overview
from bench.report.tables import BOLD

TINY = Path(__file__).resolve().parents[3] / "leaderboards" / "tiny"
TABLE = {
    "preset": "tiny", "track": "controlled", "mode": "strict", "protocol": "1", "dataset": "people",
    "metric": "miou", "unit": "%", "higher_is_better": True, "minimum_effect": 0.0, "test_set": "a",
}  # fmt: skip
LOWER = {"metric": "mpjpe", "unit": "mm", "higher_is_better": False}


def cell(name: str, task: str, mean: float, **changes: Any) -> dict[str, Any]:
    return {
        **TABLE, "task": task, "encoder": "resnet10", "fraction": "1", "name": name, "primary": True, "n": 3,
        "uses": "none" if name == "scratch" else "", "mean": mean, "complete": True, "best": False,
        "tie": False, **changes,
    }  # fmt: skip


def difference(
    method: str, task: str, value: float, half: float | None, verdict: str, **changes: Any
) -> dict[str, Any]:
    return {
        **TABLE, "task": task, "encoder": "resnet10", "fraction": "1", "method": method,
        "reference": "scratch", "against": "reference", "difference": value,
        "low": None if half is None else value - half,
        "high": None if half is None else value + half, "verdict": verdict, **changes,
    }  # fmt: skip


def made(cells: list[dict[str, Any]], differences: list[dict[str, Any]] | None = None) -> list[Block]:
    frame = pd.DataFrame(differences or [])
    return overview(
        pd.DataFrame(cells), frame.astype({"low": float, "high": float}) if differences else frame
    )


def test_ranks_are_of_methods_that_have_all_tasks_and_lower_may_be_better() -> None:
    (block,) = made(
        [
            cell("scratch", "parts", 30.0), cell("cmc", "parts", 35.0, best=True), cell("mae", "parts", 40.0),
            cell("scratch", "pose", 50.0, **LOWER), cell("cmc", "pose", 45.0, best=True, **LOWER),
            cell("mmv", "parts", 20.0), cell("mmv", "pose", 60.0, complete=False, **LOWER),
            cell("cmc", "parts", 1.0, primary=False, metric="macc"),
        ]
    )  # fmt: skip
    assert [(line.method, line.rank, line.missing) for line in block.lines] == [
        ("cmc", 1.0, 0), ("scratch", 2.0, 0), ("mae", None, 1), ("mmv", None, 1),
    ]  # fmt: skip
    assert [task.title for task in block.tasks] == ["parts", "pose"]
    assert block.lines[2].tiles[1] is None
    assert block.answer == "cmc: average rank 1.0"
    shown = tables.overview(block).frame
    assert list(shown) == ["method", "uses", "average rank", "missing", "parts ↑", "pose ↓"]
    assert shown.to_numpy().tolist() == [
        ["cmc", "not recorded", "1.00", "", f"{BOLD}35.0", f"{BOLD}45.0"],
        ["scratch", "none", "2.00", "", "30.0", "50.0"],
        ["mae", "not recorded", "-", "1", "40.0", "-"], ["mmv", "not recorded", "-", "1", "20.0", "(60.0)"],
    ]  # fmt: skip


def test_equal_means_share_a_rank_and_one_method_alone_has_none() -> None:
    both = [cell(name, task, 30.0) for name in ("scratch", "cmc") for task in ("a", "b")]
    (block,) = made(both)
    assert [line.rank for line in block.lines] == [1.5, 1.5]
    assert block.answer == "cmc, scratch: average rank 1.5"
    (alone,) = made(both[:2])
    assert [line.rank for line in alone.lines] == [None] and alone.answer == ""
    assert tables.overview(alone).notes == []


def test_colour_is_the_difference_to_scratch_in_half_widths_of_its_interval() -> None:
    names = ("scratch", "up", "slightly", "down", "bare")
    cells = [cell(name, "pose", 50.0, tie=name == "up", **LOWER) for name in names]
    differences = [
        difference("up", "pose", -4.0, 2.0, "better", **LOWER),
        difference("slightly", "pose", -1.0, 2.0, "tie", **LOWER),
        difference("down", "pose", 100.0, 2.0, "worse", **LOWER),
        difference("bare", "pose", 1.0, None, "tie", **LOWER),
        difference("scratch", "pose", 9.0, 1.0, "better", reference="up", **LOWER),
        difference("slightly", "pose", 9.0, 1.0, "worse", against="best", **LOWER),
    ]
    (block,) = made(cells, differences)
    found = {line.method: line.tiles[0] for line in block.lines}
    assert {name: (tile.verdict, tile.strength) for name, tile in found.items() if tile} == {
        "scratch": ("", None), "up": ("better", 2.0), "slightly": ("tie", 0.5), "down": ("worse", -3.0),
        "bare": ("tie", None),
    }  # fmt: skip
    assert {"50.0▲≈", "50.0▼"} < set(tables.overview(block).frame["pose ↓"])


def test_blocks_never_mix_encoders_label_shares_or_protocols() -> None:
    cells = [
        cell("cmc", "parts", 30.0, **changes)
        for changes in (
            {"fraction": "1"}, {"fraction": "1/10"}, {"encoder": "vit"}, {"preset": "wide"},
            {"track": "open"}, {"mode": "loose"}, {"protocol": "2"}, {"fraction": "shots=5"},
        )
    ]  # fmt: skip
    blocks = made(cells)
    assert all(len(block.lines) == len(block.tasks) == 1 for block in blocks)
    assert len({(block.setting, block.encoder, block.fraction) for block in blocks}) == len(blocks) == 8
    same = [
        b.fraction
        for b in blocks
        if b.encoder == "resnet10" and b.setting == ("tiny", "controlled", "strict", "1")
    ]
    assert same == ["shots=5", "1/10", "1"]


def test_tables_of_one_task_are_columns_of_their_own_with_names() -> None:
    (block,) = made(
        [cell("cmc", "parts", 30.0), cell("cmc", "parts", 31.0, test_set="b"), cell("cmc", "pose", 3.0)]
    )
    assert [task.title for task in block.tasks] == [
        "parts on people, miou, test set a, minimum effect 0",
        "parts on people, miou, test set b, minimum effect 0", "pose",
    ]  # fmt: skip


def test_the_measured_leaderboard_says_what_its_readme_says() -> None:
    body = json.loads((TINY / "leaderboard.json").read_text())
    rows = {n: pd.DataFrame([r for t in body["tables"] for r in t[n]]) for n in ("cells", "differences")}
    cells = rows["cells"].assign(uses=rows["cells"].get("uses", ""))  # older ones do not say
    blocks = overview(cells, rows["differences"])
    assert [(block.encoder, block.fraction) for block in blocks] == [
        (encoder, fraction) for encoder in ("resnet10_w24", "vit_d96") for fraction in ("1/10", "1")
    ]  # fmt: skip
    assert blocks[0].answer == blocks[1].answer == "hcmoco: average rank 1.0"
    better = set()
    for block in blocks:
        for line in block.lines:
            for task, tile in zip(block.tasks, line.tiles, strict=True):
                assert tile is None or tile.verdict != "worse"
                if tile and tile.verdict == "better":
                    better.add((line.method, block.fraction, task.title))
    assert better == {("hcmoco", "1", "parsing_depth")}
