from __future__ import annotations

import numpy as np

from bench.synth.clips import render_clip
from bench.synth.sheet import contact_sheet, depth_tile


def test_a_sheet_shows_every_sample_in_every_row():
    clip = render_clip("lab_rgbd", "pretrain", 0, size=32, seed=0)
    samples = [{name: array[k] for name, array in clip.items()} for k in range(4)]
    sheet = contact_sheet(samples, columns=4)
    image = np.asarray(sheet)
    assert sheet.width == 4 * 33
    for k in range(4):
        tile = image[13 : 13 + 32, 33 * k : 33 * k + 32]
        assert np.array_equal(tile, samples[k]["rgb"])


def test_near_depth_is_yellow_far_depth_violet_and_missing_depth_black():
    depth = np.full((4, 4), 3000, np.uint16)
    depth[0], depth[1] = 0, 2000
    tile = depth_tile(depth)
    assert (tile[0] == 0).all()
    assert (tile[1] == (253, 231, 37)).all() and (np.abs(tile[2].astype(int) - (90, 20, 110)) < 2).all()
    assert not depth_tile(np.zeros((4, 4), np.uint16)).any()
