"""A page as pixels, drawn by Matplotlib's Agg renderer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray

from bench.report.lettering import EM, outline

DPI = 200
_SCALE = DPI / 72  # pixels per point
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IDENTITY = Affine2D()

_renderer: Any = RendererAgg  # untyped
Points = NDArray[np.float64]  # (N, 2) in points from the lower left corner
Clip = tuple[float, float, float, float] | None


class Raster:
    """A sheet of a `Canvas`."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (round(width * _SCALE), round(height * _SCALE))
        self.renderer = _renderer(*self.size, DPI)
        np.asarray(self.renderer.buffer_rgba())[...] = 255  # white
        self._pens: dict[tuple[Any, ...], Any] = {}

    def area(self, points: Points, colour: str, alpha: float, clip: Clip) -> None:
        """Fill a polygon."""
        path = Path(np.concatenate([points, points[:1]]) * _SCALE, closed=True)
        self.renderer.draw_path(self._pen(colour, alpha=alpha, clip=clip), path, _IDENTITY, _rgb(colour))

    def lines(
        self, parts: Sequence[Points], colour: str, width: float, dashes: tuple[float, ...], clip: Clip
    ) -> None:
        """Draw lines, each of joined points; dashes: lengths of strokes and gaps in points."""
        if not parts:
            return
        codes = [code for part in parts for code in (Path.MOVETO, *[Path.LINETO] * (len(part) - 1))]
        pen = self._pen(colour, width, dashes=dashes, clip=clip)
        self.renderer.draw_path(pen, Path(np.concatenate(parts) * _SCALE, codes), _IDENTITY, None)

    def markers(self, points: Points, marker: str, size: float, colour: str) -> None:
        """Draw markers with a thin white edge."""
        shape, put = _marker(marker, size)
        pen = self._pen("white", 0.4, join="miter")
        self.renderer.draw_markers(pen, shape, put, Path(points * _SCALE), _IDENTITY, _rgb(colour))

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, bold: bool, upright: bool
    ) -> None:
        """Write one line from its baseline at (x, y)."""
        put = Affine2D().scale(size * _SCALE / EM).rotate_deg(90 if upright else 0)
        put.translate(x * _SCALE, y * _SCALE)
        self.renderer.draw_path(self._pen(colour), outline(words, bold), put, _rgb(colour))

    def png(self) -> bytes:
        """Return the file; packed without the filters that take Pillow three times as long here."""
        wide, high = self.size
        pixels = np.asarray(self.renderer.buffer_rgba())
        rows = np.zeros((high, 1 + 3 * wide), dtype=np.uint8)  # each begins with the number of its filter
        for k in range(3):  # twice as fast as all at once
            rows[:, 1 + k :: 3] = pixels[:, :, k]
        dots = round(DPI / 0.0254)  # per metre
        parts = {
            b"IHDR": struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0),  # 8 bits, RGB
            b"pHYs": struct.pack(">IIB", dots, dots, 1),
            b"IDAT": zlib.compress(rows.data, 3),
            b"IEND": b"",
        }
        return _SIGNATURE + b"".join(_part(name, data) for name, data in parts.items())

    def _pen(
        self,
        colour: str,
        width: float = 0.0,
        *,
        alpha: float = 1.0,
        dashes: tuple[float, ...] = (),
        join: str = "round",
        clip: Clip = None,
    ) -> Any:
        """Return how to draw; the same for the same wishes, since making one takes as long as a line."""
        wishes = colour, width, alpha, dashes, join, clip
        if wishes not in self._pens:
            pen = self._pens[wishes] = self.renderer.new_gc()
            pen.set_alpha(alpha)
            pen.set_foreground(colour)
            pen.set_linewidth(width)  # in points, unlike all other lengths of a renderer
            pen.set_joinstyle(join)
            if dashes:
                pen.set_dashes(0, dashes)
            if clip:
                pen.set_clip_rectangle(Bbox.from_extents(*(side * _SCALE for side in clip)))
        return self._pens[wishes]


def _part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@lru_cache(maxsize=256)
def _marker(marker: str, size: float) -> tuple[Path, Affine2D]:
    """Return the outline of a marker and how to scale it."""
    style = MarkerStyle(marker)
    return style.get_path(), Affine2D(style.get_transform().get_matrix()).scale(size * _SCALE)


@lru_cache(maxsize=256)
def _rgb(colour: str) -> tuple[float, float, float]:
    return to_rgb(colour)
