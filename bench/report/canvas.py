"""The frame of a figure, sized for a paper column: title, panels, legend, caption; reproducible files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D

from bench.report import text

COLUMN = 3.4  # inches, one column of a two-column paper
PAGE = 7.0  # inches, both columns
DPI = 200
_PANEL = 2.0  # inches, height of one panel
_SETTINGS: Any = {  # rcParams
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "svg.hashsalt": "bodybench",
    "svg.fonttype": "path",
    "text.usetex": False,
}


@contextmanager
def settings() -> Iterator[None]:
    """Use this module's fonts and sizes; to be active while figures are made and saved."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def canvas(
    panels: int, title: str, caption: str, handles: Mapping[str, Line2D], *, share_y: bool
) -> tuple[Figure, list[Axes]]:
    """Make a figure with title, `panels` axes, legend and caption, from top to bottom.

    Args:
        panels: one fits a column, more take the width of a page.
        title: above all panels.
        caption: below all panels, wrapped.
        handles: legend entries by label.
        share_y: whether all panels have one range of values.
    """
    columns = {1: 1, 2: 2, 4: 2}.get(panels, 3)
    rows = -(-panels // columns)
    width = COLUMN if columns == 1 else PAGE
    wrapped = textwrap.fill(drawable(caption), int(width * 23))
    entry = 0.55 + 0.065 * max(len(label) for label in handles)  # inches
    per_row = min(max(1, int(width / entry)), len(handles))
    lines = -(-len(handles) // per_row)
    per_row = -(-len(handles) // lines)  # lines of nearly equal length
    legend = 0.08 + 0.17 * lines
    foot = 0.06 + 0.115 * (wrapped.count("\n") + 1)
    height = rows * _PANEL + legend + foot + 0.22
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, (legend + foot) / height, 1, 1 - (legend + foot) / height), w_pad=0.04, h_pad=0.04)
    figure.suptitle(drawable(title), fontsize=8.5, fontweight="bold")
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for spare in axes[panels:]:
        spare.set_axis_off()
    figure.legend(
        list(handles.values()), list(handles), loc="lower center", bbox_to_anchor=(0.5, foot / height),
        ncols=per_row, frameon=False, fontsize=7, handlelength=2.8, columnspacing=1.2, borderaxespad=0.1,
        borderpad=0.2,
    )  # fmt: skip
    figure.text(0.5, 0.03 / height, wrapped, ha="center", va="bottom", fontsize=6, color="#444444")
    return figure, axes[:panels]


def label(axes: Sequence[Axes], x: str, y: str) -> None:
    """Name the x axis of panels without one below, and the y axis of the first column."""
    spots = [spec for axis in axes if (spec := axis.get_subplotspec())]
    places = {(spec.rowspan.start, spec.colspan.start) for spec in spots}
    for axis, spec in zip(axes, spots, strict=True):
        if (spec.rowspan.start + 1, spec.colspan.start) not in places:
            axis.set_xlabel(drawable(x))
        if spec.is_first_col():
            axis.set_ylabel(drawable(y))


def save(figure: Figure, file: BinaryIO, kind: str) -> None:
    """Write a figure as `png` (200 dpi) or `svg`, without dates or version texts.

    The canvases are called directly: `Figure.savefig` draws all twice, for a layout that is made once here.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    surface: Any = FigureCanvasAgg(figure) if kind == "png" else FigureCanvasSVG(figure)
    if kind == "png":
        packing = {"compress_level": 3}  # twice as fast as the default, hardly larger
        surface.print_png(file, metadata={"Software": None}, pil_kwargs=packing)
    else:
        surface.print_svg(file, metadata={"Date": None, "Creator": None})
        figure.dpi = DPI


def drawable(name: str) -> str:
    """Return a text that the font can show and that Matplotlib takes literally."""
    shown = "".join(c if _known(c) else "?" for c in text.plain(name)).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # a leading underscore hides legend entries


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    font: Any = get_font(findfont("DejaVu Sans"))
    return bool(font.get_char_index(ord(character)))
