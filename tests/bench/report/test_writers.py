from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import text
from bench.report.writers import csv_files, csv_text, escape, latex

Make = Callable[..., Any]

SCORES = np.linspace(10, 60, 80)
PRINTED = {
    r"\textbackslash{}": "\\", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"{\char34}": '"', r"\textasciigrave{}": "`", "{[}": "[",
    r"$\approx$": "≈", r"\dag{}": "†", r"\ddag{}": "‡", r"$\diamond$": "◆", "{}": "",
    **{f"\\{c}": c for c in "{}$&#%_"},
}  # fmt: skip
NASTY = st.text(st.sampled_from("ab1\\{}$&#%_^~<>|\"'`-?![]()é漢 \n\t\u202e≈"), max_size=14)


def printed(source: str) -> str:
    """Undo the escapes one by one, as TeX would read them."""
    pattern = "|".join(re.escape(s) for s in sorted(PRINTED, key=len, reverse=True))
    shown = re.sub(pattern, lambda match: PRINTED[match[0]], source)
    return re.sub(r"\[U\+([0-9A-F]{4,5})\]", lambda match: chr(int(match[1], 16)), shown)


@given(st.one_of(NASTY, st.text(max_size=20)))
def test_escaped_names_print_as_they_are(name: str) -> None:
    source = escape(name)
    assert printed(source) == text.plain(name)
    bare = re.sub("|".join(re.escape(s) for s in sorted(PRINTED, key=len, reverse=True)), "", source)
    assert not set(bare) & set("\\{}$&#%_^~"), source
    assert not re.search(r"--|''|``|\?`|!`|,,", source)  # ligatures
    assert not source.startswith("[")  # would be an argument of the row before


def tables(source: str) -> list[str]:
    return re.findall(r"\\begin\{table\}.*?\\end\{table\}", source, flags=re.DOTALL)


def test_every_table_is_whole_and_says_what_it_shows(make_world: Make, summaries: Make) -> None:
    records = []
    for stream, task in enumerate(("parts", "pose")):
        labels = {"task": task, "minimum_effect": 0.5}
        effects = {"scratch": 25.0, "cmc": 30.0, "50 % & more_{x}": 31.0}
        records += make_world(effects, stream=stream, labels=labels)
    source = latex(summaries(records, "cmc"))
    found = tables(source)
    assert len(found) == 2 * 5 + 1  # scores, differences, labels, epochs, cost; over tasks
    assert source.count("\\begin{") == source.count("\\end{") == 2 * len(found)
    for table in found:
        caption = re.search(r"\\caption\{(.*)\}\n", table)
        assert caption and "n = " in caption[1] and ("95 \\%" in caption[1] or "Cost" in caption[1])
        columns = re.search(r"\{@\{\}([lr]+)@\{\}\}", table)
        rows = [line for line in table.splitlines() if line.endswith(r" \\")]
        assert columns and len(rows) > 1
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns[1])}
        assert all(rule in table for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    assert r"50 \% \& more\_\{x\}" in found[0]
    assert "\\textbf{+" in found[1] and "minimum effect" in found[0]


@pytest.mark.parametrize("name", ["é", "Ł", "ß"])
def test_letters_of_every_text_font_stay(name: str) -> None:
    assert escape(name) == name


# ---- CSV


def test_values_of_all_kinds_have_one_spelling() -> None:
    frame = pd.DataFrame({
        "number": [1 / 3, np.nan], "count": [3, 12345678], "flag": [True, False], "mark": [None, True],
        "list": [(1, 2.5), (None, "a")], "name": ["a;b, \"c\"\nd", ""],
    })  # fmt: skip
    assert csv_text(frame) == (
        'number,count,flag,mark,list,name\n0.333333,3,true,,1;2.5,"a;b, ""c""\nd"\n,12345678,false,true,;a,\n'
    )


def test_files_without_rows_keep_their_header(make_record: Make, summaries: Make) -> None:
    """One method alone has no differences and saves nothing; pandas reads the files all the same."""
    alone, more = (
        csv_files(summaries([make_record(SCORES, method=m, seed=s) for m in methods for s in range(2)]))
        for methods in (("cmc",), ("cmc", "scratch", "mae"))
    )
    for name, content in alone.items():
        assert list(pd.read_csv(io.StringIO(content))) == list(pd.read_csv(io.StringIO(more[name])))
    assert {name for name, content in alone.items() if content.count("\n") == 1} == {
        "differences.csv", "savings.csv",
    }  # fmt: skip
