from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from bench.adapters.loading import build_config, load_adapter
from bench.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    dim: int
    rate: float = 0.5
    kind: Literal["soft", "hard"] = "soft"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    tag: str | None = None
    either: int | str = 0
    flag: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    free: Any = None


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("rate", 1, 1.0),
        ("rate", 0.25, 0.25),
        ("kind", "hard", "hard"),
        ("sizes", [3, 4, 5], (3, 4, 5)),
        ("sizes", [], ()),
        ("pair", [1, 2], (1.0, 2.0)),
        ("tag", None, None),
        ("tag", "x", "x"),
        ("either", "x", "x"),
        ("flag", True, True),
        ("options", {"a": [1]}, {"a": [1]}),
        ("free", [object], [object]),
    ],
)
def test_values_are_coerced_to_their_declared_types(key: str, value: object, wanted: object) -> None:
    found = getattr(build_config(Config, {"dim": 8, key: value}, "here"), key)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dim": 1.0}, r"here\.dim: 1\.0 is not a whole number"),
        ({"dim": True}, r"here\.dim: True is not a whole number"),
        ({"dim": "8"}, r"here\.dim: '8' is not a whole number"),
        ({"dim": 8, "rate": "1e-4"}, r"here\.rate: '1e-4' is not a number"),
        ({"dim": 8, "rate": True}, r"here\.rate: True"),
        ({"dim": 8, "flag": 1}, r"here\.flag: 1 is not true or false"),
        ({"dim": 8, "kind": "sotf"}, r'here\.kind: unknown "sotf"\. Did you mean "soft"'),
        ({"dim": 8, "kind": ["soft"]}, r"here\.kind"),
        ({"dim": 8, "pair": [1, 2, 3]}, r"here\.pair"),
        ({"dim": 8, "sizes": 3}, r"here\.sizes"),
        ({"dim": 8, "sizes": [1, "2"]}, r"here\.sizes: '2' is not a whole number"),
        ({"dim": 8, "tag": 3}, r"here\.tag"),
        ({"dim": 8, "options": [1]}, r"here\.options"),
        ({}, r'here: "dim" is missing'),
        ({"dim": 8, "rat": 1}, r'here: unknown key "rat"\. Did you mean "rate"\?'),
    ],
)
def test_wrong_values_are_named(values: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(Config, values, "here")


def test_config_must_be_a_dataclass() -> None:
    with pytest.raises(ConfigError, match="is no dataclass; write @dataclass above it"):
        build_config(dict, {}, "here")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("bench.errors", "not of the form module:Class"),
        ("bench.erors:BenchError", "no module bench.erors"),
        ("no_such_package.deep:X", "no module no_such_package"),
        ("bench.errors:ConfigErorr", r'has no ConfigErorr\. Did you mean "ConfigError"'),
    ],
)
def test_wrong_addresses_are_named(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_adapter(address)
