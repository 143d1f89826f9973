"""Pictures of one to three embedded people, with what is known about everybody who can be seen.

What is drawn is a pure function of the seed and the number of a picture. The compiled renderer is loaded when
something is drawn, so that planning stays quick.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.producer import Size, clip_ids
from bench.dataset import Arrays, Field
from bench.datasets.people import RenderedBodies, RenderedConfig
from bench.synth import points

VERSION = 1  # of the generator, `bench.synth.groups.GENERATOR_VERSION`
SPLITS = {"d_scenes": ("train", "val", "test")}  # of the sources
MOST = 3  # people in a picture
POINTS = MOST * points.MAX_POINTS  # 100 of everybody in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRenderer:
    """Draws the pictures; see `bench.data.producer.Producer` for the methods. A clip is one picture."""

    seed: int = 0

    @property
    def name(self) -> str:
        """Version and seed."""
        return f"scenes-v{VERSION}-seed{self.seed}"

    @property
    def version(self) -> int:
        """Version of the generator."""
        return VERSION

    def sources(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(SPLITS)

    def splits(self, source: str) -> tuple[str, ...]:
        """Splits of a source."""
        return SPLITS[source]

    def clip_shape(self, source: str) -> tuple[int, int]:
        """One frame, one camera."""
        return 1, 1

    def clips(self, source: str, split: str, samples: int) -> int:
        """As many as there are samples."""
        if samples:
            self.cluster(source, split, samples - 1)
        return samples

    def cluster(self, source: str, split: str, clip: int) -> int:
        """The picture, by the id of its first person."""
        from bench.synth.groups import first_id

        return first_id(source, split, clip)

    def fields(self, source: str, size: Size) -> dict[str, Field]:
        """Arrays of a sample. Points k * 100 to k * 100 + 99 are those of person k + 1."""
        return {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "fid": Field(dtype="int16", shape=size),  # triangle of the body, -1 = background
            "uv": Field(dtype="uint8", shape=(*size, 2), kind="uv", of="chart"),
            "person": Field(dtype="uint8", shape=size, kind="classes"),  # 1..3, 0 = nobody
            "boxes": Field(dtype="float32", shape=(MOST, 4), kind="boxes"),  # of persons 1..3
            "points": Field(dtype="int16", shape=(POINTS, 2), kind="pixels", absent=-1),
            "point_chart": Field(
                dtype="uint8", shape=(POINTS,), kind="point_classes", flip="dp24", of="points"
            ),
            "point_uv": Field(dtype="uint8", shape=(POINTS, 2), kind="point_uv", of="points"),
        }

    def warm_up(self) -> None:
        """Compile the renderer."""
        from bench.synth.groups import render_group

        render_group("d_scenes", "train", 0, size=32, seed=0)

    def produce(self, source: str, split: str, clip: int, size: Size) -> Arrays:
        """Arrays of one picture, with annotated points."""
        from bench.synth.groups import render_group
        from bench.synth.labels import chart24

        drawn = render_group(source, split, clip, size=size[0], seed=self.seed)
        (name,) = clip_ids(self, source, split, clip)
        numbers = np.arange(1, MOST + 1)
        own = drawn["person"] == numbers[:, None, None]  # (3, H, W)
        marked = points.annotate(
            chart24(drawn["fid"]) * own,
            np.broadcast_to(drawn["uv"], (MOST, *drawn["uv"].shape)),
            [f"{name}#{k}" for k in numbers.tolist()],
            self.seed,
        )
        drawn |= {key: values.reshape(POINTS, *values.shape[2:]) for key, values in marked.items()}
        return {key: drawn[key][None] for key in self.fields(source, size)}


class PeopleScenes(RenderedBodies):
    """Rendered pictures. Clusters are pictures; their people appear in no other one."""

    unit = "picture"

    @classmethod
    def producer(cls, config: RenderedConfig) -> GroupRenderer:
        return GroupRenderer(seed=config.seed)

    @classmethod
    def hidden(cls) -> Sequence[str]:
        return ("fid",)

    @classmethod
    def draw(cls, samples: Sequence[Arrays]) -> bytes:
        from PIL import Image

        from bench.palette import CLASS_COLOURS
        from bench.synth.sheet import iuv_tile

        rows = [
            [sample["rgb"] for sample in samples],
            [CLASS_COLOURS[sample["person"]] for sample in samples],
            [iuv_tile(sample) for sample in samples],
        ]
        stream = io.BytesIO()
        sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
        Image.fromarray(sheet).save(stream, format="PNG", optimize=False)
        return stream.getvalue()
