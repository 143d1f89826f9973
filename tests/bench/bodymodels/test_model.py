import hashlib
import pickle
from importlib import resources

import numpy as np
import pytest

from bench.bodymodels.model import load_body_model, surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import AssetError, DataError

REFLECT = np.array([-1.0, 1, 1])
LEFT_RIGHT = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]


@pytest.fixture(scope="module")
def body():
    return surrogate_body()


@pytest.fixture
def pose():
    rng = np.random.default_rng(5)
    return axis_angle_to_matrix(rng.normal(size=(24, 3)) * 0.4)


def edge_count(faces):
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def test_mesh_is_closed_and_has_the_classical_counts(body):
    assert body.v_template.shape == (6890, 3)
    assert body.faces.shape == (13776, 3)
    uses = edge_count(body.faces)
    assert (uses == 2).all()
    assert 6890 - len(uses) + 13776 == 2  # Euler number of a sphere
    a, b, c = body.v_template.astype(np.float64)[body.faces].transpose(1, 0, 2)
    volume = (a * np.cross(b, c)).sum() / 6
    assert 0.05 < volume < 0.09  # cubic metres, and outward faces


def test_hand_has_the_classical_counts(body):
    hand = np.isin(body.faces, body.hand_vertex_ids).all(1)
    assert len(np.unique(body.hand_vertex_ids)) == 778
    assert hand.sum() == 1538
    border = edge_count(body.faces[hand])
    assert (border == 1).sum() == 16
    assert (body.v_template[body.hand_vertex_ids, 0] < -0.6).all()  # the right hand


def test_mirror_is_an_exact_symmetry(body):
    mirror = body.mirror
    assert (mirror[mirror] == np.arange(6890)).all()
    assert np.array_equal(body.v_template[mirror], body.v_template * REFLECT.astype(np.float32))
    assert np.array_equal(body.shapedirs[mirror], body.shapedirs * REFLECT[:, None].astype(np.float32))
    np.testing.assert_allclose(body.weights[mirror], body.weights[:, LEFT_RIGHT], atol=1e-7)
    faces = {tuple(sorted(face)) for face in body.faces.tolist()}
    assert {tuple(sorted(face)) for face in mirror[body.faces].tolist()} == faces


def test_mirrored_pose_gives_the_mirrored_body(body, pose):
    other = (pose * np.outer(REFLECT, REFLECT))[LEFT_RIGHT]
    vertices, joints = body.shape([0.5, -1.0, 2.0])
    one, one_joints, _ = body.pose(vertices, joints, pose)
    two, two_joints, _ = body.pose(vertices, joints, other)
    np.testing.assert_allclose(two[body.mirror], one * REFLECT, atol=2e-6)
    np.testing.assert_allclose(two_joints[LEFT_RIGHT], one_joints * REFLECT, atol=1e-6)


def test_weights_and_regressor(body):
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-6)
    assert (body.weights >= 0).all()
    assert ((body.weights > 0).sum(1) <= 4).all()
    dense = np.zeros_like(body.weights)
    np.put_along_axis(dense, body.weight_ids.astype(np.int64), body.weight_values, 1)
    assert np.array_equal(dense, body.weights)
    assert (body.joint_regressor.data >= 0).all()
    np.testing.assert_allclose(body.joint_regressor.sum(1), 1, atol=1e-12)


def test_frame_and_size(body):
    vertices, joints = body.shape(np.zeros(10))
    np.testing.assert_allclose(joints[0], 0, atol=1e-6)
    assert 1.6 < np.ptp(vertices[:, 1]) < 1.85
    left, right = [1, 4, 7, 16, 18, 20, 22], [2, 5, 8, 17, 19, 21, 23]
    assert (joints[left, 0] > 0.05).all()
    assert (joints[right, 0] < -0.05).all()
    assert joints[10, 2] > joints[7, 2] + 0.05  # toes in front of the ankle
    np.testing.assert_allclose(joints[[16, 18, 20], 1], joints[16, 1], atol=0.05)  # arms level
    assert body.shape([1.0])[0][:, 1].max() > vertices[:, 1].max()  # the first beta makes taller


def test_zero_pose_and_translation(body):
    vertices, joints = body.shape([1.0, 1.0])
    still, shift = np.tile(np.eye(3), (24, 1, 1)), np.array([0.5, 0, -2])
    posed, placed, turned = body.pose(vertices, joints, still, shift)
    np.testing.assert_allclose(posed, vertices + shift, atol=1e-6)
    np.testing.assert_allclose(placed, joints + shift, atol=1e-12)
    np.testing.assert_allclose(turned, still)


def test_root_rotation_turns_the_body_rigidly(body, pose):
    vertices, joints = body.shape(np.zeros(10))
    local = pose.copy()
    local[0] = np.eye(3)
    before, _, _ = body.pose(vertices, joints, local)
    local[0] = axis_angle_to_matrix([0.3, 1.0, -0.2])
    after, _, _ = body.pose(vertices, joints, local)
    np.testing.assert_allclose(after, (before - joints[0]) @ local[0].T + joints[0], atol=2e-6)


def test_skinning_follows_its_formula(body, pose):
    vertices, _ = body.shape([1.0, -2.0, 0.5])
    transforms = np.concatenate([pose, pose[:, :, :1] * 0.3], 2).astype(np.float32)
    feature = (pose[1:] - np.eye(3)).reshape(-1).astype(np.float32)
    bent = vertices + (body.posedirs @ feature).reshape(-1, 3)
    blended = np.einsum("vj,jik->vik", body.weights, transforms)
    expected = np.einsum("vij,vj->vi", blended[:, :, :3], bent) + blended[:, :, 3]
    np.testing.assert_allclose(body.skin(vertices, transforms, feature), expected, atol=1e-5)


def test_correctives_keep_the_volume_of_a_twisted_forearm(body):
    twist = np.tile(np.eye(3), (24, 1, 1))
    twist[18] = axis_angle_to_matrix([np.radians(110), 0, 0])
    vertices, joints = body.shape(np.zeros(10))
    ring = (np.abs(vertices[:, 0] - joints[18, 0]) < 0.01) & (body.weights[:, [16, 18]].sum(1) > 0.99)
    assert ring.sum() > 10

    def radius(points):
        return np.linalg.norm((points[ring] - joints[18])[:, 1:], axis=1).mean()

    flat = np.zeros(207, np.float32)
    local = twist.copy()
    turned, placed = local, joints  # only joint 18 turns, in place
    shift = placed - np.einsum("jik,jk->ji", turned, joints)
    transforms = np.concatenate([turned, shift[..., None]], 2).astype(np.float32)
    for joint in (20, 22):
        transforms[joint] = transforms[18]
    linear = body.skin(vertices, transforms, flat)
    corrected, _, _ = body.pose(vertices, joints, twist)
    assert radius(linear) < 0.8 * radius(vertices)
    assert radius(corrected) > 0.93 * radius(vertices)


def test_too_many_betas(body):
    with pytest.raises(DataError, match="at most 10"):
        body.shape(np.zeros(11))


def test_shipped_files_match_their_checksums():
    assets = resources.files("bench.bodymodels") / "assets"
    lines = (assets / "SHA256SUMS").read_text().split("\n")[:-1]
    assert len(lines) == 3
    total = 0
    for line in lines:
        digest, name = line.split("  ")
        content = (assets / name).read_bytes()
        total += len(content)
        assert hashlib.sha256(content).hexdigest() == digest, f"{name}: the recorded hash is another"
    assert total < 1_000_000


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_export_and_load_round_trip(body, pose, tmp_path, suffix, export_smpl):
    files = export_smpl(body, tmp_path)
    assert [path.name for path in files] == ["SMPL_NEUTRAL.npz", "SMPL_NEUTRAL.pkl"]
    loaded = load_body_model(tmp_path / f"SMPL_NEUTRAL{suffix}")
    assert loaded.name == "SMPL_NEUTRAL"
    assert loaded.mirror is None
    assert np.array_equal(loaded.faces, body.faces)
    assert np.array_equal(loaded.parents, body.parents)
    betas = [0.3, -1.0, 2.0]
    ours = body.pose(*body.shape(betas), pose)
    theirs = loaded.pose(*loaded.shape(betas), pose)
    np.testing.assert_allclose(theirs[0], ours[0], atol=1e-5)
    np.testing.assert_allclose(theirs[1], ours[1], atol=1e-5)


def test_clear_errors_for_bad_files(tmp_path):
    with pytest.raises(AssetError, match="no body model at"):
        load_body_model(tmp_path / "missing.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(AssetError, match="lacks v_template"):
        load_body_model(tmp_path / "other.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK nonsense")
    with pytest.raises(AssetError, match="not a readable"):
        load_body_model(tmp_path / "broken.npz")
    (tmp_path / "body.obj").write_text("v 0 0 0")
    with pytest.raises(AssetError, match="unknown kind"):
        load_body_model(tmp_path / "body.obj")
    arrays = {key: np.zeros((5, 3)) for key in ("v_template", "shapedirs", "weights", "f", "J_regressor")}
    arrays["weights"] = np.full((5, 2), 0.5)
    np.savez(tmp_path / "odd.npz", kintree_table=np.zeros((2, 2)), **arrays)
    with pytest.raises(AssetError, match="has shape"):
        load_body_model(tmp_path / "odd.npz")


def change(arrays, key, value):
    """Replace an array, or the first of its values."""
    if isinstance(value, np.ndarray | str):
        return {**arrays, key: value}
    changed = np.array(arrays[key])
    changed.flat[0] = value
    return {**arrays, key: changed}


def small_body():
    """A tetrahedron with three joints, in the dense layout."""
    return {
        "v_template": np.eye(4, 3), "shapedirs": np.ones((4, 3, 2)), "posedirs": np.zeros((4, 3, 18)),
        "weights": np.full((4, 3), 1 / 3), "J_regressor": np.full((3, 4), 0.25),
        "kintree_table": np.array([[-1, 0, 1], [0, 1, 2]]), "f": np.array([[0, 1, 2], [0, 2, 3]]),
        "mirror": np.arange(4), "hand_vertex_ids": np.array([1, 2]),
        "keypoint_names": np.array(["nose"]), "keypoint_vertices": np.array([3]),
    }  # fmt: skip


FLOATING = ("v_template", "shapedirs", "posedirs", "weights", "J_regressor")
FAULTS = [
    *((key, value) for key in FLOATING for value in (np.nan, np.inf, 1e300)),
    *((key, np.array("text")) for key in small_body() if key != "keypoint_names"),
    *((key, np.zeros((2, 2, 2, 2))) for key in small_body() if key != "keypoint_names"),
    *((key, np.array(1.0)) for key in small_body() if key != "keypoint_names"),
    *((key, value) for key in ("f", "mirror", "hand_vertex_ids", "keypoint_vertices") for value in (-1, 4)),
    ("weights", -1.0),
    ("weights", np.zeros((4, 3))),
    ("kintree_table", np.array([[-1, 2, 1], [0, 1, 2]])),  # a cycle
    ("kintree_table", np.array([[0, 0, 1], [0, 1, 2]])),  # no root
    ("kintree_table", np.array([[-1, -1, 1], [0, 1, 2]])),  # two
    ("kintree_table", np.array([[-1, 0, 7], [0, 1, 2]])),
    ("kintree_table", np.array([[-1, 0, 1], [0, 2, 1]])),
]


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize(("key", "value"), FAULTS)
def test_every_faulty_field_is_named(tmp_path, suffix, key, value):
    path = tmp_path / f"body{suffix}"
    for arrays in (small_body(), change(small_body(), key, value)):
        if suffix == ".npz":
            np.savez(path, **arrays)
        else:
            path.write_bytes(pickle.dumps(arrays, protocol=2))
        if arrays.get(key) is not None and np.array_equal(arrays[key], small_body()[key]):
            assert load_body_model(path).name == "body"  # nothing else is wrong
    with pytest.raises(AssetError) as caught:
        load_body_model(path)
    assert str(path) in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize("key", ["posedirs_values", "weights_ids", "J_regressor_rows", "posedirs_columns"])
@pytest.mark.parametrize("fault", ["text", "short", "far"])
def test_faults_of_the_compact_layout_are_told(tmp_path, key, fault):
    with np.load(resources.files("bench.bodymodels") / "assets" / "surrogate_body.npz") as archive:
        arrays = dict(archive)
    if fault == "far" and key == "posedirs_values":
        arrays[key] = np.full_like(arrays[key], np.inf)
    else:
        value = arrays[key]
        far = np.full(value.shape, 60000)
        arrays[key] = {"text": np.array("text"), "short": value[:-1], "far": far}[fault]
    np.savez(tmp_path / "body.npz", **arrays)
    with pytest.raises(AssetError, match=r"body\.npz"):
        load_body_model(tmp_path / "body.npz")


def test_pickles_with_cycles_and_lists_are_refused(tmp_path):
    loop = []
    loop.append(loop)
    for value in (loop, [[0.0, 1.0]], "text", None):
        (tmp_path / "body.pkl").write_bytes(pickle.dumps({**small_body(), "v_template": value}))
        with pytest.raises(AssetError, match=r"body\.pkl: v_template is a (list|str|NoneType)"):
            load_body_model(tmp_path / "body.pkl")
