from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.data.spec import parse
from bench.errors import ConfigError

Make = Callable[..., dict[str, Any]]


def test_folders_tell_what_the_samples_depend_on(spec_of: Make) -> None:
    spec = spec_of(("lab", "train", 7), ("wild", "val", 3), size=64, seed=5)
    first, second = parse(spec).parts
    assert first.place.under(Path("d")) == Path("d/people-v1-seed5-64px/lab/train")
    assert second.place.folder == "people-v1-seed5-64px/wild/val"
    assert parse(spec).samples == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, 'unknown key "seeds".*Did you mean "seed"'),
        ({"size": 8}, "data.size: 8 is not"),
        ({"size": 64.0}, "data.size: 64.0 is not"),
        ({"seed": -1}, "data.seed"),
        ({"seed": True}, "data.seed"),
        ({"parts": []}, "parts is empty"),
        ({"parts": [{"domain": "lab", "split": "train"}]}, '"parts.samples" is missing'),
        ({"parts": [{"domain": "lab", "split": "train", "samples": 0}]}, r"data\.parts\.samples: 0"),
        ({"parts": [{"domain": "lab", "split": "train", "samples": n} for n in (1, 2)]}, "twice"),
    ],
)
def test_mistakes_are_named(spec_of: Make, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse({**spec_of(("lab", "train", 7)), **change})
