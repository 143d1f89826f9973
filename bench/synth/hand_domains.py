"""The sources of the hand data: whose hands do what in front of which cameras, and what splits may contain.

Ids are those of `bench.synth.domains`: from disjoint ranges per (source, split), also disjoint from the
people's, and they key every random draw. Users of one split appear in no other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.errors import ConfigError, nearest
from bench.synth.domains import BLOCK, ClipIds, Domain, block_of

GENERATOR_VERSION = 1  # raise whenever a draw changes
CLASSES = {"free": 0, "gesture": 18, "grasp": 33}  # of whole samples, by what hands do
STRIDE = 11  # users between two neighbouring classes
ROTATION = 13  # classes that a round begins after the one before; found to suit strides of 2 to 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HandSource:
    """Parameters of one source. `domain.distance_m` is that of hands, in real metres."""

    domain: Domain
    subject: Literal["free", "gesture", "grasp"]  # what the hand does
    both_sides: bool = True  # half of the clips show left hands; otherwise all are right hands
    objects: float = 0.0  # share of free clips with something in the hand
    heads: float = 0.0  # share of clips with the user's head behind the hand
    egocentric: float = 0.0  # share of pictures taken from the user's own head or chest
    facing: float = 1.0  # share of free clips seen as gestures are; the others from anywhere

    @property
    def classes(self) -> int:
        """Classes of whole samples, 0 = none."""
        return CLASSES[self.subject]


_LABELLED = ("train", "val", "test")
SOURCES: dict[str, HandSource] = {
    # stands for InterHand2.6M and HanCo: synchronised cameras around moving hands
    "lab_hands": HandSource(
        subject="free", objects=0.1, facing=0.35,
        domain=Domain(
            index=50, scene="lab", splits=("pretrain",), modalities=("rgb", "depth"),
            frames=4, frame_step_s=0.3, cameras=4, rig_deg=(-75.0, -25.0, 25.0, 75.0),
            identities={"pretrain": 32}, scenes={"pretrain": 17}, distance_m=(0.45, 0.9),
            fill=(0.66, 0.95), truncation=0.1, occluders=0.0,
        ),
    ),
    # stands for FreiHAND and HanCo: right hands, with and without objects, two cameras
    "d_hand": HandSource(
        subject="free", both_sides=False, objects=0.3, facing=0.5,
        domain=Domain(
            index=51, scene="wild", splits=_LABELLED, modalities=("rgb", "depth"),
            frames=1, frame_step_s=0.0, cameras=2, rig_deg=(-30.0, 30.0),
            identities={"train": 32, "val": 8, "test": 16}, distance_m=(0.4, 0.8),
            fill=(0.7, 0.95), truncation=0.0, occluders=0.0, exposure=(0.16, 0.36), white_balance=0.06,
        ),
    ),
    # stands for HaGRID: one picture of somebody who shows a gesture to the camera
    "d_gesture": HandSource(
        subject="gesture", heads=0.25,
        domain=Domain(
            index=52, scene="wild", splits=_LABELLED, modalities=("rgb", "depth"),
            frames=1, frame_step_s=0.0, cameras=1,
            identities={"train": 200, "val": 40, "test": 60}, distance_m=(0.45, 1.0),
            fill=(0.68, 0.95), truncation=0.0, occluders=0.0,
            exposure=(0.14, 0.38), noise=(0.004, 0.02), white_balance=0.08,
        ),
    ),
    # stands for GUN-71: everyday grasps, mostly as those who grasp see them
    "d_grasp": HandSource(
        subject="grasp", egocentric=0.6,
        domain=Domain(
            index=53, scene="lab", splits=_LABELLED, modalities=("rgb", "depth"),
            frames=1, frame_step_s=0.0, cameras=1,
            identities={"train": 5, "val": 1, "test": 2}, distance_m=(0.4, 0.7),
            fill=(0.62, 0.9), truncation=0.0, occluders=0.0, exposure=(0.16, 0.36), white_balance=0.05,
        ),
    ),
}  # fmt: skip


def source_named(name: str) -> HandSource:
    """Look a source up.

    Raises:
        ConfigError: unknown name.
    """
    if name not in SOURCES:
        raise ConfigError(f'unknown source of hands "{name}".{nearest(name, SOURCES)}')
    return SOURCES[name]


def samples_per_clip(source: str) -> int:
    """Images of one clip: frames times cameras."""
    domain = source_named(source).domain
    return domain.frames * domain.cameras


def clip_count(source: str, split: str, samples: int) -> int:
    """Clips needed for at least that many images of a split.

    Raises:
        ConfigError: unknown source, a split it does not have, or more clips than it has ids for.
    """
    clips = -(-samples // samples_per_clip(source))
    if clips:
        clip_ids(source, split, clips - 1)
    return clips


def clip_class(source: str, clip: int) -> int:
    """Gesture or grasp of a clip, -1 = none.

    Classes take turns in rounds, so that any run of clips is balanced. Each round begins with another class:
    else every tenth clip, as a label share takes them, would show only half of the gestures.
    """
    classes = source_named(source).classes
    return (clip + ROTATION * (clip // classes)) % classes if classes else -1


def clip_ids(source: str, split: str, clip: int) -> ClipIds:
    """Ids of clip number `clip` (from 0) of a split.

    Users take turns within each class: the samples of a class are of all users alike, and after as many
    rounds through the classes as there are users, everyone has shown every class once.

    Raises:
        ConfigError: unknown source, a split it does not have, or a number outside 0..2**23 - 1.
    """
    settings = source_named(source)
    domain = settings.domain
    block = block_of("source", source, domain, split, clip)
    base = block * BLOCK
    turn = clip
    if settings.classes:
        turn = clip // settings.classes + STRIDE * clip_class(source, clip)
    return ClipIds(
        identity=base + turn % domain.identities.get(split, BLOCK),
        scene=base + clip % domain.scenes.get(split, BLOCK),
        clip=base + clip,
        block=block,
    )
