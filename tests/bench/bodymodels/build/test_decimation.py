import numpy as np
import pytest

from bench.bodymodels.build.decimation import Decimator
from bench.bodymodels.build.mesh import boundary_edges, euler_number, face_normals

pytestmark = pytest.mark.slow  # of a tool that is run by hand


def grid(size):
    """Square of size x size cells in the plane, seen from +z."""
    index = np.arange((size + 1) ** 2).reshape(size + 1, size + 1)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, 1:].ravel(),
        index[1:, :-1].ravel(),
    )
    x, y = np.meshgrid(np.arange(size + 1.0), np.arange(size + 1.0))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1) / size
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


@pytest.fixture
def bumpy():
    vertices, faces = grid(12)
    vertices[:, 2] = 0.1 * np.sin(6 * vertices[:, 0]) * vertices[:, 1]
    return vertices, faces


def test_collapses_keep_topology_outline_and_orientation(bumpy):
    vertices, faces = bumpy
    border = boundary_edges(faces)
    mesh = Decimator(vertices, faces, np.ones(len(vertices)), border)
    on_border = set(border.ravel().tolist())
    mesh.run(lambda a, b: a not in on_border, lambda: len(mesh.faces_at) <= 100)
    left = mesh.remaining()
    assert len(np.unique(left)) == 100
    assert euler_number(left) == 1
    assert {tuple(e) for e in boundary_edges(left).tolist()} == {tuple(e) for e in border.tolist()}
    assert (face_normals(vertices, left)[:, 2] > 0.3).all()


def test_features_collapse_along_themselves(bumpy):
    vertices, faces = bumpy
    mesh = Decimator(vertices, faces, np.ones(len(vertices)), boundary_edges(faces))
    mesh.run(lambda a, b: True, lambda: len(mesh.faces_at) <= 60)
    left = mesh.remaining()
    ends = vertices[boundary_edges(left)]
    flat = (ends[:, 0, :2] == ends[:, 1, :2]).any(1)  # every border edge still runs along one side
    assert flat.all()
    assert np.isclose(np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=1).sum(), 4)


def test_flat_ground_goes_first(bumpy):
    vertices, faces = bumpy
    vertices = vertices * [1, 1, 0]
    peak = 6 * 13 + 6
    vertices[peak, 2] = 0.1
    mesh = Decimator(vertices, faces, np.ones(len(vertices)), boundary_edges(faces))
    mesh.run(lambda a, b: True, lambda: len(mesh.faces_at) <= 40)
    assert peak in mesh.faces_at


def test_weights_protect(bumpy):
    vertices, faces = bumpy
    weight = np.where(vertices[:, 0] < 0.5, 1e-6, 1.0)
    mesh = Decimator(vertices, faces, weight, boundary_edges(faces))
    mesh.run(lambda a, b: True, lambda: len(mesh.faces_at) <= 130)
    kept = np.unique(mesh.remaining())
    assert (vertices[kept, 0] < 0.5).mean() < 0.35


def test_what_is_not_allowed_stays_and_can_go_later(bumpy):
    vertices, faces = bumpy
    mesh = Decimator(vertices, faces, np.ones(len(vertices)), boundary_edges(faces))
    mesh.run(lambda a, b: False, lambda: False)
    assert len(mesh.faces_at) == len(vertices)
    mesh.run(lambda a, b: True, lambda: len(mesh.faces_at) <= len(vertices) - 5)
    assert len(mesh.faces_at) == len(vertices) - 5
