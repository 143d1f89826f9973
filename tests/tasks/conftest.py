"""What tests of tasks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import caches
from bench.metrics.surface import surrogate_surface


@pytest.fixture(scope="module")
def geodesic_cache(pytestconfig: pytest.Config) -> Iterator[None]:
    """Keep the table of distances between test runs, away from the user's own."""
    folder: Path = pytestconfig.cache.mkdir("bodybench")  # type: ignore[union-attr]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(caches.VARIABLE, str(folder))
        surrogate_surface.cache_clear()
        yield
    surrogate_surface.cache_clear()
