from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.data.synthetic import Synthetic
from PIL import Image

from bench.data import show as showing
from bench.data.build import build
from bench.data.show import COLUMNS, show
from bench.synth.domains import GENERATOR_VERSION

Make = Callable[..., dict[str, Any]]


def test_a_fresh_machine_draws_what_a_built_set_holds(
    spec_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(("d_dense", "val", 40), size=32, version=GENERATOR_VERSION)
    drawn = []
    own = Synthetic.render

    def count(self: Synthetic, *where: Any, **how: Any) -> Any:
        drawn.append(where)
        return own(self, *where, **how)

    monkeypatch.setattr(showing.Synthetic, "render", count)
    (fresh,) = show([spec], tmp_path / "data", tmp_path / "a")
    assert len(drawn) == len(set(drawn)) <= COLUMNS
    assert not (tmp_path / "data").exists()  # nothing but the sheet is kept
    build([spec], tmp_path / "data", Synthetic())
    drawn.clear()
    (built,) = show([spec], tmp_path / "data", tmp_path / "b")
    assert not drawn
    assert np.array_equal(*(np.asarray(Image.open(path)) for path in (fresh, built)))
