"""Pictures of one to three people: each is rendered in the scene, and the nearest is seen at every pixel.

Everybody is rendered alone with the surroundings, by one camera. Labels of a pixel are those of the
person in front there by the z-buffers. The floor takes the darker of the shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.errors import ConfigError
from bench.synth import labels, sensors
from bench.synth.camera import Camera, crop, place_camera
from bench.synth.cast import packed, resolve
from bench.synth.cast_numba import PERSON
from bench.synth.clips import LARGEST, draw_action, draw_still
from bench.synth.domains import BLOCK, SPLITS, ClipIds, Domain
from bench.synth.raster import Raster, rasterize
from bench.synth.render import LEAST_VISIBLE, clear_view, draw_occluders, shade
from bench.synth.rng import Stream, generator
from bench.synth.scene import PLANE, Scene, Solids, joined
from bench.synth.surface import Posed, World, light_world, pose_frame

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

GENERATOR_VERSION = 1  # raise whenever a draw changes
MOST = 3  # people in a picture
STRIDE = 4  # ids of people per picture
LEAST_SEEN = 0.15  # of a person's silhouette in the frame; who shows less is no person of the picture
LEAST_PIXELS = 24  # of 160 x 160; likewise
ROOM_M = 0.6  # around everybody that is free of things
CENTRE_M = 0.9  # height that the camera looks at

# stands for the whole pictures of DensePose-COCO
D_SCENES = Domain(
    index=60, scene="wild", splits=("train", "val", "test"), modalities=("rgb",),
    frames=1, frame_step_s=0.0, cameras=1, distance_m=(3.0, 7.0), fill=(0.55, 0.98), truncation=0.15,
    occluders=0.15, colourfulness=0.95, exposure=(0.14, 0.38), noise=(0.004, 0.02), white_balance=0.08,
)  # fmt: skip
GROUPS = {"d_scenes": D_SCENES}


class Drawn(NamedTuple):
    """One person alone with the surroundings."""

    raster: Raster
    z: Single  # of what is seen, (S, S)
    who: NDArray[np.int32]  # (S, S)


def first_id(source: str, split: str, picture: int) -> int:
    """Return the id of the first person of a picture; the others' follow, and key their own draws.

    Raises:
        ConfigError: unknown source or split, or a number outside 0..2**21 - 1.
    """
    if source not in GROUPS or split not in GROUPS[source].splits:
        raise ConfigError(f"there is no {source}/{split} of pictures with several people")
    if not 0 <= picture < BLOCK // STRIDE:
        raise ConfigError(f"picture {picture} of {source}/{split} is outside 0..{BLOCK // STRIDE - 1}")
    return (GROUPS[source].index * len(SPLITS) + SPLITS.index(split)) * BLOCK + STRIDE * picture


def render_group(source: str, split: str, picture: int, *, size: int, seed: int) -> dict[str, NDArray[Any]]:
    """Render one picture: a pure function of its arguments.

    Args:
        source: key of `GROUPS`.
        split: one of its splits.
        picture: number from 0 within the split.
        size: side of the picture, pixels.
        seed: of the data set, >= 0.

    Returns:
        `rgb` uint8 (S, S, 3), display colours; `fid` int16 (S, S), triangle of the body, -1 = background;
        `uv` uint8 (S, S, 2), chart coordinates in 1/255; `person` uint8 (S, S), 1..3, 0 = nobody, numbered
        without gaps; `boxes` float32 (3, 4), left, top, right, bottom edge of what is visible, 0 = no person.

    Raises:
        ConfigError: unknown source, split or number, or a size outside 16..1024.
    """
    if not 16 <= size <= LARGEST:
        raise ConfigError(f"image size {size} is outside 16..{LARGEST} pixels")
    first = first_id(source, split, picture)
    settings = GROUPS[source]
    rng = generator(seed, Stream.GROUP, first)
    people: list[Posed] = []
    worlds: list[World] = []
    block = first // BLOCK
    count = int(rng.integers(1, MOST + 1))
    for k in range(count):
        ids = ClipIds(identity=first + k, scene=first, clip=first + k, block=block)
        identity, scene = draw_still(settings, split, ids, seed)
        _, motion = draw_action(settings, split, ids, seed, identity, scene)
        if k == 0:
            centre = np.array([0.0, CENTRE_M, 0.0])
            camera = place_camera(settings, scene, rng, None, centre)
            places = _places(rng, camera, count)
        posed = _moved(pose_frame(identity, motion, 0), places[k])
        people.append(posed)
        worlds.append(light_world(identity, scene, posed))
    return _picture(people, scene, worlds, camera, settings, size, rng)


def _places(rng: Generator, camera: Camera, count: int) -> Floats:
    """Where people stand on the floor, side by side as the camera sees them, (n, 3) metres."""
    right = camera.rotation[0] * np.array([1.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    ahead = np.array([-right[2], 0.0, right[0]])
    gap = rng.uniform(0.45, 1.1)
    aside = gap * (np.arange(count) - (count - 1) / 2 + rng.uniform(-0.25, 0.25, count))
    deep = rng.uniform(-0.9, 0.9, count)
    places: Floats = aside[:, None] * right + deep[:, None] * ahead
    return places


def _moved(posed: Posed, offset: Floats) -> Posed:
    return replace(
        posed,
        vertices=posed.vertices + offset.astype(np.float32),
        dressed=posed.dressed + offset.astype(np.float32),
        joints=posed.joints + offset,
        translation=posed.translation + offset,
    )


def _picture(
    people: Sequence[Posed],
    scene: Scene,
    worlds: Sequence[World],
    camera: Camera,
    domain: Domain,
    size: int,
    rng: Generator,
) -> dict[str, NDArray[Any]]:
    seen = [camera.seen(posed.dressed) for posed in people]
    view = crop(camera, np.concatenate(seen, 1), size, rng, domain)
    pixels = [view.pixels(each) for each in seen]
    rasters = [rasterize(p, posed.person.faces, size) for p, posed in zip(pixels, people, strict=True)]
    solids = _make_room(scene.solids, view, people)
    blocked = solids
    if rng.random() < domain.occluders:
        target = people[int(rng.integers(len(people)))].joints
        extra, rows = draw_occluders(rng, view, target, len(worlds[0].materials), domain.colourfulness)
        blocked = joined(solids, extra)
        worlds = [w._replace(materials=np.concatenate([w.materials, rows])) for w in worlds]
    silhouettes = np.count_nonzero([raster.ids >= 0 for raster in rasters])
    for kept in (blocked, solids, solids.take(solids.kind == PLANE)):
        table = packed(view, kept, size)
        drawn = [Drawn(r, *resolve(view, kept, table, r.ids, r.depth)) for r in rasters]
        if np.count_nonzero([each.who == PERSON for each in drawn]) >= LEAST_VISIBLE * silhouettes:
            break
    person = _in_front(drawn)
    light = _joined_light(drawn, person, people, pixels, view, table, worlds)
    rgb = sensors.develop(
        light,
        person > 0,
        rng,
        exposure=domain.exposure,
        noise=domain.noise,
        white_balance=domain.white_balance,
    )
    shown, given = _numbered(person, rasters, size)
    fid = np.full((size, size), -1, np.int16)
    bary = np.zeros((size, size, 2), np.float32)
    for k, raster in enumerate(rasters, 1):
        here = given == k
        fid[here], bary[here] = raster.ids[here], raster.bary[here]
    return {
        "rgb": rgb,
        "fid": fid,
        "uv": labels.surface_uv(fid, bary),
        "person": shown,
        "boxes": boxes_of(shown),
    }


def _make_room(solids: Solids, view: Camera, people: Sequence[Posed]) -> Solids:
    """Drop things that stand between the camera and somebody, or where somebody stands."""
    for posed in people:
        solids = clear_view(solids, view, posed.joints)
        apart = np.hypot(*(solids.ball_centre - posed.joints[0])[:, [0, 2]].T)
        solids = solids.take((solids.kind == PLANE) | (apart > solids.ball_radius + ROOM_M))
    return solids


def _in_front(drawn: Sequence[Drawn]) -> NDArray[np.uint8]:
    """Number from 1 of the person seen at each pixel, 0 = nobody; of equal depths the first, (S, S)."""
    depth = np.stack([np.where(each.who == PERSON, each.z, np.inf) for each in drawn])
    return np.where(np.isfinite(depth.min(0)), depth.argmin(0) + 1, 0).astype(np.uint8)


def _joined_light(
    drawn: Sequence[Drawn],
    person: NDArray[np.uint8],
    people: Sequence[Posed],
    pixels: Sequence[Floats],
    view: Camera,
    table: Floats,
    worlds: Sequence[World],
) -> Single:
    """Linear colours (S, S, 3)."""
    lights = [
        shade(each.raster, p, view, posed.person, table, world, each.z, each.who)
        for each, p, posed, world in zip(drawn, pixels, people, worlds, strict=True)
    ]
    light: Single = np.minimum.reduce(lights)
    for k, own in enumerate(lights, 1):
        light[person == k] = own[person == k]
    return light


def _numbered(
    person: NDArray[np.uint8], rasters: Sequence[Raster], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Leave out who hardly shows. Return the numbers anew, without gaps, and as they were; (S, S) each."""
    shown, given = np.zeros_like(person), np.zeros_like(person)
    count = 0
    for k, raster in enumerate(rasters, 1):
        here = person == k
        whole, visible = np.count_nonzero(raster.ids >= 0), np.count_nonzero(here)
        if visible >= max(1.0, LEAST_SEEN * whole, LEAST_PIXELS * (size / 160) ** 2):
            count += 1
            shown[here], given[here] = count, k
    return shown, given


def boxes_of(person: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Left, top, right and bottom edge of the pixels (S, S) of each person, (3, 4); 0 = none."""
    out = np.zeros((MOST, 4), np.float32)
    for k in range(MOST):
        rows, columns = np.nonzero(person == k + 1)
        if len(rows):
            out[k] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return out
