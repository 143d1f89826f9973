"""The embedded hands: rendered samples of the surrogate hand, with everything that is known about them.

What is drawn is a pure function of the seed and the name of a clip. Left hands are mirrored right hands. The
compiled renderer is loaded when something is drawn, so that planning stays quick.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.producer import Size, rows_per_clip
from bench.data.sharded import Read
from bench.dataset import Arrays, DataSpec, Field, Ints
from bench.datasets.people import Rendered, RenderedConfig
from bench.synth import hand_domains

HAND = "surrogate-hand-v1"
VERTICES, FOREARM = 778, 17  # of the hand; class of the forearm among the phalanges
JOINT_SET, ROTATION_SET = "hand21", "mano16"
CLASS = 5  # column of `ids`
LABELS = {"gesture": "gesture", "grasp": "grasp"}  # field of the class, by what hands do


@dataclass(frozen=True, slots=True, kw_only=True)
class HandRenderer:
    """Draws the hands; see `bench.data.producer.Producer` for the methods."""

    seed: int = 0

    @property
    def name(self) -> str:
        """Version and seed."""
        return f"hands-v{self.version}-seed{self.seed}"

    @property
    def version(self) -> int:
        """Version of the generator."""
        return hand_domains.GENERATOR_VERSION

    def sources(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(hand_domains.SOURCES)

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of a source."""
        return hand_domains.source_named(source).domain.splits

    def clip_shape(self, source: str) -> tuple[int, int]:
        """Frames and cameras of a clip."""
        domain = hand_domains.source_named(source).domain
        return domain.frames, domain.cameras

    def clips(self, source: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples."""
        return hand_domains.clip_count(source, split, samples)

    def cluster(self, source: str, split: str, clip: int) -> int:
        """User of a clip."""
        return hand_domains.clip_ids(source, split, clip).identity

    def fields(self, source: str, size: Size) -> dict[str, Field]:
        """Arrays of a sample."""
        joints, turned = 21, 16
        found = {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "depth": Field(dtype="uint16", shape=size, kind="depth"),
            "phalanges": Field(dtype="uint8", shape=size, kind="classes"),  # 1..16 = joint, 17 = forearm
            "keypoints": Field(dtype="float32", shape=(joints, 4), kind="joints2d", flip=JOINT_SET),
            "joints3d": Field(dtype="float32", shape=(joints, 3), kind="joints3d", flip=JOINT_SET),
            "rotations": Field(dtype="float32", shape=(turned, 3), kind="rotations", flip=ROTATION_SET),
            "betas": Field(dtype="float32", shape=(10,)),
            "camera": Field(dtype="float32", shape=(3, 3), kind="camera"),
            "ids": Field(dtype="int32", shape=(8,)),  # see `bench.synth.clips.IDS`; the action is the class
            "side": Field(dtype="uint8", shape=(), flip="sides"),  # 0 right, 1 left
        }
        if hand_domains.source_named(source).subject == "grasp":
            found["best_view"] = Field(dtype="bool", shape=())
        return found

    def warm_up(self) -> None:
        """Compile the renderer."""
        from bench.synth.hand_clips import warm_up

        warm_up()

    def produce(self, source: str, split: str, clip: int, size: Size) -> Arrays:
        """Arrays of one clip."""
        from bench.synth.hand_clips import render_clip

        drawn = render_clip(source, split, clip, size=size[0], seed=self.seed)
        return {name: drawn[name] for name in self.fields(source, size)}


class Hands(Rendered):
    """Rendered hands. Clusters are users, who never cross sources or splits; groups are clips."""

    joint_set = JOINT_SET
    unit = "user"

    def __init__(self, spec: DataSpec, root: Path) -> None:
        super().__init__(spec, root)
        producer = self._producer(spec)
        settings = [hand_domains.source_named(part.source) for part in spec.parts]
        groups, classes = [], []
        for part in spec.parts:
            each = rows_per_clip(producer, part.source)
            clips = producer.clips(part.source, part.split, part.samples)
            ids = [hand_domains.clip_ids(part.source, part.split, k).clip for k in range(clips)]
            labels = [hand_domains.clip_class(part.source, k) for k in range(clips)]
            groups.append(np.repeat(np.array(ids, np.int64), each)[: part.samples])
            classes.append(np.repeat(np.array(labels, np.int64), each)[: part.samples])
        self.groups = np.concatenate(groups)
        if settings[0].classes and len({each.subject for each in settings}) == 1:
            self.classes = np.concatenate(classes)
            self.info = replace(self.info, classes=settings[0].classes)

    @classmethod
    def producer(cls, config: RenderedConfig) -> HandRenderer:
        return HandRenderer(seed=config.seed)

    @classmethod
    def derived(cls, stored: Mapping[str, Field], source: str) -> Mapping[str, Field]:
        size = stored["phalanges"].shape
        found = {
            "mask": Field(dtype="bool", shape=size, kind="mask"),  # hand and forearm
            "hand_mask": Field(dtype="bool", shape=size, kind="mask"),
            "user": Field(dtype="int32", shape=()),
            "vertices": Field(dtype="float32", shape=(VERTICES, 3), kind="vertices", flip=HAND),
        }
        subject = hand_domains.source_named(source).subject
        if subject in LABELS:
            found[LABELS[subject]] = Field(dtype="uint8", shape=())
        return found

    def derive(self, name: str, read: Read) -> NDArray[Any]:
        """Make a field: masks of the phalanges, classes of the ids, vertices of pose and shape."""
        if name == "mask":
            return read("phalanges") > 0
        if name == "hand_mask":
            phalanges = read("phalanges")
            return (phalanges > 0) & (phalanges < FOREARM)
        if name == "user":
            return read("ids")[:, 0]
        if name in LABELS.values():
            return read("ids")[:, CLASS].astype(np.uint8)
        from bench.synth.hand_labels import vertices

        rows = [read(field) for field in ("rotations", "betas", "joints3d", "side")]
        hands = [vertices(*row) for row in zip(*rows, strict=True)]
        return np.stack(hands) if hands else np.empty((0, VERTICES, 3), np.float32)

    def pairs(self, kind: str) -> Ints:
        from bench.synth.pairs import cross_pose_pairs, cross_view_pairs

        ids = self.batch(np.arange(len(self)), ["ids"])["ids"]
        found = np.empty((0, 2), np.int64)
        if kind == "view":
            found = cross_view_pairs(ids)
        elif kind == "pose":
            domains = [settings.domain for settings in hand_domains.SOURCES.values()]
            found = cross_pose_pairs(ids, domains=domains)
        return found if len(found) else super().pairs(kind)

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        from bench.synth.hand_sheet import contact_sheet

        stream = io.BytesIO()
        contact_sheet(samples, columns=len(samples)).save(stream, format="PNG", optimize=False)
        return stream.getvalue()
