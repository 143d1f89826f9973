from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.report.palette import COLOURS, looks

SHIPPED = ["imagenet", "cmc", "mmv", "hcmoco", "mae", "croco", "liftedcl"]
# linear RGB as seen without red or without green cones (Viénot, Brettel and Mollon 1999)
PROTAN = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTAN = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _lab(colour: str, vision: NDArray[np.float64]) -> NDArray[np.float64]:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ (vision @ linear) / TO_XYZ.sum(axis=1), 1e-9))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_differ_for_all_common_kinds_of_vision() -> None:
    """CIE76 distances: 2.3 is just noticeable, above 10 is told apart at a glance."""
    for vision in (np.eye(3), PROTAN, DEUTAN):
        for a, b in combinations(COLOURS, 2):
            assert np.linalg.norm(_lab(a, vision) - _lab(b, vision)) > 10, (a, b)


def test_the_shipped_methods_have_seven_colours_whatever_else_is_shown() -> None:
    alone = {name: looks([name])[name] for name in SHIPPED}
    together = looks([*SHIPPED, "scratch"])
    assert {name: together[name] for name in SHIPPED} == alone
    assert len({look.colour for look in alone.values()}) == 7
    assert len({look.marker for look in alone.values()}) == 7


@given(st.lists(st.text(max_size=8), max_size=14, unique=True))
def test_up_to_fourteen_methods_never_look_alike(names: list[str]) -> None:
    found = looks([*names, "scratch"])
    assert (found["scratch"].line, found["scratch"].colour) == ("--", "#7A7A7A")
    others = [(look.colour, look.line) for name, look in found.items() if not name.startswith("scratch")]
    assert len(set(others)) == len(others)
    assert all(line != "--" for _, line in others)
