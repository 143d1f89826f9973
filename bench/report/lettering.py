"""Texts in Matplotlib's own font: their widths, and the outlines to draw them with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from bench.report import text

EM = float(text_to_path.FONT_SCALE)  # height of the font in units of outlines and places
_FONT = "DejaVu Sans"


def text_width(words: str, size: float, bold: bool = False) -> float:
    """Return the length of one line of text in points."""
    return _width(words, bold) * size / EM


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


@lru_cache(maxsize=8192)
def glyphs(words: str, bold: bool) -> tuple[dict[str, Path], list[tuple[str, float]]]:
    """Return the letters of one line of text.

    Returns:
        Outlines by name, and names in their order with their places from the left, in `EM` units.
    """
    font: Any = get_font(findfont(_font(bold)))
    font.set_size(EM, text_to_path.DPI)
    places, outlines, _ = text_to_path.get_glyphs_with_font(font, words)
    drawn = {name: Path(*path) for name, path in outlines.items() if len(path[0])}
    return drawn, [(name, float(x)) for name, x, *_ in places if name in drawn]


@lru_cache(maxsize=8192)
def outline(words: str, bold: bool) -> Path:
    """Return one line of text as one path, in `EM` units."""
    outlines, places = glyphs(words, bold)
    if not places:
        return Path(np.zeros((1, 2)))
    vertices = [np.add(outlines[name].vertices, [x, 0.0]) for name, x in places]
    return Path(np.concatenate(vertices), np.concatenate([outlines[name].codes for name, _ in places]))


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    font: Any = get_font(findfont(_FONT))
    return bool(font.get_char_index(ord(character)))


@lru_cache(maxsize=2)
def _font(bold: bool) -> FontProperties:
    return FontProperties(family=_FONT, weight="bold" if bold else "normal", size=EM)


@lru_cache(maxsize=8192)
def _width(words: str, bold: bool) -> float:
    width, _, _ = text_to_path.get_text_width_height_descent(words, _font(bold), ismath=False)
    return float(width)
