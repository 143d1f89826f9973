from __future__ import annotations

import math
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.report.canvas import Canvas
from bench.report.lettering import EM, text_width

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
BOX = (10.0, 10.0, 90.0, 40.0)


def tree(canvas: Canvas) -> ElementTree.Element:
    return ElementTree.fromstring(canvas.files()["svg"])


def drawn(canvas: Canvas, tag: str) -> list[ElementTree.Element]:
    """Return the elements of a kind that are drawn, in their order."""
    root = tree(canvas)
    defined = set(root.find(f"{SVG}defs") or ()) - {None}
    return [element for element in root.iter(SVG + tag) if element not in defined]


def test_whatever_is_used_is_defined_once() -> None:
    canvas = Canvas(100, 50)
    for _ in range(2):
        canvas.text(5, 5, "all <letters> & signs", 8, bold=True)
        canvas.text(5, 25, "all of them", 8)
        canvas.markers([20, 30], [20, 30], "D", 4.0, "#D55E00")
        canvas.line([0, 100], [0, 50], "#0072B2", 1.3, clip=BOX)
    root = tree(canvas)
    names = Counter(element.attrib["id"] for element in root.iter() if "id" in element.attrib)
    assert set(names.values()) == {1}
    used = {element.attrib[LINK][1:] for element in root.iter(f"{SVG}use")}
    used |= {e.attrib["clip-path"][5:-1] for e in root.iter() if "clip-path" in e.attrib}
    assert used == set(names)


def test_y_counts_from_below_and_nan_interrupts_lines() -> None:
    canvas = Canvas(100, 50)
    canvas.line([0, 10, math.nan, 30, 40.126], [0, 20, 5, math.nan, 50], "#0072B2", 1.0)
    canvas.line([0, 10, 20, 30], [1, 1, math.nan, 1], "#0072B2", 2.0, (0, (6, 1.5)))
    canvas.line([math.nan], [math.nan], "#0072B2", 1.0)
    first, second = drawn(canvas, "path")
    assert first.attrib["d"] == "M0.00 50.00L10.00 30.00M40.13 0.00"
    assert second.attrib["d"] == "M0.00 49.00L10.00 49.00M30.00 49.00"
    assert second.attrib["stroke-dasharray"] == "12 3" and second.attrib["stroke-width"] == "2"


def test_no_marker_at_nan() -> None:
    canvas = Canvas(100, 50)
    canvas.markers([20, math.nan, 30], [20, 25, math.nan], "o", 4.0, "#D55E00")
    (use,) = drawn(canvas, "use")
    assert (use.attrib["x"], use.attrib["y"]) == ("20.00", "30.00")


@pytest.mark.parametrize(("align", "start"), [("left", 50.0), ("middle", 43.5), ("right", 37.0)])
def test_texts_are_aligned_by_their_width(align: str, start: float) -> None:
    canvas = Canvas(100, 50)
    size = 13.0 * 8 / text_width("labels", 8)  # so that it is 13 points wide
    canvas.text(50, 20, "labels", size, align)  # type: ignore[arg-type]
    canvas.text(50, 20, "labels", size, align, upright=True)  # type: ignore[arg-type]
    flat, upright = drawn(canvas, "g")
    assert flat.attrib["transform"].startswith(f"translate({start:.2f} 30.00) scale(")
    assert upright.attrib["transform"].startswith(f"translate(50.00 {80 - start:.2f}) rotate(-90) scale(")
    places = [float(use.attrib["x"]) for use in flat]
    assert len(places) == 6 and places[0] == 0 and (np.diff(places) > 0).all()
    scale = float(flat.attrib["transform"].partition("scale(")[2].rstrip(")"))
    assert 0.6 * 13 < places[-1] * scale < 13
    assert scale == pytest.approx(size / EM / 64, rel=1e-2)
