"""The embedded people: rendered samples of the surrogate body, with everything that is known about them.

What is drawn is a pure function of the seed and the name of a clip. The compiled renderer is loaded when
something is drawn, so that planning stays quick.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bodymodels.joints import joint_set
from bench.data.producer import Size, clip_ids
from bench.data.sharded import Read, ShardedDataset
from bench.dataset import Arrays, DataSpec, Field, Ints
from bench.errors import ConfigError
from bench.synth import domains, points

BODY = "surrogate-v1"
VERTICES = 6890  # of it
JOINT_SET = "smpl24"
STORED = {
    "keypoints": "kp",
    "keypoints_detected": "keypoints_detected",
}  # under the renderer's names elsewhere
ABSENT_CLASS = 255
OTHER = "other_"  # what the second camera saw, for clips of two
IDENTITY, ACTION = 0, 5  # columns of `ids`
LOOK_UPS = {
    "parts": "part25",
    "chart": "chart24",
    "mask": "mask",
}  # by triangle number, of `bench.synth.labels`


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedConfig:
    """Settings of rendered data."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"data.config.seed: {self.seed} is not a whole number in 0..{2**31 - 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """Draws the people; see `bench.data.producer.Producer` for the methods. Sources are the domains."""

    seed: int = 0

    @property
    def name(self) -> str:
        """Version and seed."""
        return f"people-v{self.version}-seed{self.seed}"

    @property
    def version(self) -> int:
        """Version of the generator."""
        return domains.GENERATOR_VERSION

    def sources(self) -> tuple[str, ...]:
        """Names of the domains."""
        return tuple(domains.DOMAINS)

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of a domain."""
        return domains.domain_named(source).splits

    def clip_shape(self, source: str) -> tuple[int, int]:
        """Frames and cameras of a clip."""
        settings = domains.domain_named(source)
        return settings.frames, settings.cameras

    def clips(self, source: str, split: str, samples: int) -> int:
        """Clips that hold at least that many samples."""
        return domains.clip_count(source, split, samples)

    def cluster(self, source: str, split: str, clip: int) -> int:
        """Person of a clip."""
        return domains.clip_ids(source, split, clip).identity

    def fields(self, source: str, size: Size) -> dict[str, Field]:
        """Arrays of a sample, without depth and detected joints in domains that have none."""
        has, joints = domains.domain_named(source).modalities, len(joint_set(JOINT_SET))
        found = {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "depth": Field(dtype="uint16", shape=size, kind="depth"),
            "fid": Field(dtype="int16", shape=size),  # triangle of the body, -1 = background
            "uv": Field(dtype="uint8", shape=(*size, 2), kind="uv", of="chart"),
            "keypoints": Field(dtype="float32", shape=(joints, 4), kind="joints2d", flip=JOINT_SET),
            "keypoints_detected": Field(dtype="float32", shape=(joints, 3), kind="joints2d", flip=JOINT_SET),
            "pose": Field(dtype="float32", shape=(joints, 3)),  # local axis-angle; row 0: body to world
            "betas": Field(dtype="float32", shape=(10,)),
            "transl": Field(dtype="float32", shape=(3,)),  # of the posed body in the world, metres
            "cam": Field(dtype="float32", shape=(16,)),  # f, cx, cy, R (9), eye (3), f / full f
            "ids": Field(dtype="int32", shape=(8,)),  # see `bench.synth.clips.IDS`
            "points": Field(dtype="int16", shape=(points.MAX_POINTS, 2), kind="pixels", absent=-1),
            "point_chart": Field(
                dtype="uint8", shape=(points.MAX_POINTS,), kind="point_classes", flip="dp24", of="points"
            ),
            "point_uv": Field(dtype="uint8", shape=(points.MAX_POINTS, 2), kind="point_uv", of="points"),
        }
        lacking = {"depth": "depth", "keypoints_detected": "kp2d"}
        return {name: field for name, field in found.items() if lacking.get(name, "rgb") in has}

    def warm_up(self) -> None:
        """Compile the renderer."""
        from bench.synth.clips import warm_up

        warm_up()

    def produce(self, source: str, split: str, clip: int, size: Size) -> Arrays:
        """Arrays of one clip, with annotated points."""
        from bench.synth.clips import render_clip
        from bench.synth.labels import chart24

        drawn = render_clip(source, split, clip, size=size[0], seed=self.seed)
        names = clip_ids(self, source, split, clip)
        drawn |= points.annotate(chart24(drawn["fid"]), drawn["uv"], names, self.seed)
        return {name: drawn[STORED.get(name, name)] for name in self.fields(source, size)}


class Rendered(ShardedDataset):
    """Square images that follow from a seed."""

    Config = RenderedConfig

    @classmethod
    def check(cls, spec: DataSpec, root: Path | None = None) -> None:
        if spec.size[0] != spec.size[1]:
            raise ConfigError(
                f"data.size: {list(spec.size)} is not square, and {spec.name} are rendered in squares; "
                "choose equal height and width"
            )
        super().check(spec, root)


class RenderedBodies(Rendered):
    """Images of the surrogate body, whose label maps follow from the triangle at every pixel."""

    @classmethod
    def derived(cls, stored: Mapping[str, Field], source: str) -> Mapping[str, Field]:
        size = stored["fid"].shape
        return {
            "parts": Field(dtype="uint8", shape=size, kind="classes", flip="p25", absent=ABSENT_CLASS),
            "chart": Field(dtype="uint8", shape=size, kind="classes", flip="dp24"),
            "mask": Field(dtype="bool", shape=size, kind="mask"),
        }

    def derive(self, name: str, read: Read) -> NDArray[Any]:
        """Look classes up by triangle number."""
        from bench.synth import labels  # loads scipy, which planning does not need

        found: NDArray[Any] = getattr(labels, LOOK_UPS[name])(read("fid"))
        return found


class People(RenderedBodies):
    """Rendered people. Clusters are persons, who never cross domains or splits; groups are clips."""

    joint_set = JOINT_SET
    unit = "person"

    def __init__(self, spec: DataSpec, root: Path) -> None:
        super().__init__(spec, root)
        self.seed = RenderedConfig(**spec.config).seed

    @classmethod
    def producer(cls, config: RenderedConfig) -> Renderer:
        return Renderer(seed=config.seed)

    @classmethod
    def hidden(cls) -> Sequence[str]:
        return "fid", "pose", "transl", "cam"

    @classmethod
    def derived(cls, stored: Mapping[str, Field], source: str) -> Mapping[str, Field]:
        size = stored["fid"].shape
        joints = stored["pose"].shape
        labelled = super().derived(stored, source)
        beside: dict[str, Field] = {}
        if domains.domain_named(source).cameras == 2:  # the same moment as the other camera saw it
            beside = {
                "other_rgb": stored["rgb"],
                "other_chart": labelled["chart"],
                "other_uv": replace(stored["uv"], of="other_chart"),
            }
        return {
            **beside,
            **labelled,
            "garments": Field(
                dtype="uint8", shape=size, kind="classes", flip="garments20", absent=ABSENT_CLASS
            ),
            "camera": Field(dtype="float32", shape=(3, 3), kind="camera"),
            "action": Field(dtype="uint8", shape=()),  # position in `bench.synth.actions.ACTIONS`
            "joints3d": Field(dtype="float32", shape=joints, kind="joints3d", flip=JOINT_SET),
            "rotations": Field(dtype="float32", shape=joints, kind="rotations", flip=JOINT_SET),
            "vertices": Field(dtype="float32", shape=(VERTICES, 3), kind="vertices", flip=BODY),
        }

    def derive(self, name: str, read: Read) -> NDArray[Any]:
        """Make a field: classes by triangle number, geometry in the frame of the camera."""
        from bench.synth import labels  # loads scipy, which planning does not need

        if name in LOOK_UPS:
            return super().derive(name, read)
        if name == "other_chart":
            return labels.chart24(read("fid", other=True))
        if name.startswith(OTHER):
            return read(name.removeprefix(OTHER), other=True)
        if name == "garments":
            from bench.synth.garments import garments

            return garments(read("fid"), read("uv"), read("ids")[:, IDENTITY], self.seed)
        if name == "action":
            return read("ids")[:, ACTION].astype(np.uint8)
        camera = read("cam").astype(np.float64)
        if name == "camera":
            return _intrinsics(camera)
        if name == "joints3d":
            return _lifted(read("keypoints").astype(np.float64), camera)
        if name == "rotations":
            return _seen_rotations(read("pose"), camera)
        rows = {field: read(field) for field in ("pose", "betas", "transl", "cam")}
        bodies = [
            labels.vertices({field: values[k] for field, values in rows.items()}) for k in range(len(camera))
        ]
        return np.stack(bodies) if bodies else np.empty((0, VERTICES, 3), np.float32)

    def pairs(self, kind: str) -> Ints:
        from bench.synth.pairs import cross_pose_pairs, cross_view_pairs

        finders = {"view": cross_view_pairs, "pose": cross_pose_pairs}
        if kind in finders:
            found = finders[kind](self.batch(np.arange(len(self)), ["ids"])["ids"])
            if len(found):
                return found
        return super().pairs(kind)

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        from bench.synth.sheet import contact_sheet

        shown = []
        for sample in samples:
            nothing = np.zeros(sample["fid"].shape, np.uint16)
            shown.append({**sample, "depth": sample.get("depth", nothing), "kp": sample["keypoints"]})
        stream = io.BytesIO()
        contact_sheet(shown, columns=len(shown)).save(stream, format="PNG", optimize=False)
        return stream.getvalue()


def _intrinsics(camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Intrinsics (N, 3, 3) of `cam` arrays."""
    found = np.zeros((len(camera), 3, 3), np.float32)
    found[:, 0, 0] = found[:, 1, 1] = camera[:, 0]
    found[:, :2, 2] = camera[:, 1:3]
    found[:, 2, 2] = 1
    return found


def _lifted(keypoints: NDArray[np.float64], camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Joints (N, J, 3) in the frame of the camera, metres, from pixels and depth."""
    depth = keypoints[..., 2:3]
    rays = (keypoints[..., :2] - camera[:, None, 1:3]) / camera[:, None, :1]
    return np.concatenate([rays * depth, depth], -1).astype(np.float32)


def _seen_rotations(pose: NDArray[np.float32], camera: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rotations (N, J, 3) whose first one turns the body in the frame of the camera."""
    from bench.bodymodels.rotations import axis_angle_to_matrix, matrix_to_axis_angle

    out = pose.copy()
    view = camera[:, 3:12].reshape(-1, 3, 3)
    out[:, 0] = matrix_to_axis_angle(view @ axis_angle_to_matrix(pose[:, 0])).astype(np.float32)
    return out
