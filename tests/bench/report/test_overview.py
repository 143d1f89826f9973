from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.overview import Block, overview
from bench.report.tables import Entry

TINY = Path(__file__).resolve().parents[3] / "leaderboards" / "tiny"
TABLE = {
    "preset": "tiny", "track": "controlled", "mode": "strict", "protocol": "1", "dataset": "people",
    "metric": "miou", "unit": "%", "higher_is_better": True, "minimum_effect": 0.0, "test_set": "a",
}  # fmt: skip
LOWER = {"metric": "mpjpe", "unit": "mm", "higher_is_better": False}


def cell(name: str, task: str, mean: float, **changes: Any) -> dict[str, Any]:
    return {
        **TABLE, "task": task, "encoder": "resnet10", "fraction": "1", "name": name, "primary": True, "n": 3,
        "uses": "none" if name == "scratch" else "", "pretrain_data": "none", "mean": mean,
        "complete": True, "best": False, "tie": False, "keys": [f"{name} {task}"], **changes,
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


def lines(block: Block) -> list[list[str]]:
    """Return the texts of a block, the best entries with a star."""
    return [
        [*row.names, *(f"{entry.text}{'*' * entry.bold}" for entry in row.entries)]
        for row in block.table.rows
    ]


def test_data_of_pretraining_have_a_column_where_rows_differ_in_them() -> None:
    body, hand = (cell(n, "parts", 3.0, pretrain_data=n) for n in ("body", "hand"))
    (block,) = made([cell("scratch", "parts", 3.0), body, hand])
    assert block.table.header[:3] == ["method", "pretrained on", "uses"]
    assert {row.names[:2] for row in block.table.rows} == {
        ("scratch", "none"), ("body", "body"), ("hand", "hand"),
    }  # fmt: skip
    (block,) = made([cell("scratch", "parts", 3.0), body])
    assert block.table.header[:2] == ["method", "uses"]


def test_ranks_are_of_methods_that_have_all_tasks_and_lower_may_be_better() -> None:
    (block,) = made(
        [
            cell("scratch", "parts", 30.0), cell("cmc", "parts", 35.0, best=True), cell("mae", "parts", 40.0),
            cell("scratch", "pose", 50.0, **LOWER), cell("cmc", "pose", 45.0, best=True, **LOWER),
            cell("mmv", "parts", 20.0), cell("mmv", "pose", 60.0, complete=False, **LOWER),
            cell("cmc", "parts", 1.0, primary=False, metric="macc"),
        ]
    )  # fmt: skip
    told = "cmc: average rank 1.0 among the 2 of 4 methods that have all tasks"
    assert block.answer == f"{told}, better than scratch on 0 of 2 tasks"
    assert block.table.notes == [f"Best: {block.answer}."]
    assert block.table.header == ["method", "uses", "average rank", "missing", "parts ↑", "pose ↓"]
    assert lines(block) == [
        ["cmc", "not recorded", "1.00", "", "35.0*", "45.0*"],
        ["scratch", "none", "2.00", "", "30.0", "50.0"],
        ["mae", "not recorded", "-", "1", "40.0", "-"], ["mmv", "not recorded", "-", "1", "20.0", "(60.0)"],
    ]  # fmt: skip
    assert [column.section for column in block.table.columns] == ["", "", "t1", "t2"]
    tile = block.table.rows[0].entries[3]
    assert tile == Entry(text="45.0", bold=True, value=45.0, sheet="cmc pose")


def test_equal_means_share_a_rank_and_one_method_alone_has_none() -> None:
    both = [cell(name, task, 30.0) for name in ("scratch", "cmc") for task in ("a", "b")]
    (block,) = made(both)
    assert [line[2] for line in lines(block)] == ["1.50", "1.50"]
    assert block.answer == "cmc, scratch: average rank 1.5"
    (alone,) = made(both[:2])
    assert [line[2] for line in lines(alone)] == ["-"] and alone.answer == "" and alone.table.notes == []


def test_colour_is_the_difference_to_scratch_in_half_widths_of_its_interval() -> None:
    names = ("scratch", "up", "slightly", "down", "bare")
    cells = [cell(name, "pose", 50.0, tie=name == "up", **LOWER) for name in names]
    differences = [
        difference("up", "pose", -4.0, 2.0, "better", **LOWER),
        difference("slightly", "pose", -1.2, 2.0, "tie", **LOWER),
        difference("down", "pose", 100.0, 2.0, "worse", **LOWER),
        difference("bare", "pose", 1.0, None, "tie", **LOWER),
        difference("scratch", "pose", 9.0, 1.0, "better", reference="up", **LOWER),
        difference("slightly", "pose", 9.0, 1.0, "worse", against="best", **LOWER),
    ]
    (block,) = made(cells, differences)
    found = {row.method: (row.entries[2].text, row.entries[2].shade) for row in block.table.rows}
    assert found == {
        "scratch": ("50.0", 0), "up": ("50.0▲≈", 2), "slightly": ("50.0", 1), "down": ("50.0▼", -3),
        "bare": ("50.0", 0),
    }  # fmt: skip


def test_the_answer_counts_the_tasks_on_which_the_first_beats_scratch() -> None:
    cells = [cell("scratch", "a", 1.0), cell("up", "a", 2.0), cell("scratch", "b", 1.0), cell("up", "b", 1.1)]
    (block,) = made(
        cells, [difference("up", "a", 1.0, 0.5, "better"), difference("up", "b", 0.1, 1.0, "tie")]
    )
    assert block.answer == "up: average rank 1.0, better than scratch on 1 of 2 tasks"


def test_blocks_never_mix_encoders_label_shares_or_protocols() -> None:
    cells = [
        cell("cmc", "parts", 30.0, **changes)
        for changes in (
            {"fraction": "1"}, {"fraction": "1/10"}, {"encoder": "vit"}, {"preset": "wide"},
            {"track": "open"}, {"mode": "loose"}, {"protocol": "2"}, {"fraction": "shots=5"},
        )
    ]  # fmt: skip
    blocks = made(cells)
    assert all(len(lines(block)) == 1 and len(block.table.columns) == 3 for block in blocks)
    assert len({(block.setting, block.encoder, block.fraction) for block in blocks}) == len(blocks) == 8
    same = [
        b.fraction
        for b in blocks
        if b.encoder == "resnet10" and b.setting == ("tiny", "controlled", "strict", "1")
    ]
    assert same == ["1/10", "1", "shots=5"]


def test_tables_of_one_task_are_columns_of_their_own_with_names() -> None:
    (block,) = made(
        [cell("cmc", "parts", 30.0), cell("cmc", "parts", 31.0, test_set="b"), cell("cmc", "pose", 3.0)]
    )
    assert block.table.header[4:] == [
        "parts on people, miou, test set a, minimum effect 0 ↑",
        "parts on people, miou, test set b, minimum effect 0 ↑", "pose ↑",
    ]  # fmt: skip


def test_the_measured_leaderboard_says_what_its_readme_says() -> None:
    body = json.loads((TINY / "leaderboard.json").read_text())
    rows = {n: pd.DataFrame([r for t in body["tables"] for r in t[n]]) for n in ("cells", "differences")}
    cells = rows["cells"].assign(uses=rows["cells"].get("uses", ""))  # older ones do not say
    blocks = overview(cells, rows["differences"])
    assert [(block.encoder, block.fraction) for block in blocks] == [
        ("resnet10_w24", fraction) for _ in ("finetune", "linear") for fraction in ("3/100", "1/10", "1")
    ]  # fmt: skip
    assert all(block.answer.startswith("hcmoco: ") for block in blocks)
    better = {
        (row.method, block.fraction, column.title.removesuffix(" ↑"), block.setting[-1])
        for block in blocks
        for row in block.table.rows
        for column, entry in zip(block.table.columns, row.entries, strict=True)
        if "▲" in entry.text
    }
    every = ("3/100", "1/10", "1")
    wanted = {("hcmoco", "1/10", "densepose", "2")}  # the only one of fine-tuning
    for method, task, fractions in (
        ("hcmoco", "densepose", every[1:]), ("keypoints", "densepose", every),
        *((method, "parsing_depth", every) for method in ("cmc", "hcmoco", "keypoints", "mmv")),
        ("keypoints", "parsing_rgb", every), ("mmv", "parsing_rgb", ("1",)),
    ):  # fmt: skip
        wanted |= {(method, fraction, task, "linear-2") for fraction in fractions}
    assert better == wanted
    assert not any("▼" in entry.text for block in blocks for row in block.table.rows for entry in row.entries)
