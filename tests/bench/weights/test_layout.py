from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import AssetError, ConfigError
from bench.grid.layouts import shipped_layouts
from bench.weights.header import Entry
from bench.weights.layout import check_sorted, parse, plain, sort

FILE = Path("w.pth")
ONE = Entry(shape=(2, 2), dtype="float32")


def entries(*names: str) -> dict[str, Entry]:
    return dict.fromkeys(names, ONE)


def sorted_by(content, **body):
    return sort(parse(body, "layout/x.yaml"), content, FILE)[1]


def test_a_name_is_used_dropped_or_listed():
    content = {"state_dict": entries("module.q.conv.weight", "module.q.fc.bias", "module.k.x", "module.odd")}
    found = sorted_by(content, unwrap=["state_dict"], strip=["q."], drop=[r"fc\..*", r"k\..*"])
    assert found.used == {"conv.weight": ("module.q.conv.weight",)}
    assert found.dropped == ("module.q.fc.bias", "module.k.x")
    assert found.unknown == ("module.odd",)
    with pytest.raises(
        AssetError, match=r"1 entries are neither used nor dropped by the layout x .module\.odd"
    ):
        check_sorted(found, FILE, "x")


def test_patterns_are_anchored():
    found = sorted_by(entries("head.x", "overhead.x", "head"), drop=[r"head\..*"])
    assert (found.dropped, sorted(found.used)) == (("head.x",), ["head", "overhead.x"])
    found = sorted_by(entries("a.b", "a.b.c"), rename=[["a.b", "z"]])
    assert sorted(found.used) == ["a.b.c", "z"]


def test_the_first_rename_that_matches_is_the_only_one():
    found = sorted_by(entries("a"), rename=[["a", "b"], ["b", "c"]])
    assert found.used == {"b": ("a",)}


def test_what_lies_beside_a_state_dict_must_be_known():
    content = {"model": entries("a"), "epoch": 1, "optimizer": {}, "ema": entries("a")}
    assert sorted_by(content, unwrap=["model"]).unknown == ("ema",)
    assert sorted_by(content, unwrap=["model"], beside=["ema"]).unknown == ()


def test_a_state_dict_within_dicts_is_reached_by_its_path():
    content = {"ckpt": {"model": entries("a"), "ema": entries("a"), "epoch": 1}, "metric": 0.5}
    found = sorted_by(content, unwrap=["model", "ckpt.model"])
    assert (dict(found.used), found.unknown) == ({"a": ("a",)}, ("ema",))
    assert sorted_by({"ckpt.model": entries("b")}, unwrap=["ckpt.model"]).used == {"b": ("b",)}
    with pytest.raises(AssetError, match=r'its "ckpt\.model" holds 1 tensors .*expected "ckpt\.net"'):
        sorted_by(content, unwrap=["ckpt.net"])


def test_values_that_are_no_tensors_are_listed():
    assert sorted_by({**entries("a"), "b": 3}).unknown == ("b (int)",)


@pytest.mark.parametrize(
    ("body", "content", "message"),
    [
        ({"unwrap": ["teacher"]}, {"student": entries("a")}, 'expected "teacher"'),
        ({"strip": ["q."]}, entries("k.a"), 'no name begins with "q."; found a dict of 1 tensors'),
        ({}, [1], "an object of type list"),
        ({}, {}, "expected a dict of tensors"),
        ({"rename": [["a|b", "c"]]}, entries("a", "b"), "a and b are both c"),
    ],
)
def test_a_layout_that_does_not_fit_is_told(body, content, message):
    with pytest.raises(AssetError) as caught:
        sorted_by(content, **body)
    assert message in str(caught.value)


def test_parts_are_joined_and_split():
    found = sorted_by(entries("b.q.w", "b.k.w", "b.v.w", "c.q.w"), join={"qkv": ["q", "k", "v"]})
    assert found.used == {"b.qkv.w": ("b.q.w", "b.k.w", "b.v.w"), "c.q.w": ("c.q.w",)}
    found = sorted_by(entries("b.qkv.bias"), split={"qkv.bias": ["q_bias", "", "v_bias"]})
    assert found.used == {"b.q_bias": ("b.qkv.bias",), "b.v_bias": ("b.qkv.bias",)}
    assert found.parts == {"b.q_bias": (0, 3), "b.v_bias": (2, 3)}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"drop": ["("]}, "is no pattern"),
        ({"rename": [["a(.)", r"\2"]]}, "names a group"),
        ({"mean": [0.5]}, "`mean` and `std` of weights together"),
        ({"mean": [0.5] * 3, "std": [0, 1, 1]}, "std above 0"),
        ({"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}, "divide those .* by 255"),
        ({"grid": [16]}, "height, width"),
        ({"strips": ["a"]}, 'unknown key "strips".*"strip"'),
        ({"tensors": [{"match": "a", "view": [0, 2], "order": [0, 2]}]}, "is none of the axes"),
        ({"upsample": "cubic"}, "upsample"),
    ],
)
def test_wrong_layouts_are_refused(body, message):
    with pytest.raises(ConfigError, match=message):
        parse(body, "layout/x.yaml")


def test_shipped_layouts_say_where_they_come_from_and_survive_as_data():
    layouts = shipped_layouts()
    assert {
        "timm",
        "mae",
        "hap",
        "path",
        "croco_v1",
        "moco",
        "solider",
        "hcmoco",
        "vitpose",
    } <= layouts.keys()
    for name, layout in layouts.items():
        assert layout.summary and layout.url, name
        again = parse(plain(layout), name)
        assert plain(again) == plain(layout)


names = st.text(st.sampled_from("ab."), min_size=1, max_size=6)


@settings(deadline=None)  # a busy machine is no fault of the code
@given(st.sets(names, min_size=1), st.sets(names), st.sampled_from(["", "a.", "b"]))
def test_every_name_is_accounted_for_once(given_names, drops, prefix):
    content = dict.fromkeys(given_names, ONE)
    try:
        found = sorted_by(content, strip=[prefix], drop=[d.replace(".", r"\.") for d in drops])
    except AssetError:
        assert not any(name.startswith(prefix) for name in given_names)
        return
    used = [old for olds in found.used.values() for old in olds]
    assert sorted([*used, *found.dropped, *found.unknown]) == sorted(given_names)
