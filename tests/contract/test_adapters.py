"""All shipped adapters keep the contract. Those that take long run with `pytest -m slow`."""

from __future__ import annotations

import pytest

from bench.contract import check_method, check_task, failures


@pytest.mark.parametrize("name", ["densepose", "parsing_rgb", "parsing_depth"])
def test_task(name: str) -> None:
    assert failures(check_task(name)) == []


@pytest.mark.parametrize(
    "name", ["scratch", *(pytest.param(n, marks=pytest.mark.slow) for n in ("cmc", "hcmoco", "mae"))]
)
def test_method(name: str) -> None:
    assert failures(check_method(name)) == []
