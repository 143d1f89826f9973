from __future__ import annotations

import numpy as np
import numpy_kernels
import pytest
from numpy_kernels import slots_of

from bench.bodymodels.model import surrogate_body
from bench.synth import cuts
from bench.synth.clothes import draw_outfit, landmarks, stand_off
from bench.synth.clothes_numba import slot_of
from bench.synth.domains import PATTERNS, SEEN_PATTERNS
from bench.synth.identity import draw_identity
from bench.synth.materials import FIRST, PATTERN

POINTS = surrogate_body().v_template


@pytest.fixture(scope="module")
def outfits():
    return [draw_outfit(np.random.default_rng(seed)) for seed in range(60)]


def test_landmarks_are_those_of_the_body():
    at = landmarks()
    assert 0.1 < at.shoulder_x < at.elbow_x < at.wrist_x < 0.8
    assert at.ankle_y < at.knee_y < at.hip_y < 0 < at.neck_y < at.eye[1] and at.eye[2] > 0


def test_compiled_rule_equals_numpy_rule(outfits):
    for outfit in outfits[:12]:
        slots = slots_of(outfit.cuts, POINTS)
        rows = np.arange(0, len(POINTS), 17)
        compiled = [slot_of(outfit.cuts, *map(float, POINTS[row])) for row in rows]
        assert np.array_equal(compiled, slots[rows])
        assert np.array_equal(stand_off(outfit, POINTS), numpy_kernels.stand_off(outfit, POINTS))


def test_trunk_and_hips_are_always_covered(outfits):
    x, y, _ = np.abs(POINTS).T
    y = POINTS[:, 1]
    at = landmarks()
    trunk = (x < at.shoulder_x - 0.06) & (y > at.hip_y - 0.13) & (y < at.neck_y - 0.25)
    assert trunk.sum() > 300
    for outfit in outfits:
        assert (slots_of(outfit.cuts, POINTS)[trunk] != cuts.SKIN).all()


def test_every_slot_is_worn_by_somebody_and_is_thin(outfits):
    slots = np.array([np.bincount(slots_of(o.cuts, POINTS), minlength=7) > 0 for o in outfits])
    assert slots.any(0).all() and slots[:, cuts.SKIN].all()
    offsets = np.stack([stand_off(o, POINTS) for o in outfits])
    assert offsets.min() >= 0 and offsets.max() < 0.04 and 0.002 < offsets.mean() < 0.008


def test_cloth_differs_from_skin_and_uses_allowed_patterns():
    close, kinds = 0, set()
    for number in range(60):
        person = draw_identity(3, number, 2.0, SEEN_PATTERNS, 1.0)
        kinds |= set(person.materials[:, PATTERN].astype(int).tolist())
        skin = person.materials[cuts.SKIN, FIRST : FIRST + 3]
        for slot in (cuts.TOP, cuts.BOTTOM):
            close += np.abs(person.materials[slot, FIRST : FIRST + 3] - skin).max() < 0.03
        assert np.abs(person.betas).max() <= 2.0
    assert {PATTERNS[k] for k in kinds} <= set(SEEN_PATTERNS) and len(kinds) >= 6
    assert close <= 2
