"""One look per method in all plots: colour, marker and line style, so that grey prints stay readable.

Colours are those of Okabe and Ito ("Color Universal Design", 2008) without the yellow, which is too pale for
lines. Scratch is always grey and dashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bench.report.cells import SCRATCH
from bench.report.figure import Dash, Look

COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#0072B2", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d", "*", "8")
_LINES: tuple[Dash, ...] = ("-", (0, (6, 1.5, 1.2, 1.5)))
_SALT = 347293  # chosen so that the seven pretraining methods shipped first get seven different colours


_SCRATCH_LOOK = Look(colour="#7A7A7A", marker=".", line="--", size=8.0)


def looks(names: Iterable[str], more: Iterable[str] = ()) -> dict[str, Look]:
    """Give every row name its look; `more` take what the others leave.

    A name has a slot of its own that does not depend on the other names; only where two names want the same
    slot, the later one in the alphabet moves to the next free one. Beyond 14 names looks repeat.
    """
    taken: dict[int, str] = {}
    found: dict[str, Look] = {}
    first = sorted(set(names))
    for name in [*first, *sorted(set(more) - set(first))]:
        if name == SCRATCH or name.startswith(f"{SCRATCH} ("):
            found[name] = _SCRATCH_LOOK
            continue
        wanted = _slot(name)
        order = [(wanted + i) % len(_MARKERS) for i in range(len(_MARKERS))]
        slot = next((s for s in order if s not in taken), wanted)
        taken[slot] = name
        tier, colour = divmod(slot, len(COLOURS))
        found[name] = Look(colour=COLOURS[colour], marker=_MARKERS[slot], line=_LINES[tier])
    return found


def _slot(name: str) -> int:
    digest = hashlib.sha256(f"{_SALT}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % len(_MARKERS)
