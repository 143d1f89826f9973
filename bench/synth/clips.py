"""Render the clips of a domain: the one entry point that data sets are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import matrix_to_axis_angle
from bench.errors import ConfigError
from bench.synth.actions import ACTIONS
from bench.synth.angles import JOINTS
from bench.synth.camera import Camera, place_camera
from bench.synth.domains import DOMAINS, ClipIds, Domain, clip_ids, domain_named, samples_per_clip
from bench.synth.identity import Identity, draw_identity
from bench.synth.motion import Motion, draw_motion
from bench.synth.render import Image, render_picture
from bench.synth.rng import Stream, generator
from bench.synth.scene import Scene, draw_scene
from bench.synth.surface import light_world, pose_frame

Shape = Callable[[int], tuple[int, ...]]
LARGEST = 1024  # pixels

IDS = ("identity", "scene", "clip", "frame", "camera", "action", "domain", "cluster")  # columns of `ids`

# Arrays of one sample: type, and shape as a function of the side of the image in pixels.
FIELDS: dict[str, tuple[DTypeLike, Shape]] = {
    "rgb": (np.uint8, lambda s: (s, s, 3)),  # display colours
    "depth": (np.uint16, lambda s: (s, s)),  # sensor depth in mm, 0 = none; all 0 in domains without depth
    "fid": (np.int16, lambda s: (s, s)),  # triangle of the body model, -1 = background
    "uv": (np.uint8, lambda s: (s, s, 2)),  # chart coordinates in 1/255
    "kp": (np.float32, lambda s: (24, 4)),  # x, y in pixels, depth in m, 0 outside / 1 hidden / 2 visible
    "keypoints_detected": (
        np.float32,
        lambda s: (24, 3),
    ),  # x, y, confidence, as from a detector in pretraining domains
    "pose": (np.float32, lambda s: (24, 3)),  # local axis-angle in radians; row 0 turns the body in the world
    "betas": (np.float32, lambda s: (10,)),
    "transl": (np.float32, lambda s: (3,)),  # world = body model posed by pose and betas + transl, metres
    "cam": (np.float32, lambda s: (16,)),  # f, cx, cy in pixels, R (9) row by row, eye (3) in m, f / full f
    "ids": (np.int32, lambda s: (8,)),  # see `IDS`
}
# Only with `exact=True`.
EXACT_FIELDS: dict[str, tuple[DTypeLike, Shape]] = {
    "z": (np.float32, lambda s: (s, s)),  # exact depth of what is seen, metres, 0 = sky
}


def render_clip(
    domain: str, split: str, clip: int, *, size: int, seed: int, exact: bool = False
) -> dict[str, NDArray[Any]]:
    """Render all images of one clip: a pure function of its arguments, in any order and any process.

    Args:
        domain: key of `DOMAINS`.
        split: one of the splits of the domain.
        clip: number from 0 within the split.
        size: side of the images, pixels.
        seed: seed of the data set, >= 0.
        exact: add the arrays of `EXACT_FIELDS`.

    Returns:
        Arrays of `FIELDS`, each (n, ...) with n = frames x cameras, cameras innermost.

    Raises:
        ConfigError: unknown domain, split or clip number, or a size outside 16..1024.
    """
    if not 16 <= size <= LARGEST:
        raise ConfigError(f"image size {size} is outside 16..{LARGEST} pixels")
    settings, ids = domain_named(domain), clip_ids(domain, split, clip)
    identity, scene = draw_still(settings, split, ids, seed)
    action, motion = draw_action(settings, split, ids, seed, identity, scene)
    cameras = _place_cameras(settings, ids, seed, scene, motion)
    fields = {**FIELDS, **EXACT_FIELDS} if exact else FIELDS
    count = samples_per_clip(domain)
    out = {name: np.empty((count, *shape(size)), dtype) for name, (dtype, shape) in fields.items()}
    out["pose"][:] = np.repeat(matrix_to_axis_angle(motion.rotations), settings.cameras, 0)
    out["betas"][:] = identity.betas
    row = 0
    for frame in range(settings.frames):
        posed = pose_frame(identity, motion, frame)
        world = light_world(identity, scene, posed)
        for number, camera in cameras:
            rng = generator(seed, Stream.PICTURE, ids.clip, frame, number)
            image = render_picture(posed, scene, world, camera, settings, size, rng)
            _store(out, row, image)
            who = (ids.identity, ids.scene, ids.clip, frame, number, action, settings.index, ids.identity)
            out["transl"][row], out["ids"][row] = posed.translation, who
            row += 1
    return out


def warm_up() -> None:
    """Load the tables and compile all kernels, so that forked workers inherit or find them."""
    for name, settings in DOMAINS.items():
        if "depth" in settings.modalities:
            render_clip(name, settings.splits[0], 0, size=32, seed=0)
            return


def _store(out: dict[str, NDArray[Any]], row: int, image: Image) -> None:
    for name in ("rgb", "depth", "fid", "uv", "kp", "keypoints_detected"):
        out[name][row] = getattr(image, name)
    out["cam"][row] = image.camera.record()
    if "z" in out:
        out["z"][row] = image.z


def draw_still(settings: Domain, split: str, ids: ClipIds, seed: int) -> tuple[Identity, Scene]:
    """Person and surroundings of a clip."""
    identity = draw_identity(
        seed,
        ids.identity,
        settings.beta_limit_in(split),
        settings.patterns_in(split),
        settings.colourfulness,
    )
    lab = settings.scene == "lab"
    return identity, draw_scene(seed, ids.scene, ids.block, lab=lab, colourfulness=settings.colourfulness)


def draw_action(
    settings: Domain, split: str, ids: ClipIds, seed: int, identity: Identity, scene: Scene
) -> tuple[int, Motion]:
    """Number of the action and the motion of a clip."""
    rng = generator(seed, Stream.MOTION, ids.clip)
    names = settings.actions_in(split)
    shares = np.array([ACTIONS[name].share for name in names])
    name = names[rng.choice(len(names), p=shares / shares.sum())]
    if settings.facing_sd_deg is None:
        heading = rng.uniform(-180, 180)
    else:
        heading = scene.rig_turn_deg + settings.facing_sd_deg * rng.normal()
    motion = draw_motion(
        name,
        rng,
        identity.joints,
        surrogate_body().parents,
        times_s=settings.frame_step_s * np.arange(settings.frames, dtype=np.float64),
        heading_rad=float(np.radians(heading)),
    )
    return list(ACTIONS).index(name), motion


def _place_cameras(
    settings: Domain, ids: ClipIds, seed: int, scene: Scene, motion: Motion
) -> list[tuple[int, Camera]]:
    """Numbers and cameras of a clip; those of a rig stay where they are for all clips of a room."""
    if not settings.rig_deg:
        middle = motion.joints[:, JOINTS["pelvis"]].mean(0)
        lowest = motion.joints[..., 1].min(1).mean()
        centre = np.array([0.0, middle[1] - lowest, 0.0])
        return [
            (k, place_camera(settings, scene, generator(seed, Stream.CAMERA, ids.clip, k), None, centre))
            for k in range(settings.cameras)
        ]
    chosen = generator(seed, Stream.CAMERA, ids.clip).permutation(len(settings.rig_deg))[: settings.cameras]
    return [
        (
            int(k),
            place_camera(
                settings,
                scene,
                generator(seed, Stream.CAMERA, ids.scene, int(k)),
                settings.rig_deg[k],
                np.zeros(3),
            ),
        )
        for k in sorted(chosen)
    ]
