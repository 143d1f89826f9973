"""TODO: one line on what these data are. This skeleton draws block people in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from bench.api import DataInfo, Dataset, DataSpec, Field
from bench.dataset import Arrays, Progress
from bench.settings import Count

HEAD, CHEST, BELLY = 20, 19, 18  # three classes of `bench.bodymodels.surface.P25_NAMES`
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    brightness: Count = 200  # of the persons, 1..255


class Template(Dataset):
    """Persons of three blocks on noise, with body parts; each cluster is two images of one person."""

    Config = TemplateConfig

    @classmethod
    def prepare(
        cls, specs: Sequence[DataSpec], root: Path, jobs: int = 1, on_progress: Progress | None = None
    ) -> int:
        """Make what the data need below `root`; these need nothing. To cut a user's files, see `coco.py`."""
        return 0

    def __init__(self, spec: DataSpec, root: Path) -> None:
        self.cfg = TemplateConfig(**spec.config)
        self.rows = [(part.split, number) for part in spec.parts for number in range(part.samples)]
        self.info = DataInfo(n_samples=len(self.rows), size=spec.size, joint_set="")
        self.fields = {
            "rgb": Field(dtype="uint8", shape=(*spec.size, 3), kind="image"),
            "parts": Field(dtype="uint8", shape=spec.size, kind="classes", flip="p25"),
        }
        self.ids = [f"{split}/{number}" for split, number in self.rows]
        persons = {name: k for k, name in enumerate(sorted({(s, n // 2) for s, n in self.rows}))}
        self.clusters = np.array([persons[s, n // 2] for s, n in self.rows], np.int64)
        self.unit = "person"  # what a bootstrap draws as one
        self.valid = {m: np.full(len(self.rows), m == "rgb") for m in ("rgb", "depth", "kp2d")}
        self.sources = frozenset(f"TEMPLATE_NAME/{part.source}/{part.split}" for part in spec.parts)
        self.manifest_sha256 = f"{spec.version:064x}"  # names these data; a digest of annotations is usual

    def batch(self, rows: ArrayLike, fields: Sequence[str]) -> Arrays:
        rows = self.checked(rows, fields)
        drawn = [self._draw(*self.rows[row]) for row in rows]
        out: Arrays = {}
        for name in fields:
            field = self.fields[name]
            out[name] = np.empty((len(rows), *field.shape), field.dtype)
            for k, sample in enumerate(drawn):
                out[name][k] = sample[name]
        return {**out, "sample_id": rows, **{f"valid.{m}": has[rows] for m, has in self.valid.items()}}

    def _draw(self, split: str, number: int) -> Arrays:
        height, width = self.info.size
        rng = np.random.default_rng([SPLITS.index(split), number])
        rgb = rng.integers(0, 100, (height, width, 3), np.uint8)
        parts = np.zeros((height, width), np.uint8)
        left, wide = int(rng.integers(width // 4, width // 2)), max(2, width // 4)
        for part, top, bottom in ((HEAD, 0.1, 0.3), (CHEST, 0.3, 0.6), (BELLY, 0.6, 0.9)):
            block = np.s_[int(top * height) : int(bottom * height), left : left + wide]
            parts[block] = part
            rgb[block] = self.cfg.brightness - 2 * part
        return {"rgb": rgb, "parts": parts}
