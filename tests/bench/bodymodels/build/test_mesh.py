import numpy as np
import pytest

from bench.bodymodels.build.mesh import (
    boundary_edges,
    boundary_loops,
    euler_number,
    face_components,
    face_normals,
    largest_piece,
    mirror_faces,
    neighbour_pairs,
)

pytestmark = pytest.mark.slow  # of a tool that is run by hand

SQUARE = np.array([[0, 1, 2], [0, 2, 3]])
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def test_square_and_tetrahedron():
    assert euler_number(SQUARE) == 1
    assert euler_number(TETRAHEDRON) == 2
    assert boundary_loops(SQUARE) == [[0, 1, 2, 3]]
    assert boundary_loops(TETRAHEDRON) == []
    assert len(boundary_edges(SQUARE)) == 4
    assert {frozenset(pair) for pair in neighbour_pairs(TETRAHEDRON).tolist()} == {
        frozenset((a, b)) for a in range(4) for b in range(a)
    }


def test_pieces():
    faces = np.concatenate([SQUARE, SQUARE[:1] + 10, TETRAHEDRON + 20])
    label = face_components(faces)
    assert len(np.unique(label)) == 3
    assert largest_piece(faces).tolist() == [False] * 3 + [True] * 4
    kept = np.array([True, False, True, True, True, True, True])
    assert len(np.unique(face_components(faces, kept)[kept])) == 3
    assert largest_piece(faces, np.arange(7) < 3).tolist() == [True, True] + [False] * 5


def test_a_pinched_patch_is_reported():
    with pytest.raises(ValueError, match="pinched at vertex 0"):
        boundary_loops(np.array([[0, 1, 2], [0, 3, 4]]))


def test_normals_point_outward_and_flat_faces_have_none():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]])
    normals = face_normals(vertices, np.array([[0, 1, 2], [0, 1, 3]]))
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 0]])


def test_mirror_faces():
    faces = np.array([[0, 1, 2], [0, 3, 1]])  # 0 and 1 on the mid-plane
    assert mirror_faces(faces, np.array([0, 1, 3, 2])).tolist() == [1, 0]
