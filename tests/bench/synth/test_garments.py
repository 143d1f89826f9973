from __future__ import annotations

import numpy as np
import pytest
from numpy_kernels import slots_of

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import GARMENT_FLIP, GARMENT_NAMES, P25_FLIP, P25_NAMES, surrogate_labels
from bench.synth import cuts
from bench.synth.domains import SEEN_PATTERNS
from bench.synth.garments import garments, table
from bench.synth.identity import draw_identity, outfit_of

LABELS = surrogate_labels()
FACES = surrogate_body().faces
CENTRES = surrogate_body().v_template[FACES].mean(1)  # canonical


def centre_uv() -> np.ndarray:
    return np.rint(255 * LABELS.uv.mean(1)).astype(np.uint8)


def test_names_and_their_mirror_table() -> None:
    assert len(GARMENT_NAMES) == len(set(GARMENT_NAMES)) == 20
    for name, other in zip(GARMENT_NAMES, np.array(GARMENT_NAMES)[GARMENT_FLIP], strict=True):
        swap = {"left": "right", "right": "left"}
        side, _, rest = name.partition(" ")
        assert other == (f"{swap[side]} {rest}" if side in swap else name)


def test_the_other_side_of_the_body_has_the_mirrored_garment() -> None:
    np.testing.assert_array_equal(table()[:, P25_FLIP], GARMENT_FLIP[table()])
    assert not table()[:, 0].any() and (table()[:, 1:] > 0).all()


@pytest.mark.parametrize(
    ("slot", "part", "name"),
    [
        (cuts.SKIN, "left hand", "left arm"), (cuts.SKIN, "right calf", "right leg"),
        (cuts.SKIN, "head", "face and neck"), (cuts.TOP, "upper spine", "top"),
        (cuts.TOP, "left thigh", "top"), (cuts.TOP, "right forearm", "right sleeve"),
        (cuts.JACKET, "left arm", "left jacket sleeve"),
        (cuts.BOTTOM, "crotch", "trousers"), (cuts.BOTTOM, "left knee", "left trouser leg"),
        (cuts.SHOES, "right foot", "right shoe"), (cuts.ACCESSORY, "head", "hat"),
        (cuts.ACCESSORY, "left hand", "gloves"), (cuts.HAIR, "upper spine", "hair"),
    ],
)  # fmt: skip
def test_a_garment_on_a_part(slot: int, part: str, name: str) -> None:
    assert GARMENT_NAMES[table()[slot, P25_NAMES.index(part)]] == name


def test_clothes_are_those_of_the_rendered_person() -> None:
    for number in (5, 6, 7):
        worn = draw_identity(3, number, 2.0, SEEN_PATTERNS, 1.0).outfit
        np.testing.assert_array_equal(outfit_of(3, number).cuts, worn.cuts)


def test_pixels_of_two_people_wear_their_own_clothes() -> None:
    fid = np.arange(len(FACES), dtype=np.int16)[None, :, None].repeat(2, 0)  # both show every face
    fid = np.concatenate([fid, np.full((2, 3, 1), -1, np.int16)], 1)
    uv = np.zeros((2, len(FACES) + 3, 1, 2), np.uint8)
    uv[:, : len(FACES), 0] = centre_uv()
    found = garments(fid, uv, np.array([11, 5]), 0)
    assert found.dtype == np.uint8 and not found[:, len(FACES) :].any()
    for row, who in enumerate((11, 5)):
        slots = slots_of(outfit_of(0, who).cuts, CENTRES)  # another way, at the middle of each face
        expected = table()[slots, LABELS.p25]
        agree = found[row, : len(FACES), 0] == expected
        assert agree.mean() > 0.97  # at seams rounded coordinates decide
    assert (found[0] != found[1]).any()
