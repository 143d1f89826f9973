"""A figure as plain data: panels of marks in data coordinates, a legend, a caption. `canvas` draws it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Numbers = tuple[float, ...]
Dash = str | tuple[int, tuple[float, ...]]  # "-", "--", or offset and lengths in line widths
INK = "#222222"
PALE = "#888888"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a method is drawn."""

    colour: str
    marker: str
    line: Dash
    size: float = 4.0  # of the marker, points


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points joined by straight lines, with markers; NaN interrupts it."""

    x: Numbers
    y: Numbers
    look: Look
    first: int = 0  # marker at every `every`-th point from here
    every: int = 1
    joined: bool = True  # False: markers alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The area between two curves."""

    x: Numbers
    low: Numbers
    high: Numbers
    colour: str
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Strokes:
    """Separate straight strokes, from point to point."""

    x: Numbers
    y: Numbers
    x_end: Numbers
    y_end: Numbers
    colour: str
    width: float = 0.9  # points
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A word at a place."""

    x: float
    y: float
    text: str
    side: Literal["left", "right", "middle"] = "left"  # of the text that lies at x
    size: float = 7.0  # points
    colour: str = INK


Mark = Line | Band | Strokes | Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis; without ticks they are chosen, without limits they follow the marks."""

    name: str = ""
    log: bool = False
    ticks: Numbers | None = None
    labels: tuple[str, ...] | None = None  # of the ticks
    limits: tuple[float, float] | None = None
    shown: bool = True  # ticks, labels, name and spine


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A finished figure with what has to be said about it."""

    name: str  # of the files, without suffix
    title: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, Look], ...]
    share_y: bool  # whether all panels have one range of values
    height: float = 2.0  # of a panel with its ticks and title, inches
    wide: bool = False  # take the width of a page for a single panel, too


def numbers(values: Iterable[float]) -> Numbers:
    """Return plain floats."""
    return tuple(map(float, values))
