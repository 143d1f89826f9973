"""Render the clips of a source of hands: the one entry point that the data set is built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from bench.bodymodels.hands import hand_joints
from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import matrix_to_axis_angle
from bench.errors import ConfigError
from bench.synth import materials
from bench.synth.camera import Camera, look_at
from bench.synth.clips import LARGEST
from bench.synth.cuts import SKIN, SLOTS
from bench.synth.domains import ClipIds
from bench.synth.hand_acts import Act, perform
from bench.synth.hand_domains import (
    SOURCES,
    HandSource,
    clip_class,
    clip_ids,
    samples_per_clip,
    source_named,
)
from bench.synth.hand_mesh import SCALE, arm, pose_arm, trunk
from bench.synth.hand_render import HandImage, render_hand
from bench.synth.hand_users import HandUser, draw_user, pose_trunk
from bench.synth.keypoints import VISIBLE
from bench.synth.materials import FREQUENCY, GRAIN_FREQUENCY
from bench.synth.raster import vertex_normals
from bench.synth.rng import Stream, generator
from bench.synth.scene import CAPSULE, PLANE, Scene, Solid, Solids, draw_scene, stack
from bench.synth.surface import Person, Posed, World, world_around

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Shape = Callable[[int], tuple[int, ...]]

MIDDLE = np.array([0.0, 1.2, 0.0])  # of the hand, drawn
MIRROR = np.array([1.0, -1.0, -1.0], np.float32)  # of axis-angle vectors
REACH = 1.6  # times that of the arm towards the camera is the least distance
ROOM = (1.0, 3.0)  # factor of the sizes of rooms, log-uniform; beside them a hand is smaller
NEXT_TO_ARM, TRIES = 0.75, 8  # cosine between elbow and camera, seen from the hand, that is avoided so often
ROLL_SD_DEG = 7.0
LOWEST_M, FREE_M = 0.15, 0.9  # drawn: of cameras above the floor, and around the hand without things
BEST_JOINTS, BEST_SHARE = 13, 0.01  # best views show so many joints, and so much of what is held

# Arrays of one sample: type, and shape as a function of the side of the image in pixels.
FIELDS: dict[str, tuple[DTypeLike, Shape]] = {
    "rgb": (np.uint8, lambda s: (s, s, 3)),  # display colours
    "depth": (np.uint16, lambda s: (s, s)),  # sensor depth in mm, 0 = none
    "phalanges": (np.uint8, lambda s: (s, s)),  # 1..16 = joint of `mano16`, 17 = forearm, 0 = all else
    "keypoints": (np.float32, lambda s: (21, 4)),  # x, y in pixels, depth in m, 0 outside, 1 hidden, 2 seen
    "joints3d": (np.float32, lambda s: (21, 3)),  # camera frame, metres
    "rotations": (np.float32, lambda s: (16, 3)),  # axis-angle, row 0 turns the hand to the camera
    "betas": (np.float32, lambda s: (10,)),
    "camera": (np.float32, lambda s: (3, 3)),  # intrinsics
    "ids": (np.int32, lambda s: (8,)),  # see `bench.synth.clips.IDS`; the class takes the place of the action
    "side": (np.uint8, lambda s: ()),  # 0 right, 1 left
    "best_view": (np.bool_, lambda s: ()),  # most joints can be seen, and what is held
}
# Only with `exact=True`.
EXACT_FIELDS: dict[str, tuple[DTypeLike, Shape]] = {
    "z": (np.float32, lambda s: (s, s)),  # exact depth of what is seen, metres, 0 = sky
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """A hand at one time, in the drawn world."""

    posed: Posed
    world: World
    root: Floats  # rotation of the hand, (3, 3)
    held: Solids


def render_clip(
    source: str, split: str, clip: int, *, size: int, seed: int, exact: bool = False
) -> dict[str, NDArray[Any]]:
    """Render all images of one clip: a pure function of its arguments, in any order and any process.

    Args:
        source: key of `SOURCES`.
        split: one of its splits.
        clip: number from 0 within the split.
        size: side of the images, pixels.
        seed: seed of the data set, >= 0.
        exact: add the arrays of `EXACT_FIELDS`.

    Returns:
        Arrays of `FIELDS`, each (n, ...) with n = frames x cameras, cameras innermost.

    Raises:
        ConfigError: unknown source, split or clip number, or a size outside 16..1024.
    """
    if not 16 <= size <= LARGEST:
        raise ConfigError(f"image size {size} is outside 16..{LARGEST} pixels")
    settings, ids, label = source_named(source), clip_ids(source, split, clip), clip_class(source, clip)
    domain = settings.domain
    user = draw_user(
        seed, ids.identity, domain.beta_limit_in(split), domain.patterns_in(split), domain.colourfulness
    )
    rng = generator(seed, Stream.HAND_CLIP, ids.clip)
    left = bool(rng.random() < 0.5) and settings.both_sides
    act = perform(settings, label, user, rng)
    azimuth = rng.uniform(-180, 180)
    scene, moments = _moments(settings, ids, user, act, azimuth, split, seed, rng)
    fields = {**FIELDS, **EXACT_FIELDS} if exact else FIELDS
    out = {
        name: np.empty((samples_per_clip(source), *shape(size)), dtype)
        for name, (dtype, shape) in fields.items()
    }
    out["betas"][:], out["side"][:] = user.betas, left
    cameras = [
        _place_camera(
            settings, act, azimuth, number, scene, moments, generator(seed, Stream.CAMERA, ids.clip, number)
        )
        for number in range(domain.cameras)
    ]
    row = 0
    for frame, moment in enumerate(moments):
        out["rotations"][row : row + domain.cameras] = matrix_to_axis_angle(act.rotations[frame])
        for number, camera in enumerate(cameras):
            picture = generator(seed, Stream.HAND_PICTURE, ids.clip, frame, number)
            image = render_hand(moment.posed, scene, moment.held, moment.world, camera, domain, size, picture)
            _store(out, row, image, moment)
            out["ids"][row] = (
                ids.identity, ids.scene, ids.clip, frame, number, label, domain.index, ids.identity
            )  # fmt: skip
            row += 1
    return mirrored(out) if left else out


def warm_up() -> None:
    """Load the tables and compile all kernels, so that worker processes find them."""
    for name, settings in SOURCES.items():
        render_clip(name, settings.domain.splits[0], 0, size=32, seed=0)


def mirrored(clip: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Turn pictures of right hands, with all that is known of them, into such of left hands."""
    out = dict(clip)
    size = clip["rgb"].shape[2]
    for name in ("rgb", "depth", "phalanges", "z"):
        if name in clip:
            out[name] = np.ascontiguousarray(clip[name][:, :, ::-1])
    out["keypoints"] = clip["keypoints"].copy()
    out["keypoints"][..., 0] = size - clip["keypoints"][..., 0]
    out["joints3d"] = clip["joints3d"] * np.array([-1, 1, 1], np.float32)
    out["rotations"] = clip["rotations"] * MIRROR
    out["camera"] = clip["camera"].copy()
    out["camera"][:, 0, 2] = size - clip["camera"][:, 0, 2]
    return out


def _store(out: dict[str, NDArray[Any]], row: int, image: HandImage, moment: Moment) -> None:
    for name in ("rgb", "depth", "phalanges", "keypoints"):
        out[name][row] = getattr(image, name)
    view = image.camera
    out["joints3d"][row] = view.seen(moment.posed.joints).T / SCALE
    out["rotations"][row, 0] = matrix_to_axis_angle(view.rotation @ moment.root)
    out["camera"][row] = [[view.focal, 0, view.cx], [0, view.focal, view.cy], [0, 0, 1]]
    shown = np.count_nonzero(image.keypoints[:, 3] == VISIBLE)
    out["best_view"][row] = shown >= BEST_JOINTS and image.held >= BEST_SHARE
    if "z" in out:
        out["z"][row] = image.z


def _axes(azimuth_deg: float) -> Floats:
    """Rotation from a viewer's axes (x right, y up, z towards the viewer) to the world, (3, 3)."""
    c, s = np.cos(np.radians(azimuth_deg)), np.sin(np.radians(azimuth_deg))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _moments(
    settings: HandSource, ids: ClipIds, user: HandUser, act: Act, azimuth: float, split: str, seed: int,
    rng: Generator,
) -> tuple[Scene, list[Moment]]:  # fmt: skip
    """Surroundings and hand at every frame."""
    domain = settings.domain
    lab = act.head is None and bool(generator(seed, Stream.SCENE, ids.scene, 1).random() < 0.5)
    scene = draw_scene(seed, ids.scene, ids.block, lab=lab, colourfulness=domain.colourfulness)
    # with a head behind, things are as large as they are; floor and walls are where they belong
    factor = SCALE if act.head is not None else float(np.exp(rng.uniform(*np.log(ROOM))))
    scene = _grown(scene, factor)
    skin = user.materials[SKIN, materials.FIRST : materials.FIRST + 3].astype(np.float64) ** (1 / 2.2)
    for _ in range(8):  # what is held in the colour of the skin could not be told from it
        cloth = materials.cloth(rng, domain.patterns_in(split), domain.colourfulness)
        if not materials.resembles(cloth, skin):
            break
    cloth[[materials.GLOSS, materials.BUMP]] = rng.uniform(0, 0.25), 0.05
    cloth[FREQUENCY] *= 0.4
    scene = replace(scene, materials=np.concatenate([scene.materials, cloth[None]]))
    axes, found = _axes(azimuth), []
    for turns in act.rotations:
        rotations = turns.copy()
        rotations[0] = axes @ turns[0]
        vertices, joints = pose_arm(user.shape, rotations, act.forearm)
        normals = vertex_normals(vertices, arm().faces)
        count = len(user.shape.hand)
        hand = vertices[:count]
        middle = (hand.min(0) + hand.max(0)) / 2

        def drawn(points: NDArray[np.floating], middle: Single = middle) -> Floats:
            found: Floats = SCALE * (points.astype(np.float64) - middle) + MIDDLE
            return found

        bare, shown = drawn(vertices), drawn(vertices + normals * user.offsets[:, None])
        faces, canon = arm().faces, arm().canon
        shadowed, shadowing = shown.astype(np.float32), faces
        if act.head is not None:
            behind = drawn(_trunk_behind(user, act, hand, middle, axes))
            faces = np.concatenate([faces, trunk().faces + len(canon)]).astype(np.int32)
            canon = np.concatenate([canon, trunk().canon])
            bare, shown = np.concatenate([bare, behind]), np.concatenate([shown, behind])
        dressed = shown.astype(np.float32)
        posed = Posed(
            vertices=bare.astype(np.float32),
            dressed=dressed,
            joints=drawn(hand_joints(hand, joints.astype(np.float32))),
            translation=MIDDLE - SCALE * middle,
            person=Person(faces=faces, normals=vertex_normals(dressed, faces), canon=canon, cuts=user.cuts),
        )
        number = SLOTS + len(scene.materials) - 1
        held: list[Solid] = []
        if act.held is not None:
            wrist = user.shape.joints[0]
            there = act.held.moved(rotations[0], wrist - rotations[0] @ wrist)
            there = there._replace(centres=drawn(there.centres), halves=SCALE * there.halves)
            held = there.solids(number)
        world = world_around(user.materials, scene, shadowed, shadowing)
        moment = Moment(posed=posed, world=world, root=rotations[0], held=stack(held))
        found.append(moment)
    return _cleared(scene), found


def _trunk_behind(user: HandUser, act: Act, hand: Single, middle: Single, axes: Floats) -> Floats:
    """Head and trunk whose mouth is where the act says, turned to the viewer; in the frame of `hand`."""
    assert act.head is not None
    vertices, mouth = pose_trunk(user, act.head.nod)
    start = hand[_index_tip()] if act.head.tip else middle
    turned = axes @ act.head.turn
    place: Floats = (vertices - mouth) @ turned.T + start + axes @ act.head.offset
    return place


def _index_tip() -> int:
    marks = surrogate_hand().landmarks
    assert marks is not None
    return marks["index tip"]


def _grown(scene: Scene, factor: float) -> Scene:
    """Enlarge the surroundings about the hand; patterns keep their looks."""
    solids, rows = scene.solids, scene.materials.copy()
    rows[:, [FREQUENCY, GRAIN_FREQUENCY]] /= factor
    rods = (solids.kind == CAPSULE)[:, None, None]  # the axis of a capsule is its length
    return replace(
        scene,
        materials=rows,
        solids=solids._replace(
            centre=MIDDLE + factor * (solids.centre - MIDDLE),
            axes=np.where(rods, factor * solids.axes, solids.axes),
            half=factor * solids.half,
            ball_centre=MIDDLE + factor * (solids.ball_centre - MIDDLE),
            ball_radius=factor * solids.ball_radius,
        ),
    )


def _cleared(scene: Scene) -> Scene:
    """Drop things where the hand is."""
    solids = scene.solids
    apart = np.linalg.norm(solids.ball_centre - MIDDLE, axis=1)
    return replace(scene, solids=solids.take((solids.kind == PLANE) | (apart > solids.ball_radius + FREE_M)))


def _place_camera(
    settings: HandSource, act: Act, azimuth: float, number: int, scene: Scene, moments: Sequence[Moment],
    rng: Generator,
) -> Camera:  # fmt: skip
    """Put a camera somewhere around the hand; it stays there for the whole clip."""
    near, far = settings.domain.distance_m
    arms = np.concatenate([m.posed.dressed[: len(arm().canon)] for m in moments]) - MIDDLE
    elbow = moments[0].posed.dressed[len(arm().canon) - 1] - MIDDLE
    elbow /= np.linalg.norm(elbow)
    towards = _direction(settings, act, azimuth, number, rng)
    for _ in range(TRIES):
        if elbow @ towards < NEXT_TO_ARM:
            break
        towards = _direction(settings, act, azimuth, number, rng)
    reach = float((arms @ towards).max())
    distance = max(SCALE * float(np.exp(rng.uniform(np.log(near), np.log(far)))), REACH * reach)
    target = MIDDLE + 0.05 * rng.normal(size=3)
    eye = target + distance * towards
    floors = scene.solids.take((scene.solids.kind == PLANE) & (scene.solids.axes[:, 0, 1] > 0.9))
    if len(floors.kind):
        eye[1] = max(eye[1], float(floors.centre[0, 1]) + LOWEST_M)
    return Camera(rotation=look_at(eye, target, np.radians(ROLL_SD_DEG * rng.normal())), eye=eye)


def _direction(settings: HandSource, act: Act, azimuth: float, number: int, rng: Generator) -> Floats:
    """Where a camera is, seen from the hand, unit, (3,)."""
    rig, normal, turn = settings.domain.rig_deg, rng.normal(size=2), rng.uniform(-180, 180)
    if act.egocentric:
        turn, elevation = 18 * normal[0], np.clip(45 + 14 * normal[1], 15, 75)
    elif settings.subject == "grasp":
        elevation = np.clip(20 + 18 * normal[1], -15, 70)
    else:
        turn, elevation = (rig[number] if rig else 0) + 8 * normal[0], np.clip(6 + 10 * normal[1], -20, 50)
    a, e = np.radians(azimuth + turn), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
