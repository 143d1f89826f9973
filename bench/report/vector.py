"""A page as SVG. Letters are outlines, each defined once, so that a page looks the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from bench.report.lettering import EM, glyphs
from bench.report.raster import Clip, Points

_FINE = 64  # of the units of outlines, which are written as whole numbers
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
    'width="{0:g}pt" height="{1:g}pt" viewBox="0 0 {0:g} {1:g}" fill="none" stroke-linejoin="round">\n'
)
_known_letters: dict[str, str] = {}  # outlines by the name of the letter


class Vector:
    """A sheet of a `Canvas`."""

    def __init__(self, width: float, height: float) -> None:
        self.size = round(width, 2), round(height, 2)
        self._defined: dict[str, str] = {}  # by what is defined
        self._drawn: list[str] = []

    def area(self, points: Points, colour: str, alpha: float, clip: Clip) -> None:
        """Fill a polygon."""
        self._draw(f'<path d="{self._path(points)}Z" fill="{colour}" fill-opacity="{alpha:g}"', clip)

    def lines(
        self, parts: Sequence[Points], colour: str, width: float, dashes: tuple[float, ...], clip: Clip
    ) -> None:
        """Draw lines, each of joined points; dashes: lengths of strokes and gaps in points."""
        if not parts:
            return
        path = "".join(map(self._path, parts))
        pattern = f' stroke-dasharray="{" ".join(f"{length:g}" for length in dashes)}"' if dashes else ""
        self._draw(f'<path d="{path}" stroke="{colour}" stroke-width="{width:g}"{pattern}', clip)

    def markers(self, points: Points, marker: str, size: float, colour: str) -> None:
        """Draw markers with a thin white edge."""
        name = self._define("m", f'<path id="{{}}" d="{_marker(marker, size)}"/>')
        places = (points * [1, -1] + [0, self.size[1]]).tolist()
        uses = "".join(f'<use xlink:href="#{name}" x="{x:.2f}" y="{y:.2f}"/>' for x, y in places)
        look = 'stroke="white" stroke-width="0.4" stroke-linejoin="miter"'
        self._drawn.append(f'<g fill="{colour}" {look}>{uses}</g>')

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, bold: bool, upright: bool
    ) -> None:
        """Write one line from its baseline at (x, y)."""
        outlines, uses = _letters(words, bold)
        self._defined.update(outlines)
        turn = " rotate(-90)" if upright else ""
        put = f"translate({x:.2f} {self.size[1] - y:.2f}){turn} scale({size / EM / _FINE:.6f})"
        self._drawn.append(f'<g fill="{colour}" transform="{put}">{uses}</g>')

    def svg(self) -> bytes:
        """Return the file."""
        head = _HEAD.format(*self.size)
        defined = "\n".join(self._defined.values())
        paper = '<rect width="100%" height="100%" fill="white"/>'
        return "\n".join([f"{head}<defs>\n{defined}\n</defs>", paper, *self._drawn, "</svg>\n"]).encode()

    def _path(self, points: Points) -> str:
        high = self.size[1]
        return "M" + "L".join(f"{x:.2f} {high - y:.2f}" for x, y in points.tolist())

    def _draw(self, element: str, clip: Clip) -> None:
        inside = f' clip-path="url(#{self._box(clip)})"' if clip else ""
        self._drawn.append(f"{element}{inside}/>")

    def _box(self, clip: tuple[float, float, float, float]) -> str:
        left, bottom, right, top = clip
        place = f'x="{left:.2f}" y="{self.size[1] - top:.2f}"'
        size = f'width="{right - left:.2f}" height="{top - bottom:.2f}"'
        return self._define("c", f'<clipPath id="{{}}"><rect {place} {size}/></clipPath>')

    def _define(self, letter: str, element: str) -> str:
        """Return the name of something that is used several times."""
        known = self._defined.get(element)
        if known is None:
            name = f"{letter}{len(self._defined)}"
            known = self._defined[element] = element.format(name)
        return known.split('"', 2)[1]


@lru_cache(maxsize=8192)
def _letters(words: str, bold: bool) -> tuple[dict[str, str], str]:
    """Return the definitions of the letters of a text by name, and their uses."""
    outlines, places = glyphs(words, bold)
    defined = {name: f'<path id="{name}" d="{_letter(name, path)}"/>' for name, path in outlines.items()}
    return defined, "".join(f'<use xlink:href="#{name}" x="{x * _FINE:.0f}"/>' for name, x in places)


def _letter(name: str, path: Path) -> str:
    if name not in _known_letters:
        _known_letters[name] = _commands(path, [_FINE, -_FINE], 0)
    return _known_letters[name]


@lru_cache(maxsize=256)
def _marker(marker: str, size: float) -> str:
    style = MarkerStyle(marker)
    shape = Affine2D(style.get_transform().get_matrix()).transform_path(style.get_path())
    return _commands(shape, [size, -size], 3)


def _commands(path: Path, scale: Sequence[float], digits: int) -> str:
    """Return a path as the commands of an SVG path.

    Args:
        path: lines and curves.
        scale: of x and y.
        digits: after the decimal point.
    """
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    found = []
    for points, code in path.iter_segments(simplify=False):
        if code == Path.CLOSEPOLY:
            found.append("Z")
        else:
            places = (points.reshape(-1, 2) * scale).ravel()
            found.append(letters[code] + " ".join(f"{np.round(v, digits) + 0.0:g}" for v in places))
    return "".join(found)
