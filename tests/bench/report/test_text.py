from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.report import text

PARSER = MarkdownIt("commonmark").enable("table")
NASTY = st.text(st.sampled_from("ab1|`*_<>&[]()\\~$#!+-=.\n\r\t \u202e\u200b\"'é"), max_size=12)


def _shown(tokens: list[object]) -> str:
    children = [child for token in tokens for child in getattr(token, "children", None) or ()]
    return "".join(getattr(child, "content", "") for child in children)


@given(st.one_of(NASTY, st.text(max_size=20)))
def test_markdown_shows_a_name_as_it_is(name: str) -> None:
    """An independent parser must show the name literally, as one cell, without any markup."""
    row = f"| {text.markdown(name)} | end |"
    tokens = PARSER.parse(f"| a | b |\n|---|---|\n{row}\n")
    cells = [t for t in tokens if t.type == "inline"]
    assert [cell.content for cell in cells[:2] + cells[3:]] == ["a", "b", "end"]
    children = cells[2].children or []
    assert {child.type for child in children} <= {"text"}
    assert "".join(child.content for child in children) == text.plain(name)


@given(NASTY)
def test_a_paragraph_shows_a_name_as_it_is(name: str) -> None:
    tokens = PARSER.parse(text.markdown(name))
    assert [t.type for t in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    assert _shown(list(tokens)) == text.plain(name)


def test_ordinary_names_stay_readable() -> None:
    for name in ("hrnet_w18", "croco-body", "0.655", "vit/16 (config 3fa2)"):
        assert text.markdown(name) == name


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_slugs_are_safe_file_names(words: list[str]) -> None:
    assert re.fullmatch(r"[a-z0-9_.=-]*", text.slug(*words))
    assert len(text.slug(*words)) <= 120
    assert "/" not in text.slug(*words) and not text.slug(*words).startswith(".")


def test_slugs_tell_names_apart() -> None:
    names = ["a/b", "a_b", "A_B", "a b", "..", "", "ä"]
    assert len({text.slug("plot", name, "x") for name in names}) == len(names)
    assert text.slug("efficiency", "parts", "", "tiny") == "efficiency_parts_tiny"


@pytest.mark.parametrize(
    ("value", "unit", "expected"), [(12.345, "%", "12.3"), (0.12345, "", "0.123"), (61.27, "mm", "61.3")]
)
def test_decimals_follow_the_unit(value: float, unit: str, expected: str) -> None:
    assert text.number(value, unit) == expected


def test_signs() -> None:
    assert [text.signed(v, "%") for v in (1.25, -0.5, 0.04, -0.04, 0.0)] == [
        "+1.2",
        "-0.5",
        "0.0",
        "0.0",
        "0.0",
    ]
    assert text.signed(0.04, "%", more=1) == "+0.04"
