"""All shipped adapters keep the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.adapter_kit import check_dataset, check_encoder, check_method, check_task, failures
from bench.grid.registry import BUILT_IN, load


@pytest.fixture(autouse=True)
def _data(data_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Render once what all adapters are checked on."""
    monkeypatch.setenv("BENCH_DATA", str(data_cache))


@pytest.mark.parametrize("name", sorted(path.stem for path in (BUILT_IN / "task").glob("*.yaml")))
def test_task(name: str) -> None:
    assert failures(check_task(name)) == []


def test_dataset() -> None:
    for name in ("people", "people_scenes", "hands"):  # the others are made of a user's files
        assert failures(check_dataset(name)) == []


SMALL = ("hrnet_w18_small", "pointnet2_small", "resnet10_w24", "semgcn", "tf_efficientnet_lite0", "vit_d96")
ENCODERS = [
    pytest.param(path.stem, marks=() if path.stem in SMALL else pytest.mark.slow)
    for path in sorted((BUILT_IN / "encoder").glob("*.yaml"))
]


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder(name: str) -> None:
    assert failures(check_encoder(name)) == []


@pytest.mark.parametrize("name", sorted(path.stem for path in (BUILT_IN / "method").glob("*.yaml")))
def test_method(name: str) -> None:
    if load(BUILT_IN / "method" / f"{name}.yaml", "method").get("needs_pretrained_tag"):
        pytest.skip("its weights are the user's")
    assert failures(check_method(name)) == []
