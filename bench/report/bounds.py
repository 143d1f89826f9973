"""What is said of floor and ceiling below a table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bench.report import text

MEANING = {
    "floor": "the best prediction that looks at no image, made of all training labels",
    "ceiling": "a flawless network through the task's output grid and decoding",
}


def lines(cells: Iterable[Any]) -> list[str]:
    """Return a line for the floor and one for the ceiling, as far as records tell them.

    Args:
        cells: of the primary metric, as named tuples. Encoders of other strides have other ceilings.
    """
    cells = list(cells)
    found = []
    for end, meaning in MEANING.items():
        known = {
            cell.encoder: text.number(getattr(cell, end), cell.unit)
            for cell in cells
            if math.isfinite(getattr(cell, end))
        }
        if known:
            alike = len(set(known.values())) == 1
            shown = next(iter(known.values())) if alike else ", ".join(f"{e} {v}" for e, v in known.items())
            found.append(f"{end.capitalize()} ({meaning}): {shown}.")
    return found
