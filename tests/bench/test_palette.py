from __future__ import annotations

import numpy as np

from bench.palette import CLASS_COLOURS, RIGHT, UNLABELLED, WRONG, framed, paint_classes, shown


def test_classes_have_colours_of_their_own() -> None:
    assert len(np.unique(CLASS_COLOURS, axis=0)) == len(CLASS_COLOURS) == 32
    painted = paint_classes(np.array([[[0, 3], [31, 255]]], np.uint8))
    assert painted.shape == (1, 2, 2, 3) and painted.dtype == np.uint8
    assert painted[0, 0, 0].tolist() == [0, 0, 0] and painted[0, 0, 1].tolist() == CLASS_COLOURS[3].tolist()
    assert tuple(painted[0, 1, 1]) == UNLABELLED


def test_depth_is_brighter_where_it_is_nearer() -> None:
    depth = np.array([[[0, 1000], [2000, 3000]], [[0, 0], [0, 0]]], np.uint16)
    grey = shown({"depth": depth})
    assert grey.shape == (2, 2, 2, 3)
    assert grey[0, ..., 0].tolist() == [[0, 255], [167, 80]] and not grey[1].any()
    colour = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    assert np.array_equal(shown({"rgb": colour, "depth": depth[:1]}), colour)


def test_frames_tell_right_from_wrong() -> None:
    out = framed(np.zeros((2, 8, 8, 3), np.uint8), np.array([True, False]))
    for picture, colour in zip(out, (RIGHT, WRONG), strict=True):
        edge = np.ones((8, 8), bool)
        edge[1:-1, 1:-1] = False
        assert (picture[edge] == colour).all() and not picture[~edge].any()
