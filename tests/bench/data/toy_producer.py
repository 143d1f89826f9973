"""A producer for tests: tiny samples whose every value follows from (seed, source, split, clip, row)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.producer import Size
from bench.data.sharded import ShardedDataset
from bench.dataset import Arrays, DataSpec, Field

SIZE = (16, 20)


@dataclass(frozen=True)
class ToyProducer:
    version: int = 1
    seed: int = 0
    pause_s: float = 0.0  # per clip
    log: str = ""  # file that gets a line per clip
    die_at: int = -1  # clip at which the process kills itself
    fail_at: int = -1  # clip at which the producer raises

    @property
    def name(self) -> str:
        return f"toy-v{self.version}-seed{self.seed}"

    def sources(self) -> tuple[str, ...]:
        return ("lab", "wild")

    def splits(self, source: str) -> tuple[str, ...]:
        return ("train", "val", "test")

    def clip_shape(self, source: str) -> tuple[int, int]:
        return (2, 3) if source == "lab" else (1, 1)

    def clips(self, source: str, split: str, samples: int) -> int:
        frames, views = self.clip_shape(source)
        return -(-samples // (frames * views))

    def cluster(self, source: str, split: str, clip: int) -> int:
        block = self.sources().index(source) * 3 + self.splits(source).index(split)
        return block * 10_000 + (clip % 5 if source == "lab" else clip)

    def fields(self, source: str, size: Size) -> dict[str, Field]:
        found = {
            "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
            "faces": Field(dtype="int16", shape=size),
            "keypoints": Field(dtype="float32", shape=(17, 3), kind="joints2d", flip="coco17"),
            "ids": Field(dtype="int64", shape=(4,)),
        }
        if source == "lab":  # the other one has neither
            found["keypoints_detected"] = found["keypoints"]
            found["depth"] = Field(dtype="uint16", shape=size, kind="depth")
        return found

    def warm_up(self) -> None:
        pass

    def produce(self, source: str, split: str, clip: int, size: Size) -> Arrays:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{os.getpid()} {source} {split} {clip}\n")
        if clip == self.die_at:
            os.kill(os.getpid(), 9)
        if clip == self.fail_at:
            raise OSError(28, "No space left on device")
        time.sleep(self.pause_s)
        frames, views = self.clip_shape(source)
        rows = frames * views
        key = hashlib.sha256(f"{self.seed} {source} {split} {clip} {size}".encode()).digest()[:8]
        random = np.random.default_rng(int.from_bytes(key, "big"))
        made = {
            "rgb": random.integers(0, 256, (rows, *size, 3)).astype(np.uint8),
            "faces": random.integers(-1, 50, (rows, *size)).astype(np.int16),
            "keypoints": random.uniform(0, 16, (rows, 17, 3)).astype(np.float32),
            "ids": np.array([[clip, f, v, self.seed] for f in range(frames) for v in range(views)], np.int64),
            "keypoints_detected": random.uniform(0.2, 16, (rows, 17, 3)).astype(np.float32),
            "depth": random.integers(0, 9501, (rows, *size)).astype(np.uint16),
        }
        return {name: made[name] for name in self.fields(source, size)}


@dataclass(frozen=True, slots=True)
class Settings:
    seed: int = 0


class Toy(ShardedDataset):
    Config = Settings
    joint_set = "coco17"

    @classmethod
    def producer(cls, config: Settings) -> ToyProducer:
        return ToyProducer(seed=config.seed)

    @classmethod
    def hidden(cls) -> tuple[str, ...]:
        return ("faces",)

    @classmethod
    def derived(cls, stored: Mapping[str, Field], source: str) -> dict[str, Field]:
        shape = stored["faces"].shape
        return {
            "parts": Field(dtype="uint8", shape=shape, kind="classes", flip="p25", absent=255),
            "mask": Field(dtype="bool", shape=shape, kind="mask"),
        }

    def derive(self, name: str, read: Any) -> np.ndarray[Any, Any]:
        faces = read("faces")
        return faces >= 0 if name == "mask" else np.where(faces >= 0, faces % 24 + 1, 0).astype(np.uint8)


def toy_spec(
    *parts: tuple[Any, ...], size: Size = SIZE, seed: int = 0, version: int = 1, **more: Any
) -> dict[str, Any]:
    """Spec of (source, split, samples[, hidden fields])."""
    named = [dict(zip(("source", "split", "samples", "hide"), part, strict=False)) for part in parts]
    return {
        "name": "toy", "adapter": "toy_producer:Toy", "version": version, "config": {"seed": seed},
        "size": list(size), "parts": named, **more,
    }  # fmt: skip


def typed_spec(*parts: tuple[Any, ...], **options: Any) -> DataSpec:
    return DataSpec.of(toy_spec(*parts, **options))
