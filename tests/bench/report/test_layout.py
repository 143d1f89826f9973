from __future__ import annotations

import io
import math
import re
from typing import Literal
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from bench.report import layout, lettering
from bench.report.axes import limits, ticks
from bench.report.figure import Axis, Band, Label, Line, Look, Panel, Plot, Strokes

LOOK = Look(colour="#D55E00", marker="o", line="-")
OTHER = Look(colour="#0072B2", marker="s", line=(0, (6, 1.5, 1.2, 1.5)))


def plot(panels: int = 1, name: str = "cmc", **changes: object) -> Plot:
    marks = (
        Band(x=(1.0, 10.0, 100.0), low=(1.0, 2.0, 3.0), high=(3.0, 4.0, 6.0), colour=LOOK.colour, alpha=0.2),
        Line(x=(1.0, 10.0, 100.0), y=(2.0, 3.0, 4.5), look=LOOK),
        Strokes(x=(10.0,), y=(2.0,), x_end=(10.0,), y_end=(4.0,), colour="#000000"),
        Label(x=1.0, y=2.0, text="here"),
    )
    panel = Panel(title="resnet10", x=Axis(name="share", log=True), y=Axis(name="miou (%)"), marks=marks)
    whole = Plot(
        name="p", title="parts", caption="n = 3 seeds. " * 9, panels=(panel,) * panels,
        legend=((name, LOOK), ("mae", OTHER)), share_y=True,
    )  # fmt: skip
    return Plot(**{**{f: getattr(whole, f) for f in Plot.__dataclass_fields__}, **changes})


def drawn(found: Plot, kind: Literal["png", "svg"]) -> bytes:
    return layout.draw(found)[kind]


def pixels(found: Plot) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(Image.open(io.BytesIO(drawn(found, "png"))).convert("RGB")).astype(int)


@pytest.mark.parametrize(("panels", "inches"), [(1, 3.4), (2, 7.0), (3, 7.0), (7, 7.0)])
def test_figures_have_the_width_of_a_column_or_a_page(panels: int, inches: float) -> None:
    found = pixels(plot(panels))
    assert found.shape[1] == pytest.approx(inches * 200, abs=1)
    edge = np.concatenate([found[:3].reshape(-1, 3), found[-3:].reshape(-1, 3), found[:, :2].reshape(-1, 3)])
    assert (edge == 255).all()  # nothing is cut off


def test_marks_are_drawn_in_their_colours_at_their_places() -> None:
    found = pixels(plot())
    orange = np.argwhere((abs(found - [0xD5, 0x5E, 0x00]) < 12).all(axis=2))
    assert len(orange) > 100
    columns = orange[orange[:, 0] < found.shape[0] * 0.6][:, 1]  # of the curve, not of the legend
    assert columns.max() - columns.min() > 0.7 * found.shape[1]
    blue = np.argwhere((abs(found - [0x00, 0x72, 0xB2]) < 12).all(axis=2))
    assert len(blue) and blue[:, 0].min() > found.shape[0] * 0.6  # in the legend alone


def test_files_are_reproducible_valid_and_without_dates() -> None:
    before = dict(matplotlib.rcParams)
    assert layout.draw(plot(3)) == layout.draw(plot(3))
    svg = drawn(plot(), "svg").decode()
    root = ElementTree.fromstring(svg)
    assert root.attrib["viewBox"].startswith("0 0 244.8 ")
    assert "<dc:date>" not in svg and not re.search(r"20\d\d-\d\d-\d\d", svg)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["$x_{$", "_hidden", "漢字\u202e", "x" * 200, "<b>&amp;", "a\nb"])
def test_any_name_can_be_drawn(name: str) -> None:
    found = plot(2, name, title=name, caption=name)
    ElementTree.fromstring(drawn(found, "svg"))
    assert (pixels(found)[:, -2:] == 255).all()  # nothing reaches the edge


def test_texts_that_do_not_fit_are_cut() -> None:
    assert lettering.fit("short", 100, 8) == "short"
    cut = lettering.fit("a name that is much too long", 60, 8)
    assert cut.endswith("…") and lettering.text_width(cut, 8) <= 60
    assert lettering.fit("wide", 0.1, 8) in ("", "…")


def test_what_the_font_lacks_is_a_question_mark() -> None:
    assert lettering.drawable("a漢b") == "a?b"


def test_labels_of_ticks_never_touch() -> None:
    places, labels = [10.0, 60.0, 130.0, 150.0], ["1 %", "10 %", "50 %", "100 %"]
    assert layout.apart(places, labels) == [(10.0, "1 %"), (60.0, "10 %"), (150.0, "100 %")]
    assert layout.apart([0.0, 20.0, 40.0], ["1", "2", "3"]) == [(0.0, "1"), (20.0, "2"), (40.0, "3")]
    assert layout.apart([], []) == []


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (0.1, 0.22, ["0.10", "0.12", "0.14", "0.16", "0.18", "0.20", "0.22"]),
        (-1.0, 1.1, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (10.8, 23.4, ["12.5", "15.0", "17.5", "20.0", "22.5"]),
    ],
)
def test_ticks_are_round_and_labelled_with_the_decimals_they_need(
    low: float, high: float, labels: list[str]
) -> None:
    assert [label for _, label in ticks(Axis(), (low, high), 6)] == labels


@pytest.mark.parametrize(("low", "high"), [(0.008, 0.09), (0.011, 0.012), (1e-3, 1e5), (3.0, 3.0001)])
def test_log_axes_have_at_least_two_ticks(low: float, high: float) -> None:
    found = ticks(Axis(log=True), (math.log10(low), math.log10(high)), 6)
    assert 2 <= len(found) <= 12
    for place, label in found:
        assert 10**place == pytest.approx(float(label), rel=1e-3)


def test_limits_leave_room_and_never_collapse() -> None:
    line = Line(x=(1.0, 3.0), y=(5.0, 5.0), look=LOOK)
    assert limits((line,), Axis(), 0) == pytest.approx((0.9, 3.1))
    low, high = limits((line,), Axis(), 1)
    assert low < 5 < high
    assert limits((), Axis(), 0) == (0, 1)
    assert limits((line,), Axis(log=True, limits=(1, 100)), 0) == (0, 2)
    holes = Line(x=(1.0, math.nan), y=(2.0, math.nan), look=LOOK)
    assert limits((holes, line), Axis(), 0) == pytest.approx((0.9, 3.1))
