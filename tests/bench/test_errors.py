import json
import re

import pytest

from bench.errors import AssetError, BenchError, ConfigError, DataError, StepError, nearest, told


@pytest.mark.parametrize(
    ("word", "known", "wanted"),
    [
        ("hcmco", ["cmc", "hcmoco", "mae"], ' Did you mean "hcmoco"?'),
        ("seen", ["batch", "samples_seen", "seeds"], ' Did you mean "samples_seen"?'),  # one of its words
        ("zebra", ["cmc", "mae"], " Known: cmc, mae."),
        ("zebra", [], ""),
    ],
)
def test_nearest_offers_one_name_or_all(word: str, known: list[str], wanted: str) -> None:
    assert nearest(word, iter(known)) == wanted


def test_only_failed_steps_leave_with_one() -> None:
    codes = {error: error.exit_code for error in (BenchError, ConfigError, DataError, AssetError, StepError)}
    assert codes.pop(StepError) == 1 and set(codes.values()) == {2}


def test_errors_of_others_are_told_with_their_kind_and_the_line_outside_of_libraries() -> None:
    assert told(StepError("loss is\n not finite")) == "loss is not finite"
    assert told(ZeroDivisionError()) == "ZeroDivisionError"  # never raised
    with pytest.raises(KeyError) as caught:
        {}["mask"]
    assert re.fullmatch(r"KeyError: 'mask' \(test_errors\.py, line \d+\)", told(caught.value))
    with pytest.raises(json.JSONDecodeError) as deep:
        json.loads("?")
    assert re.search(r" \(test_errors\.py, line \d+\)$", told(deep.value))
