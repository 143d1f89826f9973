"""Five stored samples: the generator must go on drawing them. Run this file to store them anew.

Contract between machines: labels equal in all but 0.1 % of the pixels, colours within half a step on average.
Where a draw changes on purpose, raise `GENERATOR_VERSION` and store new samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.synth.clips import render_clip
from bench.synth.domains import DOMAINS, GENERATOR_VERSION

GOLDEN = Path(__file__).with_name("golden.npz")
SIZE, SEED, CLIP = 48, 2024, 7
EXACT = ("fid",)
CLOSE = {
    "kp": 0.02,
    "keypoints_detected": 0.02,
    "pose": 1e-4,
    "betas": 1e-6,
    "transl": 1e-4,
    "cam": 0.01,
    "ids": 0,
}


def draw() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"version": np.array(GENERATOR_VERSION)}
    for name, domain in DOMAINS.items():
        clip = render_clip(name, domain.splits[-1], CLIP, size=SIZE, seed=SEED)
        for field in ("rgb", "uv", *EXACT, *CLOSE):
            found[f"{name}.{field}"] = clip[field][-1]
    return found


def test_the_generator_draws_the_stored_samples():
    with np.load(GOLDEN) as archive:
        golden = dict(archive)
    assert golden["version"] == GENERATOR_VERSION, "a new version needs new golden samples: run this file"
    found = draw()
    for name in DOMAINS:
        same = found[f"{name}.fid"] == golden[f"{name}.fid"]
        assert same.mean() >= 0.999, name
        uv = np.abs(found[f"{name}.uv"].astype(int) - golden[f"{name}.uv"])
        assert (uv[same] <= 1).all(), name
        colour = np.abs(found[f"{name}.rgb"].astype(int) - golden[f"{name}.rgb"])
        assert colour.mean() < 0.5, name
        for field, tolerance in CLOSE.items():
            gap = np.abs(found[f"{name}.{field}"].astype(float) - golden[f"{name}.{field}"])
            assert gap.max() <= tolerance, (name, field)


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **draw())
