"""Lays out figures on a page: title, panels with axes, legend, caption, from top to bottom."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from bench.report.axes import limits, scaled, ticks
from bench.report.canvas import Box, Canvas
from bench.report.figure import Band, Label, Line, Look, Mark, Numbers, Panel, Plot, Strokes
from bench.report.lettering import drawable, fit, text_width

COLUMN = 3.4 * 72  # one column of a two-column paper
PAGE = 7.0 * 72  # both columns
_GRID, _AXIS, _CAPTION = "#DDDDDD", "#000000", "#444444"
_TICK, _NAME, _SMALL = 7.0, 8.0, 6.0  # sizes of text
_PAD = 4.0  # at the edges of the page and between panels
_HEAD, _FOOT, _SIDE = 14.0, 12.0, 11.0  # room for a title, for tick labels below, for the name of an axis
_PRINT, _ENTRY = 8.3, 12.5  # height of a line of the caption, and of the legend
_HANDLE = 20.0  # length of a legend's line
_LINE = 1.3  # width of curves


def draw(plot: Plot) -> dict[Literal["png", "svg"], bytes]:
    """Return a figure by kind of file."""
    page = _Page.of(plot)
    canvas = Canvas(page.width, page.height)
    title = fit(plot.title, page.width - 2 * _PAD, 8.5, bold=True)
    canvas.text(page.width / 2, page.height - _PAD - 8, title, 8.5, "middle", bold=True)
    for i, panel in enumerate(page.panels):
        _draw_panel(canvas, panel, page.box(i), page)
    _draw_legend(canvas, plot.legend, page)
    for i, line in enumerate(reversed(page.caption)):
        canvas.text(page.width / 2, _PAD + _PRINT * i, line, _SMALL, "middle", colour=_CAPTION)
    return canvas.files()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A panel with what its axes came to."""

    panel: Panel
    x: tuple[float, float]  # limits, logarithms where the axis is logarithmic
    y: tuple[float, float]
    x_ticks: list[tuple[float, str]]  # place, in the same units, and label
    y_ticks: list[tuple[float, str]]
    y_labels: bool  # whether the y ticks are labelled
    x_name: bool  # whether the x axis is named


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    width: float
    height: float
    columns: int
    panels: list[_Place]
    left: list[float]  # room for tick labels, by column
    name: float  # room for the name of the y axis
    inner: tuple[float, float]  # width and height of the area inside the axes
    rows: list[float]  # height of each row of panels with titles and ticks
    legend: list[int]  # entries per line
    caption: list[str]

    @classmethod
    def of(cls, plot: Plot) -> _Page:
        """Measure a figure."""
        count = len(plot.panels)
        columns = {1: 1, 2: 2, 4: 2}.get(count, 3)
        width = PAGE if plot.wide or columns > 1 else COLUMN
        panels = _places(plot, columns)
        left = [max(_room(p) for p in panels[c::columns]) for c in range(min(columns, count))]
        left += [0.0] * (columns - len(left))
        name = _SIDE if any(p.panel.y.name for p in panels) else 0.0
        inside = (width - 2 * _PAD - name - sum(left) - (columns - 1) * 2 * _PAD) / columns - 3
        high = plot.height * 72 - 36
        rows = [
            high + _HEAD + _FOOT * any(p.panel.x.shown for p in panels[r : r + columns])
            + _SIDE * any(p.x_name for p in panels[r : r + columns]) + 2
            for r in range(0, count, columns)
        ]  # fmt: skip
        caption = _wrapped(drawable(plot.caption), width - 2 * _PAD)
        legend = _lines([_entry(name) for name, _ in plot.legend], width - 2 * _PAD)
        foot = 2 * _PAD + _PRINT * len(caption) + _ENTRY * len(legend)
        height = foot + sum(rows) + _HEAD + _PAD
        return cls(
            width=width, height=height, columns=columns, panels=panels, left=left, name=name,
            inner=(inside, high), rows=rows, legend=legend, caption=caption,
        )  # fmt: skip

    def box(self, i: int) -> Box:
        """Return the area inside the axes of a panel."""
        row, column = divmod(i, self.columns)
        left = _PAD + self.name + sum(self.left[: column + 1]) + column * (self.inner[0] + 2 * _PAD)
        top = self.height - _PAD - _HEAD - sum(self.rows[:row]) - _HEAD
        return left, top - self.inner[1], left + self.inner[0], top


def _wrapped(words: str, room: float) -> list[str]:
    """Break a text into lines of small print that fit into a width."""
    length = int(room * len(words) / max(text_width(words, _SMALL), 1))
    lines = textwrap.wrap(words, max(length, 1))
    while length > 1 and any(text_width(line, _SMALL) > room for line in lines):
        length -= 1
        lines = textwrap.wrap(words, length)
    return lines


def _places(plot: Plot, columns: int) -> list[_Place]:
    ys = [limits(p.marks, p.y, 1) for p in plot.panels]
    if plot.share_y:
        ys = [(min(y[0] for y in ys), max(y[1] for y in ys))] * len(ys)
    found = []
    for i, (panel, y) in enumerate(zip(plot.panels, ys, strict=True)):
        x = limits(panel.marks, panel.x, 0)
        below = i + columns < len(plot.panels)
        found.append(
            _Place(
                panel=panel,
                x=x,
                y=y,
                x_ticks=ticks(panel.x, x, 6),
                y_ticks=ticks(panel.y, y, 6),
                y_labels=panel.y.shown and not (plot.share_y and i % columns),
                x_name=bool(panel.x.name) and not below,
            )
        )
    return found


def _room(place: _Place) -> float:
    labels = [text_width(label, _TICK) for _, label in place.y_ticks] if place.y_labels else []
    return max(labels, default=0.0) + (7 if labels else 2)


def _draw_panel(canvas: Canvas, place: _Place, box: Box, page: _Page) -> None:
    left, bottom, right, top = box
    panel = place.panel
    across = _Across(panel=panel, place=place, box=box)
    middle = (left + right) / 2
    canvas.text(middle, top + 4, fit(panel.title, right - left + 2 * _PAD, _NAME), _NAME, "middle")
    xs = [across.x(v) for v, _ in place.x_ticks] if panel.x.shown else []
    ys = [across.y(v) for v, _ in place.y_ticks] if panel.y.shown else []
    canvas.strokes([*((x, bottom, x, top) for x in xs), *((left, y, right, y) for y in ys)], _GRID, 0.4)
    for mark in panel.marks:
        _draw_mark(canvas, mark, across)
    spines = [(left, bottom, right, bottom)] * panel.x.shown + [(left, bottom, left, top)] * panel.y.shown
    ticks = [*((x, bottom, x, bottom - 2.5) for x in xs), *((left, y, left - 2.5, y) for y in ys)]
    canvas.strokes([*spines, *ticks], _AXIS, 0.6)
    for x, label in apart(xs, [label for _, label in place.x_ticks]):
        canvas.text(x, bottom - 10, label, _TICK, "middle")
    if place.y_labels:
        for y, (_, label) in zip(ys, place.y_ticks, strict=False):
            canvas.text(left - 4.5, y - 2.5, label, _TICK, "right")
    if place.x_name:
        canvas.text(middle, bottom - 20.5, fit(panel.x.name, right - left + 40, _NAME), _NAME, "middle")
    if panel.y.name and left < _PAD + page.name + page.left[0] + 1:
        room = top - bottom + 30
        canvas.text(
            _PAD + 7, (top + bottom) / 2, fit(panel.y.name, room, _NAME), _NAME, "middle", upright=True
        )


def apart(places: Sequence[float], labels: Sequence[str]) -> list[tuple[float, str]]:
    """Return the labels of ticks that have room, from the right; places ascend, labels are centred there."""
    kept: list[tuple[float, str]] = []
    end = inf
    for place, label in reversed(list(zip(places, labels, strict=False))):
        half = text_width(label, _TICK) / 2
        if place + half + 2 <= end:
            kept.append((place, label))
            end = place - half
    return kept[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Across:
    """From data coordinates to the page."""

    panel: Panel
    place: _Place
    box: Box

    def x(self, value: float) -> float:
        """Return the place of a value that is scaled already."""
        low, high = self.place.x
        return self.box[0] + (value - low) / (high - low) * (self.box[2] - self.box[0])

    def y(self, value: float) -> float:
        """Return the place of a value that is scaled already."""
        low, high = self.place.y
        return self.box[1] + (value - low) / (high - low) * (self.box[3] - self.box[1])

    def xs(self, values: Numbers) -> list[float]:
        return [self.x(scaled(self.panel.x, v)) for v in values]

    def ys(self, values: Numbers) -> list[float]:
        return [self.y(scaled(self.panel.y, v)) for v in values]


def _draw_mark(canvas: Canvas, mark: Mark, across: _Across) -> None:
    match mark:
        case Band():
            xs = across.xs(mark.x)
            ys = across.ys(mark.low) + across.ys(mark.high)[::-1]
            canvas.area([*xs, *xs[::-1]], ys, mark.colour, mark.alpha, across.box)
        case Line():
            xs, ys = across.xs(mark.x), across.ys(mark.y)
            if mark.joined:
                canvas.line(xs, ys, mark.look.colour, _LINE, mark.look.line, across.box)
            at = slice(mark.first, None, mark.every)
            canvas.markers(xs[at], ys[at], mark.look.marker, mark.look.size, mark.look.colour)
        case Strokes():
            ends = zip(
                across.xs(mark.x),
                across.ys(mark.y),
                across.xs(mark.x_end),
                across.ys(mark.y_end),
                strict=True,
            )
            for end in ends if mark.dashed else ():
                canvas.line(end[::2], end[1::2], mark.colour, mark.width, "--", across.box)
            if not mark.dashed:
                canvas.strokes(list(ends), mark.colour, mark.width)
        case Label():
            shown = drawable(mark.text)
            (x,), (y,) = across.xs((mark.x,)), across.ys((mark.y,))
            canvas.text(x, y, shown, mark.size, mark.side, colour=mark.colour)


def _entry(name: str) -> float:
    return _HANDLE + 4 + min(text_width(drawable(name), _TICK), COLUMN - 2 * _PAD - _HANDLE - 4) + 10


def _lines(widths: list[float], room: float) -> list[int]:
    """Return the numbers of legend entries per line: each line takes what fits."""
    counts: list[int] = []
    used = room + 1
    for width in widths:
        if used + width - 10 > room:
            counts.append(0)
            used = 0.0
        counts[-1] += 1
        used += width
    return counts


def _draw_legend(canvas: Canvas, legend: tuple[tuple[str, Look], ...], page: _Page) -> None:
    start = 0
    for i, count in enumerate(page.legend):
        entries = legend[start : start + count]
        x = (page.width - sum(_entry(name) for name, _ in entries) + 10) / 2
        y = 2 * _PAD + _PRINT * len(page.caption) + _ENTRY * (len(page.legend) - 1 - i) + 1
        for name, look in entries:
            shown = fit(name, COLUMN - 2 * _PAD - _HANDLE - 4, _TICK)
            canvas.line([x, x + _HANDLE], [y + 2.5] * 2, look.colour, _LINE, look.line)
            canvas.markers([x + _HANDLE / 2], [y + 2.5], look.marker, look.size, look.colour)
            canvas.text(x + _HANDLE + 4, y, shown, _TICK)
            x += _entry(name)
        start += count
