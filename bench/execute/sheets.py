"""Sheets of images, a row per title and a column per sample, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from bench.errors import ConfigError

COLUMNS = 8  # samples on the sheet
SIDE = 96  # pixels; smaller images are enlarged by a whole factor
HEADING = 13  # pixels


def sheet(rows: Mapping[str, Tensor], columns: Sequence[str] = ()) -> bytes:
    """Draw images of samples below each other; return a PNG.

    Args:
        rows: by title, (N, 3, H, W) in [0, 1] each, of any sizes.
        columns: words above the first row, one per sample; () = none.

    Raises:
        ConfigError: a row is of another shape, out of range, or there is none.
    """
    check_images(rows)
    side = max(max(row.shape[-2:]) for row in rows.values())
    times = -(-SIDE // side)
    tiles = {name: _tiles(row[:COLUMNS], times) for name, row in rows.items()}
    width = max(sum(tile.width + 1 for tile in row) for row in tiles.values())
    top = HEADING if columns else 0
    height = top + sum(row[0].height + 1 + HEADING for row in tiles.values())
    page = Image.new("RGB", (width, height), "white")
    draw, y = ImageDraw.Draw(page), top
    for k, words in enumerate(columns):
        draw.text((2 + k * (width // len(columns)), 0), words, fill="black")
    for title, row in tiles.items():
        draw.text((2, y), title, fill="black")
        for k, tile in enumerate(row):
            page.paste(tile, (k * (tile.width + 1), y + HEADING))
        y += row[0].height + 1 + HEADING
    stream = io.BytesIO()
    page.save(stream, format="PNG")
    return stream.getvalue()


def check_images(rows: Mapping[str, Tensor]) -> None:
    """Make sure that images can be drawn.

    Raises:
        ConfigError: there is none, or one is of another shape or out of range.
    """
    if not rows:
        raise ConfigError("illustrate() returns no images")
    for name, row in rows.items():
        if row.ndim != 4 or row.shape[1] != 3 or not row.numel():
            raise ConfigError(
                f'illustrate(): images "{name}" have shape {tuple(row.shape)}, not (N, 3, H, W)'
            )
        if not bool(((row >= 0) & (row <= 1)).all()):
            raise ConfigError(f'illustrate(): images "{name}" hold values outside [0, 1]')


def _tiles(images: Tensor, times: int) -> list[Image.Image]:
    enlarged = F.interpolate(images.detach().float().cpu(), scale_factor=float(times), mode="nearest")
    arrays = (enlarged * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [Image.fromarray(array) for array in arrays]
