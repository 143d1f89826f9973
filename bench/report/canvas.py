"""A page to draw on, which gives a PNG and an SVG; the same bytes in every run.

Matplotlib's artists and layout would take ten times as long, which counts in reports of a hundred figures.
Lengths are in points (1/72 inch), from the lower left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.report.figure import Dash
from bench.report.lettering import text_width
from bench.report.raster import Raster
from bench.report.vector import Vector

Align = Literal["left", "middle", "right"]
Box = tuple[float, float, float, float]  # left, bottom, right, top
Places = Sequence[float]


class Canvas:
    """One page; what is drawn later lies on top."""

    def __init__(self, width: float, height: float) -> None:
        self.sheets = Raster(width, height), Vector(width, height)

    def area(self, x: Places, y: Places, colour: str, alpha: float = 1.0, clip: Box | None = None) -> None:
        """Fill a polygon."""
        points = np.column_stack([x, y])
        for sheet in self.sheets:
            sheet.area(points, colour, alpha, clip)

    def line(
        self, x: Places, y: Places, colour: str, width: float, dash: Dash = "-", clip: Box | None = None
    ) -> None:
        """Join points; NaN interrupts the line."""
        pattern = {"-": (), "--": (3.7, 1.6)}[dash] if isinstance(dash, str) else dash[1]
        dashes = tuple(part * width for part in pattern)
        parts = _runs(np.column_stack([x, y]))
        for sheet in self.sheets:
            sheet.lines(parts, colour, width, dashes, clip)

    def strokes(self, ends: Sequence[Box], colour: str, width: float, clip: Box | None = None) -> None:
        """Draw separate strokes, each from (x, y) to (x, y)."""
        if len(ends):
            points = np.array(ends, dtype=np.float64).reshape(-1, 2, 2)
            for sheet in self.sheets:
                sheet.lines(list(points), colour, width, (), clip)

    def markers(self, x: Places, y: Places, marker: str, size: float, colour: str) -> None:
        """Draw markers with a thin white edge; none at NaN."""
        points = np.column_stack([x, y])
        for sheet in self.sheets:
            sheet.markers(points[~np.isnan(points).any(axis=1)], marker, size, colour)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        align: Align = "left",
        *,
        colour: str = "#000000",
        bold: bool = False,
        upright: bool = False,
    ) -> None:
        """Write one line from its baseline at (x, y); upright text reads from below."""
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[align] * text_width(words, size, bold)
        x, y = (x, y - shift) if upright else (x - shift, y)
        for sheet in self.sheets:
            sheet.text(x, y, words, size, colour, bold, upright)

    def files(self) -> dict[Literal["png", "svg"], bytes]:
        """Return the page by kind of file."""
        raster, vector = self.sheets
        return {"png": raster.png(), "svg": vector.svg()}


def _runs(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Split points, (N, 2), where there is NaN."""
    gaps = np.isnan(points).any(axis=1)
    if not gaps.any():
        return [points]
    ends = np.flatnonzero(gaps)
    parts = [part[~gap] for part, gap in zip(np.split(points, ends), np.split(gaps, ends), strict=True)]
    return [part for part in parts if len(part)]
