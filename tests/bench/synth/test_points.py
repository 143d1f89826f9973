from __future__ import annotations

import numpy as np

from bench.bodymodels.surface import DP24_NAMES, DP_COARSE, DP_COARSE_NAMES
from bench.synth.points import COARSE14, MAX_PER_PART, MAX_POINTS, annotate

RNG = np.random.default_rng(0)
CHART = np.where(RNG.random((3, 40, 30)) < 0.4, RNG.integers(0, 25, (3, 40, 30)), 0).astype(np.uint8)
CHART[2] = 0
CHART[1, :, :28] = 0
UV = RNG.integers(0, 256, (3, 40, 30, 2)).astype(np.uint8)
IDS = ["a/train/0", "a/train/1", "a/train/2"]


def test_points_read_the_maps_and_respect_the_limits() -> None:
    found = annotate(CHART, UV, IDS, 0)
    present = found["point_chart"] > 0
    assert present.sum(1).tolist() == [MAX_POINTS, np.count_nonzero(CHART[1]), 0]
    assert (np.diff(present.astype(int), axis=1) <= 0).all()  # absent ones come last
    for n in range(3):
        rows, columns = found["points"][n][present[n]].T
        np.testing.assert_array_equal(CHART[n, rows, columns], found["point_chart"][n][present[n]])
        np.testing.assert_array_equal(UV[n, rows, columns], found["point_uv"][n][present[n]])
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == present[n].sum()
        per_part = np.bincount(COARSE14[found["point_chart"][n]], minlength=15)[1:]
        assert per_part.max() <= MAX_PER_PART
    assert (found["points"][~present] == -1).all() and (found["point_uv"][~present] == 0).all()


def test_a_part_that_fills_the_picture_gives_fourteen_points() -> None:
    full = np.full((1, 40, 30), 2, np.uint8)
    found = annotate(full, UV[:1], IDS[:1], 0)
    assert (found["point_chart"] > 0).sum() == MAX_PER_PART


def test_a_draw_depends_on_seed_and_id_alone() -> None:
    whole = annotate(CHART, UV, IDS, 0)
    alone = annotate(CHART[:1], UV[:1], IDS[:1], 0)
    np.testing.assert_array_equal(whole["points"][0], alone["points"][0])
    for ids, seed in ((["b"], 0), (IDS[:1], 1)):
        assert (annotate(CHART[:1], UV[:1], ids, seed)["points"] != alone["points"]).any()


def test_coarse_parts_are_those_of_the_annotators() -> None:
    sides = [name.removesuffix(" back").removesuffix(" front") for name in DP24_NAMES]
    names = {part: {sides[c] for c in np.flatnonzero(part == COARSE14)} for part in range(1, 15)}
    order = "torso,right hand,left hand,left foot,right foot,right upper leg,left upper leg,right lower leg,"
    order += "left lower leg,left upper arm,right upper arm,left lower arm,right lower arm"
    assert [names[p] for p in range(1, 14)] == [{name} for name in order.split(",")]
    assert names[14] == {"right head", "left head"}
    for part in range(1, 15):  # refines the eight parts of the metric
        assert len({DP_COARSE_NAMES[DP_COARSE[c]] for c in np.flatnonzero(part == COARSE14)}) == 1
