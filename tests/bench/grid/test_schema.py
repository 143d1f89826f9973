from __future__ import annotations

from typing import Any

import pytest

from bench.errors import ConfigError
from bench.grid.schema import check


def task(**changes: Any) -> dict[str, Any]:
    return {
        "adapter": "tasks.x:X", "version": 1, "score_version": 1, "inputs": ["rgb"],
        "data": {"people": {"source": "d_parse"}}, "config": {}, "augment": {},
        **changes,
    }  # fmt: skip


def test_a_minimum_effect_is_a_number_of_at_least_0_and_by_default_0() -> None:
    plain, given = task(), task(minimum_effect=1)
    check("task", plain, "task x")
    check("task", given, "task x")
    assert (plain["minimum_effect"], given["minimum_effect"]) == (0.0, 1.0)
    assert isinstance(given["minimum_effect"], float)  # `1` and `1.0` would be two keys
    for wrong in (-0.1, "0.5", None, True):
        with pytest.raises(ConfigError, match=r"task x: minimum_effect: .* is not a number"):
            check("task", task(minimum_effect=wrong), "task x")
