from __future__ import annotations

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import DP24_FLIP, P25_FLIP, surrogate_labels
from bench.synth import labels

LABELS = surrogate_labels()


def test_tables_by_hand():
    fid = np.array([[-1, 0], [5, len(LABELS.dp24) - 1]], np.int16)
    for found, table in ((labels.part25(fid), LABELS.p25), (labels.chart24(fid), LABELS.dp24)):
        assert found.dtype == np.uint8
        assert found.tolist() == [[0, table[0]], [table[5], table[-1]]]
    assert labels.mask(fid).tolist() == [[False, True], [True, True]]


def test_mirrored_faces_have_the_flipped_labels():
    fid = np.arange(len(LABELS.dp24), dtype=np.int16)
    other = LABELS.face_mirror[fid]
    assert np.array_equal(labels.part25(other), P25_FLIP[labels.part25(fid)])
    assert np.array_equal(labels.chart24(other), DP24_FLIP[labels.chart24(fid)])


def test_uv_of_corners_and_centres():
    rng = np.random.default_rng(0)
    fid = rng.integers(0, len(LABELS.dp24), (20, 30)).astype(np.int16)
    fid[0] = -1
    weights = rng.dirichlet([1, 1, 1], fid.shape)
    weights[1] = (1, 0, 0)
    found = labels.surface_uv(fid, weights[..., :2].astype(np.float32))
    expected = 255 * np.einsum("hwk,hwkd->hwd", weights, LABELS.uv[fid])
    assert (found[0] == 0).all()
    assert np.abs(found[1:] - expected[1:]).max() < 0.51


def test_vertices_follow_pose_and_camera():
    turn = np.zeros((24, 3), np.float32)
    turn[0] = (0, np.pi / 2, 0)
    camera = np.concatenate([[100, 32, 32], np.eye(3).ravel(), [0, 0, -5], [1]]).astype(np.float32)
    sample = {"pose": turn, "betas": np.zeros(10, np.float32), "transl": np.array([0, 0, 1.0]), "cam": camera}
    found = labels.vertices(sample)
    rest, joints = surrogate_body().shape(np.zeros(10))
    x, y, z = (rest - joints[0]).T
    expected = np.stack([z, y, -x], 1) + joints[0] + [0, 0, 6]  # facing +z turned to face +x
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("table", [labels.part25, labels.chart24])
def test_every_class_occurs(table):
    fid = np.arange(len(LABELS.dp24), dtype=np.int16)
    assert set(table(fid).tolist()) == set(range(1, 25))
