from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import (
    DP24_FLIP,
    DP24_NAMES,
    DP_COARSE,
    DP_COARSE_NAMES,
    P25_FLIP,
    P25_NAMES,
    ChartLookup,
    closest_in_triangle,
    flip_uv,
    surrogate_labels,
)
from bench.errors import DataError

TABLES = {
    "dp24": (DP24_NAMES, DP24_FLIP, 1),
    "p25": (P25_NAMES, P25_FLIP, 1),
    "smpl24": (JOINT_SETS["smpl24"].names, np.array(JOINT_SETS["smpl24"].flip), 0),
}
UNIT = st.floats(0, 1, width=32)


@pytest.fixture(scope="module")
def body():
    return surrogate_body()


@pytest.fixture(scope="module")
def labels():
    return surrogate_labels()


@pytest.fixture(scope="module")
def lookup(body, labels):
    return ChartLookup(body, labels)


@pytest.fixture(scope="module")
def surface_points(body, labels):
    """Points spread evenly over the surface: face, barycentric coordinates, position, chart, uv."""
    rng = np.random.default_rng(0)
    corners = body.v_template[body.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(area), 20_000, p=area / area.sum())
    bary = rng.dirichlet([1, 1, 1], len(face))
    place = np.einsum("nk,nkd->nd", bary, corners[face])
    return face, bary, place, labels.dp24[face], np.einsum("nk,nkd->nd", bary, labels.uv[face])


def position(body, face, bary):
    return np.einsum("nk,nkd->nd", bary, body.v_template[body.faces[face]])


@pytest.mark.parametrize("table", TABLES)
def test_every_class_occurs_as_one_piece(body, labels, table):
    names, _, first = TABLES[table]
    ids = getattr(labels, table)
    assert set(np.unique(ids)) == set(range(first, len(names)))
    edges = np.sort(np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]]), 1)
    order = np.lexsort(edges.T)
    a, b = order[::2] % len(ids), order[1::2] % len(ids)  # closed mesh: equal edges come in pairs
    same = ids[a] == ids[b]
    graph = sparse.coo_array((np.ones(same.sum()), (a[same], b[same])), shape=(len(ids), len(ids)))
    pieces, piece = connected_components(graph, directed=False)
    doubled = [names[i] for i in np.unique(ids) if len(np.unique(piece[ids == i])) > 1]
    # joined through both halves of the body or not at all: unpaired parts alone may fall into left and right
    assert all("left" not in name and "right" not in name for name in doubled)
    assert pieces <= len(np.unique(ids)) + 1


@pytest.mark.parametrize("table", TABLES)
def test_labels_mirror_exactly(body, labels, table):
    names, flip, _ = TABLES[table]
    ids = getattr(labels, table)
    assert np.array_equal(ids[labels.face_mirror], flip[ids])
    x = body.v_template[body.faces].mean(1)[:, 0]
    for i, name in enumerate(names):
        if name.startswith("left "):
            assert (x[ids == i] > 0).all()
        if name.startswith("right "):
            assert (x[ids == i] < 0).all()


def test_face_mirror_follows_the_vertex_mirror(body, labels):
    there = labels.face_mirror
    assert np.array_equal(there[there], np.arange(len(there)))
    assert np.array_equal(np.sort(body.faces[there], 1), np.sort(body.mirror[body.faces], 1))


@pytest.mark.parametrize("table", ["dp24", "p25"])
def test_flips_are_involutions_between_left_and_right(table):
    names, flip, _ = TABLES[table]
    assert len(names) == len(flip) == 25
    assert np.array_equal(flip[flip], np.arange(25))
    for i, j in enumerate(flip):
        assert names[i].replace("left", "#").replace("right", "left").replace("#", "right") == names[j]


def test_published_tables():
    pairs = [(1, 4), (2, 5), (3, 6), (7, 10), (8, 11), (9, 12), (14, 16), (15, 17), (21, 23), (22, 24)]
    assert [(i, int(j)) for i, j in enumerate(P25_FLIP) if i < j] == pairs
    for chart, name in enumerate(DP24_NAMES):
        part = DP_COARSE_NAMES[DP_COARSE[chart]]
        assert part.rstrip("s") in name.replace("foot", "feet")


def test_parts_have_sensible_sizes(body, labels):
    a, b, c = body.v_template[body.faces].astype(np.float64).transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    share = np.bincount(labels.p25, area, 25) / area.sum()
    assert 1.5 < area.sum() < 2.0  # square metres
    assert share[P25_NAMES.index("upper spine")] == pytest.approx(0.156, abs=0.03)
    assert share[P25_NAMES.index("head")] == pytest.approx(0.074, abs=0.02)
    assert (share[1:] > 0.008).all()


def test_no_chart_triangle_is_flipped(labels):
    first, second = labels.uv[:, 1] - labels.uv[:, 0], labels.uv[:, 2] - labels.uv[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    for chart in range(1, 25):
        signs = np.sign(area[labels.dp24 == chart])
        assert abs(signs.sum()) == len(signs), DP24_NAMES[chart]


def test_charts_are_one_to_one_but_for_a_few_faces_between_toes_and_fingers(labels, lookup):
    centre = labels.uv.mean(1)
    found, _ = lookup.locate(labels.dp24, centre[:, 0], centre[:, 1])
    wrong = found != np.arange(len(found))
    assert wrong.mean() < 0.003
    assert set(labels.dp24[wrong]) <= {3, 4, 5, 6}


def test_uv_stay_in_the_unit_square_and_use_it(labels):
    assert labels.uv.min() >= 0
    assert labels.uv.max() <= 1
    for chart in range(1, 25):
        np.testing.assert_allclose(
            np.ptp(labels.uv[labels.dp24 == chart].reshape(-1, 2), axis=0), 1, atol=0.02
        )


def test_chart_flip_is_exact(body, labels):
    """The mirror image of a face corner has the flipped chart and coordinates."""
    there = labels.face_mirror
    corner = (body.faces[there][:, None] == body.mirror[body.faces][:, :, None]).argmax(2)
    chart = np.repeat(labels.dp24[:, None], 3, 1)
    u, v = flip_uv(chart, labels.uv[..., 0], labels.uv[..., 1])
    mirrored = np.take_along_axis(labels.uv[there], corner[..., None], 1)
    np.testing.assert_allclose(np.stack([u, v], -1), mirrored, atol=1e-6)
    assert np.array_equal(DP24_FLIP[labels.dp24], labels.dp24[there])


def test_flip_twice_is_identity():
    chart, u, v = np.arange(25), np.linspace(0, 1, 25), np.linspace(1, 0, 25)
    once = flip_uv(chart, u, v)
    twice = flip_uv(DP24_FLIP[chart], *once)
    np.testing.assert_allclose(twice, (u, v))
    assert once[0][1] == 1 - u[1]
    assert once[0][3] == u[3]


def test_exact_round_trip(body, lookup, surface_points):
    face, _, place, chart, uv = surface_points
    found, weights = lookup.locate(chart, uv[:, 0], uv[:, 1])
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (weights >= 0).all()
    gap = np.linalg.norm(position(body, found, weights) - place, axis=1)
    assert gap.mean() < 5e-5
    assert (found == face).mean() > 0.99


def test_eight_bit_round_trip(body, lookup, surface_points):
    _, _, place, chart, uv = surface_points
    coarse = (np.minimum(np.floor(uv * 255), 254) + 0.5) / 255
    found, weights = lookup.locate(chart, coarse[:, 0], coarse[:, 1])
    gap = np.linalg.norm(position(body, found, weights) - place, axis=1)
    assert gap.mean() < 0.001
    assert np.percentile(gap, 99) < 0.005
    assert (gap > 0.02).mean() < 0.001


def test_nearest_vertex_agrees_with_a_search_over_all(body, labels, lookup, surface_points):
    _, _, place, chart, uv = surface_points
    found = lookup.nearest_vertex(chart[:300], uv[:300, 0], uv[:300, 1])
    for i in range(300):
        faces = labels.dp24 == chart[i]
        distance = np.linalg.norm(labels.uv[faces].reshape(-1, 2) - uv[i], axis=1)
        near = body.faces[faces].reshape(-1)[distance < distance.min() + 1e-9]
        assert found[i] in near
    everywhere = lookup.nearest_vertex(chart, uv[:, 0], uv[:, 1])
    assert np.linalg.norm(body.v_template[everywhere] - place, axis=1).mean() < 0.01


def test_points_beyond_the_border_move_to_it(labels, lookup):
    face, bary = lookup.locate([2, 7], [0.5, -0.2], [1.0, 0.5])
    uv = np.einsum("nk,nkd->nd", bary, labels.uv[face])
    assert np.array_equal(labels.dp24[face], [2, 7])
    assert uv[0] == pytest.approx([0.5, 1.0], abs=0.02)
    assert uv[1] == pytest.approx([0.0, 0.5], abs=0.1)


def test_wrong_input(body, labels, lookup):
    with pytest.raises(DataError, match="charts run from 1 to 24"):
        lookup.nearest_vertex([0, 1], [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(DataError, match="do not fit"):
        ChartLookup(replace(body, name="another"), labels)


@given(arrays(np.float64, (3, 2), elements=UNIT), arrays(np.float64, 2, elements=UNIT))
def test_closest_point_of_a_triangle_agrees_with_sampling(triangle, point):
    weights, gap = closest_in_triangle(point, triangle)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert np.linalg.norm(weights @ triangle - point) == pytest.approx(gap, abs=1e-9)
    steps = np.linspace(0, 1, 21)
    a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
    lattice = np.stack([a, b, 1 - a - b], 1)[a + b <= 1 + 1e-12]
    sampled = np.linalg.norm(lattice @ triangle - point, axis=1).min()
    assert gap <= sampled + 1e-9
    assert gap >= sampled - 0.12
