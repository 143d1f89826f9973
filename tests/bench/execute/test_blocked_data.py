"""Data that cannot be rendered stops the cells that read it, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.build import place_of
from bench.data.opening import typed
from bench.datasets.people import Renderer
from bench.execute.data_jobs import specs_of_step
from bench.execute.local import execute
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.records.store import Store


def test_only_the_cells_that_read_it_fail(
    tmp_path: Path, data_cache: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Words(methods="scratch", tasks="parsing_rgb,densepose", overrides=small)
    request = resolve(words)
    plan = expand(request)
    folders = {
        Path(place_of(spec, part, Renderer(seed=0)).folder).parent
        for step in plan.steps
        for spec in map(typed, specs_of_step(step))
        for part in spec.parts
    }
    assert {folder.name for folder in folders} == {"d_dense", "d_parse"}
    root = tmp_path / "data" / next(iter(folders)).parent
    root.mkdir(parents=True)
    (root / "d_parse").write_text("in the way")
    dense = data_cache / root.name / "d_dense"
    dense.mkdir(parents=True, exist_ok=True)
    (root / "d_dense").symlink_to(dense)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    store = Store(tmp_path / "store")
    outcome = execute(request, plan, store, jobs=1)
    for cell in plan.cells:
        assert cell.step is not None
        assert store.done(cell.step) == (cell.task == "densepose")
        if cell.task != "densepose":
            reason = outcome.failed[cell.step.key]
            assert reason.startswith(f"cannot write {root / 'd_parse'}")
            assert "a file is in the way; choose another place (BENCH_DATA=DIR)" in reason
