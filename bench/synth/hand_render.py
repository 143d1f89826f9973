"""One picture of a hand with all its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth import sensors
from bench.synth.camera import Camera, crop
from bench.synth.cast import packed, resolve
from bench.synth.cast_numba import PERSON
from bench.synth.domains import Domain
from bench.synth.hand_mesh import SCALE, arm
from bench.synth.keypoints import project_joints
from bench.synth.raster import rasterize
from bench.synth.render import clear_view, sense_depth, shade
from bench.synth.scene import PLANE, Scene, Solids, joined
from bench.synth.surface import Posed, World

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

LEAST_VISIBLE = 0.4  # of the hand in the frame; else clutter is taken away
# distance from a joint of `hand21` to the skin in front of it, metres: wrist, then the joints of each finger
DEPTH_OF_JOINT: Floats = np.array([0.034, *(0.042, 0.02, 0.016, 0.012), *4 * (0.03, 0.021, 0.017, 0.011)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandImage:
    """Arrays of one sample; see `hand_clips.FIELDS` for their meaning."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    z: Single
    phalanges: NDArray[np.uint8]
    keypoints: Single
    held: float  # share of the pixels that show what is in the hand
    camera: Camera


def render_hand(
    posed: Posed,
    scene: Scene,
    held: Solids,
    world: World,
    camera: Camera,
    domain: Domain,
    size: int,
    rng: Generator,
) -> HandImage:
    """Render the hand of a clip at one time through one camera.

    Args:
        posed: arm, and maybe trunk, drawn; its joints are those of `hand21`.
        scene: the surroundings.
        held: what is in the hand; never taken away.
        world: materials, light and shadow of this moment.
        camera: full-frame camera.
        domain: rules of crop and sensors.
        size: side of the square image, pixels.
        rng: stream of this image.
    """
    seen = camera.seen(posed.dressed)
    count = len(arm().canon) - len(arm().forearm)
    view = crop(camera, seen[:, :count], size, rng, domain)
    pixels = view.pixels(seen)
    coarse = rasterize(pixels, posed.person.faces, size)
    classes = np.zeros(len(posed.person.faces) + 1, np.uint8)  # the last is that of face -1
    classes[: len(arm().phalanges)] = arm().phalanges
    own = classes[coarse.ids]
    around = clear_view(scene.solids, view, posed.joints)
    for kept in (around, around.take(around.kind == PLANE)):
        solids = joined(kept, held)
        table = packed(view, solids, size)
        z, who = resolve(view, solids, table, coarse.ids, coarse.depth)
        person = who == PERSON
        phalanges = np.where(person, own, 0).astype(np.uint8)
        if np.count_nonzero(phalanges) >= LEAST_VISIBLE * np.count_nonzero(own):
            break
    light = shade(coarse, pixels, view, posed.person, table, world, z, who)
    rgb = sensors.develop(
        light,
        phalanges > 0,
        rng,
        exposure=domain.exposure,
        noise=domain.noise,
        white_balance=domain.white_balance,
    )
    fid = np.where(person, coarse.ids, -1).astype(np.int16)
    real = z / np.float32(SCALE)
    keypoints = project_joints(view, posed.joints, z, SCALE * DEPTH_OF_JOINT)
    keypoints[:, 2] /= SCALE
    return HandImage(
        rgb=rgb,
        depth=sense_depth(real, fid, coarse, posed, view, domain, scene, light, rng),
        z=np.where(np.isfinite(real), real, 0.0).astype(np.float32),
        phalanges=phalanges,
        keypoints=keypoints,
        held=float((who >= len(kept.kind)).mean()),
        camera=view,
    )
