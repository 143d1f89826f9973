"""One image with all its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth import labels, sensors
from bench.synth.camera import Camera, crop
from bench.synth.cast import packed, resolve
from bench.synth.cast_numba import PERSON
from bench.synth.domains import Domain
from bench.synth.keypoints import detect, project_joints
from bench.synth.materials import surface as surface_material
from bench.synth.raster import Raster, rasterize
from bench.synth.scene import PLANE, Scene, Solid, Solids, box, capsule, joined, sphere, stack
from bench.synth.shade_numba import edges, paint
from bench.synth.surface import Person, Posed, World

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

LEAST_VISIBLE = 0.65  # of the person in the frame; else occluders, then all clutter, are taken away


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """Arrays of one sample; see `clips.FIELDS` for their meaning."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    z: Single
    fid: NDArray[np.int16]
    uv: NDArray[np.uint8]
    kp: Single
    keypoints_detected: Single
    camera: Camera


def render_picture(
    posed: Posed, scene: Scene, world: World, camera: Camera, domain: Domain, size: int, rng: Generator
) -> Image:
    """Render the person of a clip at one time through one camera.

    Args:
        posed: the person.
        scene: the surroundings.
        world: materials, light and shadow of this moment.
        camera: full-frame camera.
        domain: rules of crop, occlusion and sensors.
        size: side of the square image, pixels.
        rng: stream of this image.
    """
    seen = camera.seen(posed.dressed)
    view = crop(camera, seen, size, rng, domain)
    pixels = view.pixels(seen)
    coarse = rasterize(pixels, posed.person.faces, size)
    solids = clear_view(scene.solids, view, posed.joints)
    blocked = solids
    if rng.random() < domain.occluders:
        extra, rows = draw_occluders(rng, view, posed.joints, len(world.materials), domain.colourfulness)
        blocked = joined(solids, extra)
        world = world._replace(materials=np.concatenate([world.materials, rows]))
    for kept in (blocked, solids, solids.take(solids.kind == PLANE)):
        table = packed(view, kept, size)
        z, who = resolve(view, kept, table, coarse.ids, coarse.depth)
        person = who == PERSON
        if np.count_nonzero(person) >= LEAST_VISIBLE * np.count_nonzero(coarse.ids >= 0):
            break
    light = shade(coarse, pixels, view, posed.person, table, world, z, who)
    rgb = sensors.develop(
        light, person, rng, exposure=domain.exposure, noise=domain.noise, white_balance=domain.white_balance
    )
    fid = np.where(person, coarse.ids, -1).astype(np.int16)
    joints = project_joints(view, posed.joints, z)
    return Image(
        rgb=rgb,
        depth=sense_depth(z, fid, coarse, posed, view, domain, scene, light, rng),
        z=np.where(np.isfinite(z), z, 0.0).astype(np.float32),
        fid=fid,
        uv=labels.surface_uv(fid, coarse.bary),
        kp=joints,
        keypoints_detected=detect(joints, size, rng) if domain.detected_joints else _exact(joints),
        camera=view,
    )


def _exact(joints: Single) -> Single:
    return np.concatenate([joints[:, :2], (joints[:, 3:] > 0).astype(np.float32)], 1)


def shade(
    coarse: Raster,
    pixels: Floats,
    view: Camera,
    person: Person,
    table: Floats,
    world: World,
    z: Single,
    who: NDArray[np.int32],
) -> Single:
    """Linear colours (S, S, 3)."""
    size = len(who)
    fine = np.empty((size, size), np.bool_)
    edges(*coarse[:3], who, z, person.faces, person.canon, person.cuts, np.empty_like(who), fine)
    dense = rasterize(pixels, person.faces, 2 * size, 2.0, among=coarse.front, mask=fine)
    out = np.empty((size, size, 3), np.float32)
    arguments: tuple[Any, ...] = (
        *coarse[:3],
        *dense[:3],
        fine,
        who,
        z,
        view.packed(),
        *person,
        table,
        *world,
        out,
    )
    paint(*arguments)
    return out


def sense_depth(
    z: Single,
    fid: NDArray[np.int16],
    coarse: Raster,
    posed: Posed,
    view: Camera,
    domain: Domain,
    scene: Scene,
    light: Single,
    rng: Generator,
) -> NDArray[np.uint16]:
    """Sensor depth in millimetres, zero where the domain has no depth; `z` in real metres."""
    if "depth" not in domain.modalities:
        return np.zeros(z.shape, np.uint16)
    seen = fid >= 0
    towards = posed.joints[0] - view.eye
    facing = posed.person.normals @ (towards / np.linalg.norm(towards)).astype(np.float32)  # (V,)
    corners, w = facing[posed.person.faces[fid[seen]]], coarse.bary[seen]
    cosine = np.ones(z.shape, np.float32)
    cosine[seen] = np.abs((corners[:, :2] * w).sum(1) + corners[:, 2] * (1 - w.sum(1)))
    structured = scene.structured_light if domain.sensor == "per_scene" else domain.sensor == "structured"
    where = sensors.rough_mask(seen, rng) if domain.depth_masked else np.ones_like(seen)
    return sensors.measure(z, where, cosine, light[..., 1], view.focal, rng, structured=structured)


def clear_view(solids: Solids, view: Camera, joints: Floats) -> Solids:
    """Drop things that happen to stand between the camera and the person."""
    radius = solids.ball_radius
    x, y, z = view.seen(solids.ball_centre)
    distance = view.seen(joints[:1])[2, 0]
    aside = np.hypot(x, y)
    between = (z < distance - 0.3) & (z > -radius) & (aside < radius + 0.6 + 0.5 * z)
    return solids.take((solids.kind == PLANE) | ~between)


def draw_occluders(
    rng: Generator, view: Camera, joints: Floats, first: int, colourfulness: float
) -> tuple[Solids, Single]:
    """One or two things between the camera and random joints, with materials numbered from `first`."""
    solids: list[Solid] = []
    for number in range(first, first + int(rng.integers(1, 3))):
        towards = joints[rng.integers(len(joints))] - view.eye
        share = rng.uniform(0.55, 0.85)
        place, unit = view.eye + share * towards, 0.045 * share * float(np.linalg.norm(towards))
        kind, u = rng.integers(3), rng.random(3)
        if kind == 0:
            half = unit * np.array([0.5 + 1.1 * u[0], 0.5 + 1.1 * u[1], 0.3])
            solids.append(box(place, half, np.pi * u[2], number))
        elif kind == 1:
            link = rng.normal(size=3) * np.array([1.0, 2.0, 1.0])
            link *= 4 * unit / np.linalg.norm(link)
            solids.append(capsule(place - link / 2, link, unit * (0.15 + 0.35 * u[0]), number))
        else:
            solids.append(sphere(place, unit * (0.5 + 0.7 * u[0]), number))
    rows = np.stack([surface_material(rng, colourfulness) for _ in solids])
    return stack(solids), rows
