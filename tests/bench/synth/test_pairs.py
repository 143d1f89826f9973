from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.errors import DataError
from bench.synth.clips import IDS
from bench.synth.domains import DOMAINS
from bench.synth.pairs import cross_pose_pairs, cross_view_pairs

LAB = DOMAINS["lab_rgbd"]


def rows(clips: int = 5) -> np.ndarray:
    grid = itertools.product(range(clips), range(LAB.frames), range(LAB.cameras))
    table = np.zeros((clips * LAB.frames * LAB.cameras, len(IDS)), np.int32)
    for row, (clip, frame, camera) in zip(table, grid, strict=True):
        row[:] = (clip % 2, 0, clip, frame, camera, 0, LAB.index, clip % 2)
    return np.random.default_rng(0).permutation(table)


def brute_force(ids, same, differs):
    column = {name: IDS.index(name) for name in IDS}
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(ids)), 2)
        if all(ids[i, column[k]] == ids[j, column[k]] for k in same)
        and ids[i, column[differs]] != ids[j, column[differs]]
    }


def test_pairs_agree_with_brute_force():
    ids = rows()
    views = cross_view_pairs(ids)
    assert set(map(tuple, views.tolist())) == brute_force(ids, ("clip", "frame"), "camera")
    poses = cross_pose_pairs(ids)
    assert set(map(tuple, poses.tolist())) == brute_force(ids, ("clip", "camera"), "frame")
    assert (views[:, 0] < views[:, 1]).all() and len(np.unique(poses, axis=0)) == len(poses)


def test_gaps_are_respected():
    ids = rows()
    frame = IDS.index("frame")
    for i, j in cross_pose_pairs(ids, gap_s=(0.7, 0.9)):
        assert abs(int(ids[i, frame]) - int(ids[j, frame])) == 2  # frames are 0.4 s apart


def test_no_pairs_without_partners():
    assert cross_view_pairs(rows()[:1]).shape == (0, 2) and cross_view_pairs(rows()[:0]).shape == (0, 2)
    ids = rows(1)
    ids[:, IDS.index("domain")] = 99
    with pytest.raises(DataError, match="unknown domains"):
        cross_pose_pairs(ids)
