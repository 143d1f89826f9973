from __future__ import annotations

from fractions import Fraction

import pytest

from bench.errors import DataError
from bench.report.budget import parse


@pytest.mark.parametrize("label", ["1/10", "fraction=1/10", "0.1"])
def test_spellings_of_one_fraction_are_one_budget(label: str) -> None:
    assert parse(label) == parse("1/10")
    assert (parse(label).label, parse(label).title, parse(label).value) == ("1/10", "10 %", Fraction(1, 10))


def test_titles_are_exact_or_fall_back_to_the_fraction() -> None:
    assert [parse(x).title for x in ("1", "1/500", "1/3", "shots=16")] == [
        "100 %",
        "0.2 %",
        "1/3",
        "16 shots",
    ]


def test_order_is_by_amount_with_shots_first() -> None:
    labels = ["1", "1/10", "shots=64", "1/9", "1/100", "16 shots"]
    assert [b.label for b in sorted(map(parse, labels))] == [
        "shots=16",
        "shots=64",
        "1/100",
        "1/10",
        "1/9",
        "1",
    ]


@pytest.mark.parametrize("label", ["0", "1.5", "-1/2", "1/0", "some", "shots=0", ""])
def test_what_is_no_budget_is_refused(label: str) -> None:
    with pytest.raises(DataError, match="fraction"):
        parse(label)
