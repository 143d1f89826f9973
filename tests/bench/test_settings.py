"""Values against declared types, and what switches what off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Struct

from bench.errors import ConfigError
from bench.settings import GIVEN, Count, Decay, OffWhen, Positive, check_read, convert


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    init: Literal["random", "imagenet"] = "random"
    file: Annotated[str, OffWhen(init="random")] = ""
    tag: Annotated[str, OffWhen(init="random"), OffWhen(file=GIVEN)] = ""
    joint: bool = True
    structure: bool = True
    mapper: Annotated[Positive, OffWhen(joint=False, structure=False)] = 1.0
    kind: Literal["off", "hard", "soft"] = "soft"
    sigma: Annotated[float | None, OffWhen(kind=("off", "hard"))] = None
    scale: float = 1.0
    law: Annotated[str, OffWhen(scale=1.0)] = "x"


class Inner(Struct, forbid_unknown_fields=True):
    rates: dict[str, Positive]
    betas: tuple[Decay, Decay] = (0.0, 0.0)


class Outer(Struct, forbid_unknown_fields=True):
    inner: Inner | None = None
    at: dict[Literal["train", "test"], str] = {}
    uses: list[Literal["left", "right"]] | dict[Literal["left", "right"], dict[str, Any]] = []
    many: list[Inner] = []
    more: dict[str, Inner] = {}


@pytest.mark.parametrize(
    ("values", "changed", "said"),
    [
        ({"file": "x"}, "file", r"a\.b\.file: is not read while init=random; set a\.b\.init=imagenet"),
        ({"file": "x", "init": "imagenet"}, "file", ""),
        ({"file": "x", "init": "imagenet", "tag": "y"}, "tag", r"not read while file=x; set a\.b\.file=''"),
        ({"tag": "y", "init": "imagenet"}, "tag", ""),
        ({"joint": False, "mapper": 2}, "mapper", ""),
        ({"joint": False, "structure": False}, "mapper",
         r"while joint=false and structure=false; set a\.b\.joint=true or a\.b\.structure=true"),
        ({"kind": "hard", "sigma": 2}, "sigma", r"while kind=hard; set a\.b\.kind=soft"),
        ({"kind": "soft", "sigma": 2}, "sigma", ""),
        ({"law": "y"}, "law", r"while scale=1\.0; set another a\.b\.scale"),
        ({}, "init", ""),
    ],
)  # fmt: skip
def test_what_is_switched_off_is_refused_with_the_switch(
    values: dict[str, Any], changed: str, said: str
) -> None:
    settings = convert(values, Config, "a.b")
    if not said:
        check_read(changed, settings, "a.b")
        return
    with pytest.raises(ConfigError, match=said) as caught:
        check_read(changed, settings, "a.b")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"iner": {}}, 'here: unknown key "iner". Did you mean "inner"?'),
        ({"inner": {}}, 'here: "inner.rates" is missing'),
        ({"inner": {"rates": {"a": 1, "b": 0}}}, "here: inner.rates.b: 0 is not a number above 0"),
        ({"inner": {"rates": {}, "betas": [0.5, 1]}}, "here: inner.betas: 1 is not a number below 1"),
        ({"inner": {"rates": {}, "betas": [0.5]}}, "here: inner.betas: [0.5] is not a list of 2 values"),
        ({"inner": {"rates": {}, "bets": 1}}, 'here: inner: unknown key "bets". Did you mean "betas"?'),
        ({"many": [{"rates": {}}, {"rates": {"x": "1"}}]}, "here: many.rates.x: '1' is not a number"),
        ({"more": {"a": {"rates": {}}, "b": {}}}, 'here: "more.b.rates" is missing'),
        ({"at": {"trian": "a"}}, 'here: at: unknown "trian". Did you mean "train"?'),
        ({"uses": ["lefd"]}, 'here: uses: unknown "lefd". Did you mean "left"?'),
        ({"uses": {"lefd": {}}}, 'here: uses: unknown "lefd". Did you mean "left"?'),
        ([1], "here: [1] is not a section"),
        (None, "here: None is not a section"),
    ],
)
def test_mistakes_are_named_at_any_depth(values: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(values, Outer, "here", ": ")
    assert str(caught.value) == said


def test_whatever_a_class_raises_that_checks_itself_is_one_line() -> None:
    @dataclass
    class Careless:
        side: int

        def __post_init__(self) -> None:
            if self.side % 2 == 0:
                raise RuntimeError("an odd side,\nplease")

    with pytest.raises(ConfigError, match=r"^here: RuntimeError: an odd side, please \(.*, line \d+\)$"):
        convert({"side": 2}, Careless, "here")


def test_numbers_keep_their_declared_type() -> None:
    found = convert({"rates": {"a": 1}}, Inner, "here")
    assert isinstance(found.rates["a"], float)
    with pytest.raises(ConfigError, match=r"1\.0 is not a whole number"):
        convert(1.0, Count, "here")  # type: ignore[arg-type]
