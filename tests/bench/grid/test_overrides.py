from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.grid.overrides import apply, describe, fit, leaves

CONFIG: dict[str, Any] = {
    "preset": {
        "size": 64,
        "rate": 0.5,
        "flag": True,
        "name": "x",
        "betas": [0.9, 0.95],
        "parts": {"a": 1, "b": 2},
        "pretrain": {"samples_seen": 8, "batch": 2},
    },
    "task": {"densepose": {"config": {"width": None, "options": {}}}},
}


def applied(*words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    config = copy.deepcopy(CONFIG)
    return config, apply(config, words)


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("preset.size=32", "preset.size", 32),
        ("preset.size=32.0", "preset.size", 32),
        ("preset.rate=1", "preset.rate", 1.0),
        ("preset.rate=1e-4", "preset.rate", 1e-4),
        ("preset.flag=false", "preset.flag", False),
        ("preset.name='a b'", "preset.name", "a b"),
        ("preset.betas=[1, 0.5]", "preset.betas", [1.0, 0.5]),
        ("preset.parts={b: 3}", "preset.parts.b", 3),
        ("task.densepose.config.width=8", "task.densepose.config.width", 8),
        ("task.densepose.config.options={act: gelu}", "task.densepose.config.options.act", "gelu"),
        ("+task.densepose.config.options.act=gelu", "task.densepose.config.options.act", "gelu"),
        ("++preset.size=3", "preset.size", 3),
        ("++task.densepose.config.options.act=gelu", "task.densepose.config.options.act", "gelu"),
        ("preset.size=${preset.parts.b}", "preset.size", 2),
    ],
)
def test_values_take_the_type_of_what_they_replace(word: str, key: str, value: Any) -> None:
    config, changes = applied(word)
    found = dict(leaves(config))[key]
    assert found == value and type(found) is type(value)
    assert changes.pop(key) == value
    assert all(v is None for v in changes.values())  # e.g. the empty section that is gone


@pytest.mark.parametrize(
    "text",
    [
        "epoch=9-step=10.ckpt", "a (1).ckpt", "a#b@c~d.ckpt", "~/x y.pt", "a\"b'c.pt", "back\\slash=.pt",
        "x=\\", "[x", "{a=b", "http://x/y?z=1", "ä=ö.pt", " a=b ", "a, b=c",
    ],
)  # fmt: skip
def test_a_key_that_holds_text_takes_any_path(text: str) -> None:
    assert applied(f"preset.name={text}")[0]["preset"]["name"] == text


def test_a_number_may_become_a_list_of_its_kind() -> None:
    assert applied("preset.size=[48,64]")[0]["preset"]["size"] == [48, 64]


def test_removal_and_no_change() -> None:
    config, changes = applied("~preset.parts.a")
    assert config["preset"]["parts"] == {"b": 2} and changes == {"preset.parts.a": None}
    assert applied("preset.size=64", "preset.rate=0.5") == (CONFIG, {})
    assert applied() == (CONFIG, {})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("preset.sise=3", r'unknown override "preset\.sise"\. Did you mean "preset\.size"\?'),
        ("preset.pretrain.seen=3", r'Did you mean "preset\.pretrain\.samples_seen"\?'),
        ("preset.pretrain.zzz=3", r'zzz"\. Known: batch, samples_seen\.'),
        ("size=3", r'Did you mean "preset\.size"\?'),
        ("task.parsing.config.width=3", r"task parsing is not part of this grid\. Known: densepose"),
        ("zzz=3", r'unknown override "zzz"\. bench show NAME lists the keys'),
        ("preset.size.x=3", r'unknown override "preset\.size\.x"'),
        ("+zzz.a=3", r'unknown override "zzz\.a"'),
        ("+preset.size=3", r"preset\.size exists"),
        ("~preset.sise", r"unknown override"),
        ("preset.pa=3", r'unknown override "preset\.pa"\..* To add a key to a section: \+preset\.pa='),
        ("preset.parts={c: 3}", r'unknown override "preset\.parts\.c"'),
        ("preset=small", r"preset: is a section, not a value"),
        ("preset.size=abc", r"preset\.size: 'abc' is not a whole number; the default is 64"),
        ("preset.size=1.5", r"preset\.size: 1\.5 is not a whole number"),
        ("preset.size=[48,a]", r"preset\.size: 'a' is not a whole number"),
        ("preset.size=true", r"preset\.size: True is not a whole number"),
        ("preset.rate=fast", r"preset\.rate: 'fast' is not a number"),
        ("preset.rate=nan", r"nan is not a finite number"),
        ("preset.flag=1", r"preset\.flag: 1 is not true or false"),
        ("preset.name=3", r"preset\.name: 3 is not text"),
        ("preset.betas=0.9", r"preset\.betas: 0\.9 is not a list"),
        ("preset.betas=[a]", r"preset\.betas: 'a' is not a number"),
        ("preset.size=1,2", r"one value per key; for a list write preset\.size=\[\.\.\.\]"),
        ("preset.size", r'"preset\.size" is not an override; write key=value'),
        ("=3", r"is not an override"),
        ("preset.size=[1", r"is not an override.*goes into quotes"),
        ("preset@here.size=3", r"override"),
        ("preset.size=${preset.none}", r"configuration: .*preset\.none"),
    ],
)
def test_what_cannot_be_meant_is_one_line(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        applied(word)
    assert "\n" not in str(caught.value)


NUMBERS = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS)
def test_fitted_numbers_keep_value_and_type(old: float, new: float) -> None:
    try:
        found = fit(old, new, "k")
    except ConfigError:
        assert isinstance(old, int) and not float(new).is_integer()
    else:
        assert found == new and type(found) is type(old)


def test_descriptions_are_short() -> None:
    changes = {"preset.a": [1, 2], "method.cmc.stages.one.config.kind": "hard", "other": 3}
    text = describe(changes, {"preset.": "", "method.cmc.": ""})
    assert text == "a=[1,2], one.config.kind=hard"
    many = {f"preset.key_{i}": i for i in range(30)}
    assert describe(many, {"preset.": ""}).startswith("30 overrides, ")
    assert describe(many, {"preset.": ""}) != describe({**many, "preset.key_0": 9}, {"preset.": ""})
