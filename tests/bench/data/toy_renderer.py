"""A renderer for tests: tiny samples whose every value follows from (seed, domain, split, clip, row)."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.data.renderer import Arrays, Field


@dataclass(frozen=True)
class ToyRenderer:
    version: int = 1
    pause_s: float = 0.0  # per clip
    log: str = ""  # file that gets a line per rendered clip
    die_at: int = -1  # clip at which the process kills itself
    fail_at: int = -1  # clip at which the renderer raises

    def domains(self) -> tuple[str, ...]:
        return ("lab", "wild")

    def splits(self, domain: str) -> tuple[str, ...]:
        return ("train", "val", "test")

    def modalities(self, domain: str) -> tuple[str, ...]:
        return ("rgb", "depth", "kp2d") if domain == "lab" else ("rgb", "kp2d")

    def clip_shape(self, domain: str) -> tuple[int, int]:
        return (2, 3) if domain == "lab" else (1, 1)

    def clips(self, domain: str, split: str, samples: int) -> int:
        frames, cameras = self.clip_shape(domain)
        return -(-samples // (frames * cameras))

    def identity(self, domain: str, split: str, clip: int) -> int:
        block = self.domains().index(domain) * 3 + self.splits(domain).index(split)
        return block * 10_000 + (clip % 5 if domain == "lab" else clip)

    def fields(self, size: int) -> dict[str, Field]:
        return {
            "rgb": Field(dtype="uint8", shape=(size, size, 3)),
            "depth": Field(dtype="uint16", shape=(size, size)),
            "fid": Field(dtype="int16", shape=(size, size)),
            "uv": Field(dtype="uint8", shape=(size, size, 2)),
            "kp": Field(dtype="float32", shape=(24, 4)),
            "kp_det": Field(dtype="float32", shape=(24, 3)),
            "ids": Field(dtype="int64", shape=(4,)),
        }

    def warm_up(self) -> None:
        pass

    def render(self, domain: str, split: str, clip: int, *, size: int, seed: int) -> Arrays:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{os.getpid()} {domain} {split} {clip}\n")
        if clip == self.die_at:
            os.kill(os.getpid(), 9)
        if clip == self.fail_at:
            raise OSError(28, "No space left on device")
        time.sleep(self.pause_s)
        frames, cameras = self.clip_shape(domain)
        rows = frames * cameras
        key = hashlib.sha256(f"{seed} {domain} {split} {clip} {size}".encode()).digest()[:8]
        random = np.random.default_rng(int.from_bytes(key, "big"))
        fid = random.integers(-1, 13776, (rows, size, size)).astype(np.int16)
        fid[:, : size // 2] = -1
        where = random.uniform(-0.1 * size, 1.1 * size, (rows, 24, 2)).astype(np.float32)
        return {
            "rgb": random.integers(0, 256, (rows, size, size, 3)).astype(np.uint8),
            "depth": random.integers(0, 9501, (rows, size, size)).astype(np.uint16),
            "fid": fid,
            "uv": random.integers(0, 256, (rows, size, size, 2)).astype(np.uint8),
            "kp": np.concatenate([where, random.uniform(2, 4, (rows, 24, 2))], -1).astype(np.float32),
            "kp_det": np.concatenate([where, random.uniform(0.2, 1, (rows, 24, 1))], -1).astype(np.float32),
            "ids": np.array([[clip, f, c, seed] for f in range(frames) for c in range(cameras)], np.int64),
        }
