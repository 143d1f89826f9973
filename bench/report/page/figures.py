"""Plots as parts of the page: data URIs, up to a total size; beyond it links to the files."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.report.markdown import Picture

LIMIT = 3_000_000  # characters of all data URIs together
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')
_ZOOM = 1.7  # CSS pixels per point, so that 8 pt in a plot are about as large as the page's small print


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot as the page shows it."""

    title: str
    caption: str
    source: str  # data URI; "" = too large for the page
    link: str  # the file, relative to the page
    width: int  # CSS pixels
    height: int


def embed(pictures: Iterable[Picture], folder: Path, limit: int = LIMIT) -> dict[str, Figure]:
    """Return figures by the path of their picture; plots of all encoders get their place first.

    Args:
        pictures: what the page shows, in its order.
        folder: where the paths of pictures begin.
        limit: of the data URIs, in characters.
    """
    found = {}
    used = 0
    for picture in sorted(pictures, key=lambda p: p.encoder != ""):
        path = Path(picture.path).with_suffix(".svg")
        raw = (folder / path).read_bytes()
        width, height = _size(raw)
        source = f"data:image/svg+xml;base64,{base64.b64encode(raw).decode()}"
        fits = used + len(source) <= limit
        used += len(source) if fits else 0
        found[picture.path] = Figure(
            title=picture.title,
            caption=picture.caption,
            source=source if fits else "",
            link=quote(path.as_posix()),
            width=width,
            height=height,
        )
    return found


def _size(raw: bytes) -> tuple[int, int]:
    match = _SIZE.search(raw[:2000].decode(errors="replace"))
    if not match:
        raise ValueError("an SVG that does not tell its size in points")
    return round(float(match[1]) * _ZOOM), round(float(match[2]) * _ZOOM)
