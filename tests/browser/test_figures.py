"""The two files of a plot, drawn by two programs: pixels by Matplotlib, SVG by a real browser."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.browser.conftest import BROWSER, QUIET

pytestmark = pytest.mark.browser

DPI = 200


def pixels(image: Image.Image) -> NDArray[np.float64]:
    """Return an image without its finest details, which each program smooths in its own way."""
    return np.asarray(image.convert("RGB").filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)


def test_both_files_of_a_plot_look_alike(leaderboard: Path, playwright: Any) -> None:
    paths = sorted((leaderboard.parent / "plots").glob("*.svg"))
    kinds = {path.name.partition("_")[0]: path for path in paths}
    assert set(kinds) == {"convergence", "cost", "differences", "efficiency", "ranks"}
    browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
    page = browser.new_page(device_scale_factor=DPI / 96, viewport={"width": 700, "height": 1400})
    for path in kinds.values():
        page.goto(path.as_uri())
        shot = Image.open(io.BytesIO(page.screenshot()))
        drawn = Image.open(path.with_suffix(".png"))
        assert np.allclose(drawn.info["dpi"], DPI, atol=0.01) and drawn.mode == "RGB"
        seen = shot.crop((0, 0, *drawn.size))
        difference = abs(pixels(seen) - pixels(drawn)).max(axis=2)
        assert difference.mean() < 3 and np.quantile(difference, 0.999) < 40, path.name
        bare = abs(255 - pixels(drawn)).max(axis=2)
        assert bare.mean() > 4 * difference.mean() and np.quantile(bare, 0.999) > 120  # something is there
        outside = np.asarray(shot.convert("L"))[drawn.height + 2 :]
        assert (outside == 255).all()
    browser.close()
