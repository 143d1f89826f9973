from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from bench.errors import DataError
from bench.report import overview, text
from bench.report.leaderboard import analyse
from bench.report.records import load
from bench.report.tables import NOT_COMPARABLE
from bench.report.terminal import WIDTH, terminal
from bench.report.write import report
from bench.report.writers import csv_files, latex, markdown

Make = Callable[..., Any]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)


def test_everything_is_written_and_written_the_same_again(
    make_world: Make, store: Store, tmp_path: Path
) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 30.0}, labels={"published": "human parsing (RGB)"}))
    first = report(root, tmp_path / "a")
    second = report(root, tmp_path / "b")
    names = [path.relative_to(tmp_path / "a").as_posix() for path in first.paths]
    plots = [
        "efficiency_parts_people_tiny_controlled_strict_1",
        "differences_scratch_parts_people_tiny_controlled_strict_1",
        "convergence_parts_people_resnet10_tiny_controlled_strict_1",
        "cost_parts_people_tiny_controlled_strict_1",
    ]
    assert names == [
        "leaderboard.md", "leaderboard.html", "leaderboard.json", "leaderboard.tex", "leaderboard.csv",
        "differences.csv", "savings.csv", "cost_quality.csv", "over_tasks.csv",
        *(f"plots/{plot}.{kind}" for plot in plots for kind in ("png", "svg")),
    ]  # fmt: skip
    assert {p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*")} == {
        *map(Path, names), Path("plots/drawn.json"),
    }  # fmt: skip
    for a, b in zip(first.paths, second.paths, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
    assert first.problems == ()
    assert first.markdown == (tmp_path / "a" / "leaderboard.md").read_text()
    head, _, tail = first.markdown.partition(f"## {NOT_COMPARABLE}")
    assert "| scratch |" in head and "HCMoCo" not in head
    assert "58.28" in tail  # HCMoCo at 10 % of the labels, as printed
    image = Image.open(first.paths[9])
    assert image.width == pytest.approx(3.4 * 200, abs=2)
    assert image.getextrema() != ((255, 255),) * 4


def test_csv_and_json_hold_the_same_numbers(make_world: Make, store: Store, tmp_path: Path) -> None:
    effects = {"scratch": 25.0, "cmc": 30.0}
    report(store(make_world(effects, seeds=5, curve=[])), tmp_path)
    body = json.loads((tmp_path / "leaderboard.json").read_text())
    (table,) = body["tables"]
    sizes = {"leaderboard": 8, "differences": 4, "savings": 1, "cost_quality": 4}
    for name, size in sizes.items():
        rows = list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text())))
        entries = table["cells" if name == "leaderboard" else name]
        assert len(rows) == len(entries) == size
        for row, entry in zip(rows, entries, strict=True):
            assert row.pop("interval", table["interval"]) == table["interval"]  # said once in the JSON
            assert list(row) == list(entry)
            for column, words in row.items():
                values = entry[column] if isinstance(entry[column], list) else [entry[column]]
                for said, value in zip(words.split(";"), values, strict=True):
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        assert float(said) == pytest.approx(value, rel=1e-5), column
                    else:
                        assert said == {None: "", True: "true", False: "false"}.get(value, value), column
    assert body["over_tasks"][0]["ranks_reason"] == "fewer than two tasks are common to all of them"
    assert table["provenance"]["seeds"] == ["0", "1", "2", "3", "4"]


def test_only_selected_records_are_used(make_world: Make, store: Store, tmp_path: Path) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0}, curve=[])
    root = store(records)
    chosen = {r["key"] for r in records if r["labels"]["fraction"] == "1"}
    result = report(root, tmp_path / "out", select=chosen)
    assert "| encoder | method | 100 % labels |" in result.markdown
    assert "10 %" not in result.markdown
    with pytest.raises(DataError, match="holds no usable score record"):
        report(root, tmp_path / "out", select=set())


def test_damaged_records_are_named_in_the_report(make_world: Make, store: Store, tmp_path: Path) -> None:
    records = make_world({"scratch": 25.0, "cmc": 30.0, "mae": 28.0}, curve=[])
    root = store(records)
    path = root / "score" / f"cell-{records[1]['key']}" / "record.json"
    path.write_text(path.read_text()[:-40])
    result = report(root, tmp_path / "out")
    assert len(result.problems) == 1
    assert records[1]["key"] in result.problems[0]
    assert records[1]["key"] in result.markdown.partition("## Problems")[2]
    assert "Incomplete, not ranked" in result.markdown
    for path in root.glob("score/*/record.json"):
        path.write_text("{")
    with pytest.raises(DataError, match=r"18 problems: record score/cell-"):
        report(root, tmp_path / "out")


def test_an_empty_store_and_an_unwritable_folder_are_clear(
    make_record: Make, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nothing-here holds no score records.*--store"):
        report(tmp_path / "nothing-here", tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        report(store([make_record(SCORES)]), tmp_path / "file")


NAMES = st.text(st.sampled_from("ab1|`*_<>&[]()\\~$#-\n \u202eé漢"), min_size=1, max_size=10).filter(
    text.plain
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(method=NAMES, encoder=NAMES, task=NAMES)
def test_markup_in_names_cannot_break_a_table(
    method: str, encoder: str, task: str, make_record: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels = {"encoder": encoder, "task": task}
    root = tmp_path_factory.mktemp("store")
    for record in (make_record(SCORES, labels=labels), make_record(SCORES + 9, method=method, labels=labels)):
        folder = root / "score" / record["key"]
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record))
    found = analyse(load(root))
    blocks = overview.overview(found.cells, found.differences)
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown(found, [], blocks, []))
    inline = [t for t in tokens if t.type == "inline"]
    shown = {"".join(c.content for c in t.children or [] if c.type == "text") for t in inline}
    assert {text.plain(method), text.plain(encoder), f"{text.plain(task)} on people"} <= {
        s.strip() for s in shown
    } | {""}
    assert not [
        t
        for t in tokens
        if t.type == "html_block" and "record key" not in t.content and "</details>" not in t.content
    ]
    assert {len(t.children or []) for t in inline if t.content == ""} <= {0}
    assert all(len(line) <= WIDTH for line in terminal(found, blocks).splitlines())
    assert latex(found).count("\\begin{tabular}") == latex(found).count("\\end{tabular}") > 1
    rows = list(csv.DictReader(io.StringIO(csv_files(found)["leaderboard.csv"])))
    assert {row["method"] for row in rows} == {"scratch", method}


def test_one_method_alone_makes_a_whole_report(make_record: Make, store: Store, tmp_path: Path) -> None:
    result = report(store([make_record(SCORES, method="cmc")]), tmp_path / "out")
    assert "No differences: no scratch or reference row" in result.markdown
    assert "fewer than two methods are complete" in result.markdown


def test_reporting_never_imports_torch() -> None:
    code = "import sys, bench.report.write; sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
