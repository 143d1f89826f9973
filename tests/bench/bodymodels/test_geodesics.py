from dataclasses import replace

import numpy as np
import pytest

from bench.bodymodels.geodesics import (
    FARTHER,
    compute_geodesics,
    distance_m,
    geodesic_matrix,
    surface_graph,
)
from bench.bodymodels.model import surrogate_body


def sphere(levels, radius):
    """Icosahedron, its faces split in four `levels` times, pushed to the sphere."""
    g = (1 + 5**0.5) / 2
    points = np.array([[s * 1, t * g, 0] for s in (-1, 1) for t in (-1, 1)])
    vertices = np.concatenate([np.roll(points, k, 1) for k in range(3)])
    near = np.linalg.norm(vertices[:, None] - vertices, axis=2) < 2.1
    ids = range(12)
    faces = [
        (a, b, c)
        for a in ids
        for b in ids
        for c in ids
        if a < b < c and near[a, b] and near[b, c] and near[a, c]
    ]
    faces = np.array(faces)
    vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    for _ in range(levels):
        a, b, c = faces.T
        ends = np.sort(np.concatenate([np.stack(pair, 1) for pair in ((a, b), (b, c), (c, a))]), 1)
        edges, middle = np.unique(ends, axis=0, return_inverse=True)
        ab, bc, ca = middle.reshape(3, -1) + len(vertices)
        added = vertices[edges].mean(1)
        vertices = np.concatenate([vertices, added / np.linalg.norm(added, axis=1, keepdims=True)])
        faces = np.concatenate(
            [np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        )
    return radius * vertices, faces


@pytest.fixture(scope="module")
def ball():
    vertices, faces = sphere(3, 0.3)
    table = compute_geodesics(vertices, faces, 1.018)
    return vertices, faces, table


def test_great_circles(ball):
    vertices, _, table = ball
    exact = 0.3 * np.arccos(np.clip(vertices @ vertices.T / 0.09, -1, 1))
    found = distance_m(table, *np.indices(table.shape))
    assert np.isfinite(found).all()  # half the great circle is 0.94 m
    far = exact > 0.1
    ratio = found[far] / exact[far]
    assert ratio.min() > 0.98  # a chord is shorter than its arc, a path of edges is longer
    assert ratio.max() < 1.06
    assert np.abs(found - exact).mean() < 0.015


def test_table_is_a_metric_up_to_its_steps(ball):
    _, _, table = ball
    assert np.array_equal(table, table.T)
    assert (np.diag(table) == 0).all()
    a, b, c = np.random.default_rng(0).integers(0, len(table), (3, 5000))
    assert (distance_m(table, a, c) <= distance_m(table, a, b) + distance_m(table, b, c) + 0.0061).all()


def test_reach_cuts_the_table(ball):
    vertices, faces, table = ball
    near = compute_geodesics(vertices, faces, 0.2)
    inside = near < FARTHER
    assert inside[table < 50].all()  # 50 steps of 4 mm
    assert not inside[table > 50].any()
    assert np.array_equal(near[inside], table[inside])
    assert np.isinf(distance_m(near, 0, near[0].argmax()))


def test_mirror_halves_the_work_and_changes_nothing(ball):
    vertices, faces, table = ball
    mirror = np.linalg.norm(vertices[:, None] - vertices * [-1, 1, 1], axis=2).argmin(1)
    mirrored = compute_geodesics(vertices, faces, 1.018, mirror)
    assert np.abs(mirrored.astype(int) - table).max() <= 1  # rounding of equal sums


def test_straight_lines_cross_an_edge_in_a_plane():
    vertices = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0.0]])
    graph = surface_graph(vertices, np.array([[0, 1, 2], [0, 2, 3]])).toarray()
    assert graph[1, 3] == pytest.approx(0.1 * 2**0.5)
    folded = vertices + np.outer([0, 1, 0, 1], [0, 0, 0.05])
    over_the_fold = surface_graph(folded, np.array([[0, 1, 2], [0, 2, 3]])).toarray()[1, 3]
    across = 2 * np.hypot(0.05 * 2**0.5, 0.05)  # both legs stand upright on the folded diagonal
    assert over_the_fold == pytest.approx(across)
    kite = np.array([[0, 0, 0], [0.1, 0, 0], [0.4, 0.02, 0], [0.3, -0.01, 0]])  # the line misses the edge
    assert surface_graph(kite, np.array([[0, 1, 2], [1, 0, 3]])).toarray()[2, 3] == 0


def test_body_table(tmp_path):
    body = surrogate_body()
    table = geodesic_matrix(tmp_path, reach_m=0.06)
    assert isinstance(table, np.memmap)
    assert not table.flags.writeable
    assert table.shape == (6890, 6890)
    rows = np.random.default_rng(0).choice(6890, 500, replace=False)
    part = np.asarray(table[rows])
    assert np.array_equal(part[:, rows], part[:, rows].T)
    assert np.array_equal(table[body.mirror[rows]][:, body.mirror], part)
    a, b = np.nonzero(part < FARTHER)
    straight = np.linalg.norm(body.v_template[rows[a]] - body.v_template[b], axis=1)
    found = distance_m(table, rows[a], b)
    assert (found > straight - 0.0021).all()
    assert np.median(found - straight) < 0.003
    far = distance_m(table, [body.landmarks["nose"]], [body.landmarks["left heel"]])
    assert np.isinf(far).all()


@pytest.fixture
def ball_body(ball):
    vertices, faces, _ = ball
    return replace(
        surrogate_body(), v_template=vertices.astype(np.float32), faces=faces.astype(np.int32), mirror=None
    )


def test_the_cache_is_read_again(ball, ball_body, tmp_path):
    first = geodesic_matrix(tmp_path / "new" / "folder", ball_body)
    assert np.array_equal(first, ball[2])
    path = next((tmp_path / "new" / "folder").glob("*.npy"))
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".npy", ".sha256"]
    before = path.stat().st_mtime_ns
    geodesic_matrix(path.parent, ball_body)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["flipped bit", "torn file", "no checksum", "other checksum"])
def test_damage_is_found_and_repaired(ball, ball_body, tmp_path, damage):
    geodesic_matrix(tmp_path, ball_body)
    path = next(tmp_path.glob("*.npy"))
    seal = path.with_suffix(".sha256")
    content = bytearray(path.read_bytes())
    if damage == "flipped bit":
        content[5000] ^= 0xFF
        path.write_bytes(content)
    elif damage == "torn file":
        path.write_bytes(content[:1000])
    elif damage == "no checksum":
        seal.unlink()
    else:
        seal.write_text("0" * 64)
    assert np.array_equal(geodesic_matrix(tmp_path, ball_body), ball[2])
    assert len(seal.read_text()) == 64
    assert seal.read_text() != "0" * 64
