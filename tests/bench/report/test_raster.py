from __future__ import annotations

import io
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.report.canvas import Canvas
from bench.report.raster import DPI


def opened(canvas: Canvas) -> Image.Image:
    raw = canvas.files()["png"]
    Image.open(io.BytesIO(raw)).verify()  # checksums of all parts
    return Image.open(io.BytesIO(raw))


def pixels(canvas: Canvas) -> NDArray[np.int64]:
    return np.asarray(opened(canvas)).astype(np.int64)


def test_the_file_is_an_ordinary_png_of_the_size_it_tells() -> None:
    image = opened(Canvas(72, 36))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (DPI, DPI // 2))
    assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.01)
    assert (np.asarray(image) == 255).all()


def test_areas_lie_where_they_should_and_show_what_is_below() -> None:
    canvas = Canvas(72, 72)
    canvas.area([0, 36, 36, 0], [0, 0, 36, 36], "#0000FF")  # lower left quarter
    canvas.area([18, 72, 72, 18], [18, 18, 72, 72], "#FF0000", alpha=0.5, clip=(0, 0, 54, 72))
    found = pixels(canvas)
    assert found[150, 25].tolist() == [0, 0, 255] and found[25, 25].tolist() == [255, 255, 255]
    assert found[75, 125] == pytest.approx([255, 127, 127], abs=1)
    assert found[125, 75] == pytest.approx([127, 0, 127], abs=1)
    assert found[75, 175].tolist() == [255, 255, 255]  # clipped


def test_pens_are_not_mixed_up() -> None:
    canvas = Canvas(72, 72)
    for y, (colour, width, dash) in enumerate(
        [("#FF0000", 4.0, "-"), ("#FF0000", 8.0, "-"), ("#00FF00", 4.0, "-"), ("#FF0000", 4.0, "--")]
    ):
        canvas.line([0, 72], [9 + 18 * y] * 2, colour, width, dash)
    rows = pixels(canvas)[::-1]
    found = [rows[50 * i : 50 * (i + 1)] for i in range(4)]
    coloured = [(part.min(axis=2) < 128).mean() * 50 * 72 / DPI for part in found]  # mean width in points
    assert coloured[:3] == pytest.approx([4, 8, 4], rel=0.05)
    assert coloured[3] == pytest.approx(4 * 3.7 / 5.3, rel=0.1)
    assert (found[2][25, 100] == [0, 255, 0]).all() and (found[1][25, 100] == [255, 0, 0]).all()


def test_nan_leaves_a_gap() -> None:
    canvas = Canvas(72, 72)
    canvas.line([0, 24, math.nan, 48, 72], [36] * 5, "#000000", 4.0)
    canvas.markers([36, math.nan], [36, 36], "s", 4.0, "#0000FF")
    middle = pixels(canvas)[DPI // 2]
    assert (middle[[20, 180]] == 0).all() and (middle[[75, 125]] == 255).all()
    assert middle[100].tolist() == [0, 0, 255]
