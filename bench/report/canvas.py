"""A page to draw on, written as PNG or SVG; the same bytes in every run.

Everything goes straight to Matplotlib's renderers: its artists and layout would take ten times as long, which
counts in reports of a hundred figures. Lengths are in points (1/72 inch), from the lower left corner.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.textpath import TextToPath, text_to_path
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

from bench.report import text
from bench.report.figure import Dash

DPI = 200
_FONT = "DejaVu Sans"

_agg: Any = RendererAgg  # untyped
_svg: Any = RendererSVG

Align = Literal["left", "middle", "right"]
Box = tuple[float, float, float, float]  # left, bottom, right, top
Places = Sequence[float]


class _Remembering(TextToPath):
    """Lays out each text once in a process: most texts of an SVG are ticks and names that others have too."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str], Any] = {}

    def get_glyphs_with_font(
        self, font: Any, s: str, glyph_map: Any = None, return_new_glyphs_only: bool = False, **more: Any
    ) -> Any:
        """Return glyphs with places, the outlines of those that the map lacks, and rectangles."""
        if (font.fname, s) not in self.known:
            self.known[font.fname, s] = super().get_glyphs_with_font(font, s, **more)
        places, shapes, rects = self.known[font.fname, s]
        return places, {name: shape for name, shape in shapes.items() if name not in glyph_map}, rects


_remembering = _Remembering()


@contextmanager
def settings() -> Iterator[None]:
    """Use this module's Matplotlib settings; to be active as long as a canvas is used."""
    with matplotlib.rc_context({"svg.hashsalt": "bodybench", "svg.fonttype": "path"}):
        yield


class Canvas:
    """One page; what is drawn later lies on top."""

    def __init__(self, width: float, height: float, kind: Literal["png", "svg"]) -> None:
        self.kind = kind
        self.scale = DPI / 72 if kind == "png" else 1.0  # pixels per point
        self.size = (round(width * self.scale), round(height * self.scale))
        self.file = io.StringIO()
        if kind == "png":
            self.renderer: Any = _agg(*self.size, DPI)
        else:
            facts = {"Date": None, "Creator": None}
            self.renderer = _svg(*self.size, self.file, image_dpi=72, metadata=facts)
            self.renderer._text2path = _remembering
        right, top = (length / self.scale for length in self.size)
        self.area([0, right, right, 0], [0, 0, top, top], "white")

    def area(self, x: Places, y: Places, colour: str, alpha: float = 1.0, clip: Box | None = None) -> None:
        """Fill a polygon."""
        path = self._path(x, y, close=True)
        self._draw(path, self._pen(colour, 0, alpha, clip), fill=to_rgb(colour))

    def line(
        self, x: Places, y: Places, colour: str, width: float, dash: Dash = "-", clip: Box | None = None
    ) -> None:
        """Join points; NaN interrupts the line."""
        pen = self._pen(colour, width, 1.0, clip)
        pattern = {"-": None, "--": (3.7, 1.6)}[dash] if isinstance(dash, str) else dash[1]
        if pattern:
            pen.set_dashes(0, [part * width for part in pattern])
        self._draw(self._path(x, y), pen)

    def strokes(self, ends: Sequence[Box], colour: str, width: float, clip: Box | None = None) -> None:
        """Draw separate strokes, each from (x, y) to (x, y)."""
        points = np.array(ends, dtype=np.float64).reshape(-1, 2) * self.scale
        codes = [Path.MOVETO, Path.LINETO] * (len(points) // 2)
        if len(points):
            self._draw(Path(points, codes), self._pen(colour, width, 1.0, clip))

    def markers(self, x: Places, y: Places, marker: str, size: float, colour: str) -> None:
        """Draw markers with a thin white edge."""
        style = _marker(marker)
        shape = Affine2D(style.get_transform().get_matrix()).scale(size * self.scale)
        pen = self._pen("white", 0.4, 1.0, None)
        pen.set_joinstyle("miter")
        points = self._path(x, y)
        self.renderer.draw_markers(pen, style.get_path(), shape, points, Affine2D(), to_rgb(colour))

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
        angle, pen = 90 if upright else 0, self._pen(colour, 0, 1.0, None)
        place = x * self.scale, y * self.scale
        if self.kind == "svg":
            font = _font(bold).copy()
            font.set_size(size)
            self.renderer.draw_text(pen, place[0], self.size[1] - place[1], words, font, angle)
        else:  # outlines, which are cached, in a third of the time
            put = Affine2D().scale(size * self.scale / text_to_path.FONT_SCALE).rotate_deg(angle)
            self.renderer.draw_path(pen, _outline(words, bold), put.translate(*place), to_rgb(colour))

    def content(self) -> bytes:
        """Return the file."""
        if self.kind == "svg":
            self.renderer.finalize()
            return self.file.getvalue().encode()
        pixels = self.renderer.buffer_rgba().tobytes()
        file = io.BytesIO()
        packing = {"compress_level": 3}  # twice as fast as the default, hardly larger
        Image.frombytes("RGB", self.size, pixels, "raw", "RGBX").save(file, "png", dpi=(DPI, DPI), **packing)
        return file.getvalue()

    def _path(self, x: Places, y: Places, close: bool = False) -> Path:
        points = np.column_stack([x, y]).astype(np.float64) * self.scale
        return Path(np.concatenate([points, points[:1]]), closed=True) if close else Path(points)

    def _pen(self, colour: str, width: float, alpha: float, clip: Box | None) -> Any:
        pen = self.renderer.new_gc()
        pen.set_alpha(alpha)
        pen.set_foreground(colour)
        pen.set_linewidth(width)  # in points, unlike all other lengths of a renderer
        pen.set_joinstyle("round")
        if clip:
            pen.set_clip_rectangle(Bbox.from_extents(*(side * self.scale for side in clip)))
        return pen

    def _draw(self, path: Path, pen: Any, fill: tuple[float, float, float] | None = None) -> None:
        self.renderer.draw_path(pen, path, Affine2D(), fill)


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Return the length of one line of text in points."""
    width, _, _ = _extent(words, bold)
    return width * size / 10


def fit(words: str, width: float, size: float, bold: bool = False) -> str:
    """Return a name that can be drawn, cut with an ellipsis where it is longer than a width in points."""
    shown = drawable(words)
    while shown and text_width(shown, size, bold) > width:
        keep = int(len(shown) * width / text_width(shown, size, bold))
        shown = shown[: max(0, min(len(shown) - 2, keep - 1))] + "…" if len(shown) > 1 else ""
    return shown


def drawable(name: str) -> str:
    """Return a text that the font can show."""
    return "".join(c if _known(c) else "?" for c in text.plain(name))


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    font: Any = get_font(findfont(_FONT))
    return bool(font.get_char_index(ord(character)))


@lru_cache(maxsize=2)
def _font(bold: bool) -> FontProperties:
    return FontProperties(family=_FONT, weight="bold" if bold else "normal", size=10)


@lru_cache(maxsize=8192)
def _extent(words: str, bold: bool) -> tuple[float, float, float]:
    width, height, descent = text_to_path.get_text_width_height_descent(words, _font(bold), ismath=False)
    return float(width), float(height), float(descent)


@lru_cache(maxsize=8192)
def _outline(words: str, bold: bool) -> Path:
    vertices, codes = text_to_path.get_text_path(_font(bold), words, ismath=False)
    return Path(vertices, codes) if len(vertices) else Path(np.zeros((1, 2)))


@lru_cache(maxsize=64)
def _marker(marker: str) -> MarkerStyle:
    return MarkerStyle(marker)
