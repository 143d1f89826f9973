from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # toy_renderer, also in the worker processes


@pytest.fixture
def spec_of() -> Callable[..., dict[str, Any]]:
    def make(*parts: tuple[str, str, int], size: int = 16, seed: int = 0, version: int = 1) -> dict[str, Any]:
        return {
            "adapter": "bench.data.people:People",
            "version": version,
            "seed": seed,
            "size": size,
            "parts": [{"domain": d, "split": s, "samples": n} for d, s, n in parts],
        }

    return make
