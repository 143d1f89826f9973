"""Plain shading in numpy: patterns without noise, one light, no shadows, one sample per pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.camera import Camera
from bench.synth.cast import PERSON, SKY, pixel_rays, strike
from bench.synth.clothes import slots_of
from bench.synth.materials import FIRST, SECOND, patterned
from bench.synth.raster import Raster
from bench.synth.scene import Solids
from bench.synth.surface import Person, World

Floats = NDArray[np.float64]
Single = NDArray[np.float32]


def paint(
    coarse: Raster, view: Camera, person: Person, solids: Solids, world: World, who: NDArray[np.int32]
) -> Single:
    """Linear colours of a picture, (S, S, 3).

    Args:
        coarse: z-buffer of the person at pixel centres.
        view: the crop.
        person: its surface.
        solids: primitives.
        world: materials and light.
        who: what is seen at each pixel, (S, S).
    """
    rays = pixel_rays(view, len(who))
    out = np.empty((*who.shape, 3))
    sky = who == SKY
    out[sky] = _backdrop(rays[sky], world)
    for number in np.unique(who[who >= 0]):
        seen = who == number
        _, _, normal, local = strike(view.eye, rays[seen], solids, int(number))
        slots = np.full(len(local), solids.material[number])
        out[seen] = _lit(world, slots, local, normal)
    seen = who == PERSON
    w = coarse.bary[seen].astype(np.float64)
    weights = np.stack([w[:, 0], w[:, 1], 1 - w.sum(1)], 1)[..., None]  # (N, 3, 1)
    corners = person.faces[coarse.ids[seen]]
    local = (weights * person.canon[corners]).sum(1)
    normal = (weights * person.normals[corners]).sum(1)
    out[seen] = _lit(world, slots_of(person.cuts, local), local, normal)
    return out.astype(np.float32)


def _lit(world: World, slots: NDArray[np.integer], local: Floats, normal: Floats) -> Floats:
    """Colour of surface points: material times ambient, main and second light; (N, 3)."""
    colour = np.empty((len(local), 3))
    for slot in np.unique(slots):
        row, rows = world.materials[slot], np.flatnonzero(slots == slot)
        share = patterned(row, local[rows])[:, None]
        first, second = row[FIRST : FIRST + 3], row[SECOND : SECOND + 3]
        colour[rows] = first + (second - first) * share
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    light = world.light
    up = (0.5 + 0.5 * normal[:, 1])[:, None]
    facing = np.maximum(0, normal @ light[0:3])[:, None]
    fill = np.maximum(0, normal @ light[12:15])[:, None]
    colour *= light[6:9] * up + light[9:12] * (1 - up) + light[3:6] * facing + light[15:18] * fill
    return colour


def _backdrop(rays: Floats, world: World) -> Floats:
    """Nearest pixel of the backdrop in each direction; `shade_numba.sky_colour` without interpolation."""
    side = len(world.backdrop)
    u = (np.arctan2(rays[:, 0], rays[:, 2]) * 0.15915494 + world.turn) * 7.0
    v = (0.5 - np.arctan2(rays[:, 1], np.hypot(rays[:, 0], rays[:, 2])) * 0.3183) * 3.5
    x = ((u % 1) * side).astype(np.intp) % side
    y = np.minimum(side - 1, np.abs(v - 2 * np.floor(v / 2 + 0.5)) * side).astype(np.intp)
    colour: Floats = world.backdrop[y, x].astype(np.float64)
    return colour
