import numpy as np
import pytest

from bench.bodymodels.build.charts import chart_coordinates, disc_map, mean_value_laplacian, upper_side
from bench.bodymodels.build.flattening import Flattening, flatten
from bench.bodymodels.build.mesh import mirror_faces
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import surrogate_labels

pytestmark = pytest.mark.slow  # of a tool that is run by hand

CORNERS = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])


@pytest.fixture
def dome():
    """Grid of 10 x 10 cells pushed up into a dome, with uneven spacing."""
    size = 10
    index = np.arange((size + 1) ** 2).reshape(size + 1, size + 1)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, 1:].ravel(),
        index[1:, :-1].ravel(),
    )
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    x, y = (grid.ravel() for grid in np.meshgrid(*[np.linspace(-1, 1, size + 1)] * 2))
    rng = np.random.default_rng(0)
    inner = (np.abs(x) < 1) & (np.abs(y) < 1)
    x, y = x + inner * rng.uniform(-0.05, 0.05, x.shape), y + inner * rng.uniform(-0.05, 0.05, x.shape)
    return np.stack([x, y, 1.5 * (1 - x**2) * (1 - y**2)], 1), faces


def areas(uv, faces):
    first, second = uv[faces[:, 1]] - uv[faces[:, 0]], uv[faces[:, 2]] - uv[faces[:, 0]]
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


def as_array(mapping):
    return np.array([mapping[vertex] for vertex in range(len(mapping))])


def test_mean_value_weights_reproduce_plane_positions(dome):
    vertices, faces = dome
    flat = vertices * [1, 1, 0]
    residue = mean_value_laplacian(flat, faces) @ flat
    inner = (np.abs(flat[:, :2]) < 1).all(1)
    np.testing.assert_allclose(residue[inner], 0, atol=1e-12)


def test_a_dome_fills_the_square_without_overlap(dome):
    vertices, faces = dome
    uv = as_array(disc_map(vertices, faces, CORNERS))
    area = areas(uv, faces)
    assert (area > 0).all()
    assert 0.85 < area.sum() < 1
    assert uv.min() >= 0
    assert uv.max() <= 1
    assert uv[0] == pytest.approx([0.06, 0.06], abs=0.01)  # the corners follow the given directions
    assert uv[-1] == pytest.approx([0.94, 0.94], abs=0.01)
    assert uv[60] == pytest.approx([0.5, 0.5], abs=0.05)


def test_an_even_outline_from_one_direction(dome):
    vertices, faces = dome
    uv = as_array(disc_map(vertices, faces, CORNERS[:1]))
    assert (areas(uv, faces) > 0).all()
    assert uv[0] == pytest.approx([0.06, 0.06], abs=0.01)


def test_what_is_no_disc_is_refused(dome):
    vertices, faces = dome
    hole = np.arange(len(faces)) != 45
    with pytest.raises(ValueError, match="wanted a disc"):
        disc_map(vertices, faces[hole], CORNERS)
    with pytest.raises(ValueError, match="corners of a chart"):
        disc_map(vertices, faces, CORNERS[[0, 2, 1, 3]])


def test_flattening_recovers_a_plane_patch(dome):
    vertices, faces = dome
    flat = vertices * [1, 1, 0]
    start = as_array(disc_map(flat, faces, CORNERS[:1]))
    uv = flatten(flat, faces, start)
    problem = Flattening(flat, faces)
    assert problem.value(uv) == pytest.approx(4 * problem.area.sum(), rel=1e-4)  # 4 = an isometry
    pairs = np.random.default_rng(0).integers(0, len(flat), (2, 50))
    found = np.linalg.norm(uv[pairs[0]] - uv[pairs[1]], axis=1)
    np.testing.assert_allclose(found, np.linalg.norm(flat[pairs[0]] - flat[pairs[1]], axis=1), atol=0.01)


def test_flattening_lowers_the_energy_and_flips_nothing(dome):
    vertices, faces = dome
    start = as_array(disc_map(vertices, faces, CORNERS))
    uv = flatten(vertices, faces, start)
    problem = Flattening(vertices, faces)
    scaled = start * np.sqrt(problem.area.sum() / areas(start, faces).sum())
    assert (areas(uv, faces) > 0).all()
    assert problem.value(uv) < problem.value(scaled)
    np.testing.assert_allclose(problem.gradient(uv).sum(0), 0, atol=1e-9)  # free to move as a whole


def test_energy_gradient_and_longest_step(dome):
    vertices, faces = dome
    problem = Flattening(vertices, faces)
    uv = as_array(disc_map(vertices, faces, CORNERS))
    rng = np.random.default_rng(1)
    move = rng.normal(size=uv.shape)
    slope = (problem.value(uv + 1e-8 * move) - problem.value(uv - 1e-8 * move)) / 2e-8
    assert slope == pytest.approx((problem.gradient(uv) * move).sum(), rel=1e-4)
    longest = problem.longest_step(uv, move)
    assert areas(uv + 0.999 * longest * move, faces).min() > 0
    assert areas(uv + 1.001 * longest * move, faces).min() < 0
    assert problem.value(uv + 1.001 * longest * move) == np.inf
    assert problem.longest_step(uv, np.ones_like(uv)) == np.inf


def test_the_upper_side_of_the_hand_looks_up():
    body, labels = surrogate_body(), surrogate_labels()
    faces = body.faces[labels.dp24 == 3].astype(np.int64)
    vertices = body.v_template.astype(np.float64)
    upper = upper_side(vertices, faces)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    assert 0.3 < upper.mean() < 0.7
    assert (normal[upper, 1] > 0).mean() > 0.9
    assert (normal[~upper, 1] < 0).mean() > 0.9


def test_shipped_charts_come_from_the_shipped_mesh():
    body, labels = surrogate_body(), surrogate_labels()
    vertices, faces = body.v_template.astype(np.float64), body.faces.astype(np.int64)
    mirror = body.mirror.astype(np.int64)
    uv = chart_coordinates(vertices, faces, labels.dp24, mirror, mirror_faces(faces, mirror))
    assert np.median(np.abs(uv - labels.uv)) < 1e-4
    assert np.abs(uv - labels.uv).max() < 0.02
