"""Garments and bare limbs as classes of pixels, left and right apart.

They follow from what is stored of an image and from the clothes that its person wears: the place on the body
surface is found anew from triangle and chart coordinates.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import GARMENT_NAMES, P25_NAMES, closest_in_triangle, surrogate_labels
from bench.synth import cuts

Bytes = NDArray[np.uint8]

_ARM = ("shoulder", "elbow", "hand", "arm", "forearm")  # parts of the body surface, after their side
_LEG = ("knee", "foot", "thigh", "calf")
_HIP = ("hip",)
# slot: what it is called on an arm, on a leg, at a hip, elsewhere; `{}` = the side
_CALLED = {
    cuts.SKIN: ("{} arm", "{} leg", "{} leg", "face and neck"),
    cuts.TOP: ("{} sleeve", "top", "top", "top"),
    cuts.BOTTOM: ("trousers", "{} trouser leg", "trousers", "trousers"),
    cuts.SHOES: ("{} shoe", "{} shoe", "{} shoe", "face and neck"),
    cuts.HAIR: ("hair", "hair", "hair", "hair"),
    cuts.ACCESSORY: ("gloves", "gloves", "gloves", "hat"),
    cuts.JACKET: ("{} jacket sleeve", "jacket", "jacket", "jacket"),
}


@cache
def table() -> Bytes:
    """Class of each slot of clothes on each of the 25 parts, (7, 25); 0 on the background."""
    found = np.zeros((cuts.SLOTS, len(P25_NAMES)), np.uint8)
    for part, name in enumerate(P25_NAMES):
        side, _, place = name.partition(" ")
        kind = next((k for k, group in enumerate((_ARM, _LEG, _HIP)) if place in group), 3)
        for slot, called in _CALLED.items():
            found[slot, part] = GARMENT_NAMES.index(called[kind].format(side)) if part else 0
    return found


def garments(fid: NDArray[np.int16], uv: Bytes, identities: NDArray[Any], seed: int) -> Bytes:
    """Classes of `GARMENT_NAMES`, (N, H, W).

    Args:
        fid: triangle numbers, -1 = background, (N, H, W).
        uv: chart coordinates in 1/255, (N, H, W, 2).
        identities: global ids of the people, (N,).
        seed: of the data set.
    """
    from bench.synth.clothes_numba import slots_at  # loads numba, which other labels do not need
    from bench.synth.identity import outfit_of

    body, labels = fid >= 0, surrogate_labels()
    face = fid[body]
    weights, _ = closest_in_triangle(uv[body] / 255, labels.uv[face].astype(np.float64))
    canon = surrogate_body().v_template[surrogate_body().faces[face]]  # (M, 3, 3)
    points = np.einsum("mk,mkd->md", weights, canon).astype(np.float32)
    people, person = np.unique(identities, return_inverse=True)
    worn = np.stack([outfit_of(seed, int(who)).cuts for who in people])
    slots = np.empty(len(points), np.uint8)
    slots_at(points, person[np.nonzero(body)[0]].astype(np.int64), worn, slots)
    out = np.zeros(fid.shape, np.uint8)
    out[body] = table()[slots, labels.p25[face]]
    return out
