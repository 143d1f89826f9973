"""The domains of the synthetic data: who is seen where by which camera, and what each split may contain.

Pretraining and downstream data differ as the papers' data do: other people, rooms, cameras and sensors. Three
of 19 actions, two of 9 cloth patterns and the outer bodies appear in downstream test splits alone. Identity,
scene and motion ids come from disjoint ranges per (domain, split) and key every random draw, so disjoint
ranges mean disjoint people, clothes, rooms and motions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.errors import ConfigError, nearest
from bench.synth.actions import ACTIONS, HELD_OUT

GENERATOR_VERSION = 3  # raise whenever a draw changes
SPLITS = ("pretrain", "train", "val", "test")
BLOCK = 2**23  # ids per (domain, split)

PATTERNS = ("plain", "stripes", "checks", "dots", "noise", "camouflage", "plaid", "bricks", "gradient")
HELD_OUT_PATTERNS = ("checks", "plaid")
SEEN_ACTIONS = tuple(name for name in ACTIONS if name not in HELD_OUT)
SEEN_PATTERNS = tuple(name for name in PATTERNS if name not in HELD_OUT_PATTERNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Parameters of one domain."""

    index: int  # stored in `ids`; never reuse one
    scene: Literal["lab", "wild"]
    splits: tuple[str, ...]
    modalities: tuple[str, ...]  # what a consumer may use; without "depth" that array is zero
    frames: int  # of a clip that are rendered
    frame_step_s: float  # time between them
    cameras: int  # per frame
    rig_deg: tuple[float, ...] = ()  # azimuths of fixed cameras, of which `cameras` are used; () = free
    identities: Mapping[str, int] = field(default_factory=dict)  # split -> people; absent = one per clip
    scenes: Mapping[str, int] = field(default_factory=dict)  # split -> rooms; absent = one per clip
    camera_height_m: tuple[float, float] | None = None  # None = any, around the height of the person
    distance_m: tuple[float, float] = (2.2, 7.0)  # log-uniform
    facing_sd_deg: float | None = None  # heading about the middle of the rig; None = uniform
    fill: tuple[float, float] = (0.94, 1.03)  # of the frame by the box of the silhouette
    truncation: float = 0.3  # share of images that lose a part of the body at the border
    occluders: float = 0.1  # share of images with something in front of the person
    sensor: Literal["structured", "tof", "per_scene"] = "per_scene"
    depth_masked: bool = False  # depth is kept on the person alone, by a rough mask
    detected_joints: bool = False  # `keypoints_detected` is as noisy as a detector
    actions: tuple[str, ...] = SEEN_ACTIONS
    beta_limit: float = 2.0  # standard deviations
    colourfulness: float = 1.0  # scales the saturation of clothes and scene
    exposure: tuple[float, float] = (0.20, 0.32)  # mean linear brightness
    noise: tuple[float, float] = (0.002, 0.012)  # sd of the colour noise, of full scale
    white_balance: float = 0.04  # sd of the gain of a colour channel

    def actions_in(self, split: str) -> tuple[str, ...]:
        """Actions that clips of a split are drawn from."""
        return (*self.actions, *HELD_OUT) if split == "test" else self.actions

    def patterns_in(self, split: str) -> tuple[str, ...]:
        """Cloth patterns of a split."""
        return PATTERNS if split == "test" else SEEN_PATTERNS

    def beta_limit_in(self, split: str) -> float:
        """Largest shape coefficient of a split, standard deviations."""
        return 1.3 * self.beta_limit if split == "test" else self.beta_limit


_LABELLED = ("train", "val", "test")
DOMAINS: dict[str, Domain] = {
    # stands for NTU RGB+D: three synchronised cameras, person-masked depth, detector-like joints
    "lab_rgbd": Domain(
        index=0, scene="lab", splits=("pretrain",), modalities=("rgb", "depth", "kp2d"),
        frames=4, frame_step_s=0.4, cameras=3, rig_deg=(-45.0, 0.0, 45.0),
        identities={"pretrain": 40}, scenes={"pretrain": 17}, camera_height_m=(1.3, 1.7),
        distance_m=(2.4, 4.8), facing_sd_deg=70.0, truncation=0.4, occluders=0.06,
        depth_masked=True, detected_joints=True,
    ),
    # stands for MPII and COCO: colour and joints of anybody anywhere
    "wild_rgb": Domain(
        index=1, scene="wild", splits=("pretrain",), modalities=("rgb", "kp2d"),
        frames=2, frame_step_s=0.6, cameras=2, truncation=0.5, occluders=0.2, detected_joints=True,
        colourfulness=1.15, exposure=(0.18, 0.34), white_balance=0.06,
    ),
    # stands for DensePose-COCO crops
    "d_dense": Domain(
        index=2, scene="wild", splits=_LABELLED, modalities=("rgb",),
        frames=1, frame_step_s=0.0, cameras=2, truncation=0.45, occluders=0.15,
        colourfulness=0.85, exposure=(0.14, 0.38), noise=(0.004, 0.02), white_balance=0.08,
    ),
    # stands for Human3.6M: few people and rooms, four fixed cameras around them. Not five people in one room
    # as there: small networks then carry nothing over to other people (mIoU 4 %, the background alone)
    "d_parse": Domain(
        index=3, scene="lab", splits=_LABELLED, modalities=("rgb",),
        frames=2, frame_step_s=0.9, cameras=2, rig_deg=(-135.0, -45.0, 45.0, 135.0),
        identities={"train": 24, "val": 8, "test": 16}, scenes={"train": 7, "val": 3, "test": 5},
        camera_height_m=(1.4, 1.9), distance_m=(3.5, 5.5), truncation=0.35, occluders=0.0,
        actions=tuple(name for name in SEEN_ACTIONS if name != "lie"), exposure=(0.18, 0.3),
    ),
    # stands for NTURGBD-Parsing-4K: as lab_rgbd with other rooms and people
    "d_parse_depth": Domain(
        index=4, scene="lab", splits=_LABELLED, modalities=("rgb", "depth"),
        frames=2, frame_step_s=0.9, cameras=2, rig_deg=(-45.0, 0.0, 45.0),
        identities={"train": 36, "val": 8, "test": 16}, scenes={"train": 7, "val": 3, "test": 5},
        camera_height_m=(1.2, 1.8), distance_m=(2.4, 5.2), facing_sd_deg=70.0, truncation=0.4,
        occluders=0.06, depth_masked=True, exposure=(0.16, 0.34),
    ),
    # stands for COCO and MPII key points: anybody anywhere, cut off and hidden as people in photographs are
    "d_pose": Domain(
        index=5, scene="wild", splits=_LABELLED, modalities=("rgb",),
        frames=1, frame_step_s=0.0, cameras=2, truncation=0.5, occluders=0.2,
        colourfulness=1.05, exposure=(0.14, 0.38), noise=(0.004, 0.02), white_balance=0.08,
    ),
    # stands for ITOP, side view: one depth camera at the height of the chest, the room left in the picture
    "d_pose_depth": Domain(
        index=6, scene="lab", splits=_LABELLED, modalities=("rgb", "depth"),
        frames=2, frame_step_s=0.9, cameras=1, rig_deg=(0.0,),
        identities={"train": 16, "val": 4, "test": 8}, scenes={"train": 7, "val": 3, "test": 5},
        camera_height_m=(1.1, 1.5), distance_m=(2.0, 4.0), facing_sd_deg=50.0, truncation=0.0,
        occluders=0.0, sensor="structured",
    ),
    # stands for COCO-EFT and 3DPW: bodies anywhere, most of them seen from the front, as in photographs; two
    # moments seen by two cameras, so that pairs exist
    "d_mesh": Domain(
        index=7, scene="wild", splits=_LABELLED, modalities=("rgb",),
        frames=2, frame_step_s=0.5, cameras=2, rig_deg=(-30.0, 30.0), facing_sd_deg=40.0,
        identities={"train": 300, "val": 40, "test": 60},
        truncation=0.2, occluders=0.1, exposure=(0.16, 0.36), white_balance=0.06,
    ),
    # stands for HUMBI and AIST: eight synchronised cameras around people in front of plain walls
    "studio_mv": Domain(
        index=8, scene="lab", splits=("pretrain",), modalities=("rgb", "kp2d"),
        frames=2, frame_step_s=0.8, cameras=8,
        rig_deg=(-180.0, -135.0, -90.0, -45.0, 0.0, 45.0, 90.0, 135.0),
        identities={"pretrain": 120}, scenes={"pretrain": 9}, camera_height_m=(1.2, 1.8),
        distance_m=(2.6, 4.5), truncation=0.2, occluders=0.0, detected_joints=True,
    ),
    # stands for 3DPW, PoseTrack and PennAction: clips of one moving camera
    "video_wild": Domain(
        index=9, scene="wild", splits=("pretrain",), modalities=("rgb", "kp2d"),
        frames=16, frame_step_s=0.1, cameras=1, identities={"pretrain": 200},
        truncation=0.3, occluders=0.1, detected_joints=True, white_balance=0.06,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIds:
    """Global ids of a clip; each keys its own random streams."""

    identity: int
    scene: int
    clip: int
    block: int  # number of the (domain, split) pair


def domain_named(name: str) -> Domain:
    """Look a domain up.

    Raises:
        ConfigError: unknown name.
    """
    if name not in DOMAINS:
        raise ConfigError(f'unknown synthetic domain "{name}".{nearest(name, DOMAINS)}')
    return DOMAINS[name]


def samples_per_clip(domain: str) -> int:
    """Images of one clip: frames times cameras."""
    return domain_named(domain).frames * domain_named(domain).cameras


def clip_count(domain: str, split: str, samples: int) -> int:
    """Clips needed for at least that many images of a split.

    Raises:
        ConfigError: unknown domain, a split it does not have, or more clips than it has ids for.
    """
    clips = -(-samples // samples_per_clip(domain))
    if clips:
        clip_ids(domain, split, clips - 1)
    return clips


def clip_ids(domain: str, split: str, clip: int) -> ClipIds:
    """Ids of clip number `clip` (from 0) of a split.

    People and rooms take turns, so any run of clips is balanced over them.

    Raises:
        ConfigError: unknown domain, a split it does not have, or a number outside 0..2**23 - 1.
    """
    settings = domain_named(domain)
    block = block_of("domain", domain, settings, split, clip)
    base = block * BLOCK
    return ClipIds(
        identity=base + clip % settings.identities.get(split, BLOCK),
        scene=base + clip % settings.scenes.get(split, BLOCK),
        clip=base + clip,
        block=block,
    )


def block_of(kind: str, name: str, settings: Domain, split: str, clip: int) -> int:
    """Number of the ids of a split, which begin at `BLOCK` times it; errors name the domain by kind and name.

    Raises:
        ConfigError: a split it does not have, or a number of a clip outside 0..2**23 - 1.
    """
    if split not in settings.splits:
        raise ConfigError(f'{kind} "{name}" has no split "{split}": it has {", ".join(settings.splits)}')
    if not 0 <= clip < BLOCK:
        raise ConfigError(f"clip {clip} of {name}/{split} is outside 0..{BLOCK - 1}")
    return settings.index * len(SPLITS) + SPLITS.index(split)
