import numpy as np
import pytest

from bench.bodymodels.joints import joint_set
from bench.errors import AssetError
from bench.synth import skeletons
from bench.synth.actions import HELD_OUT
from bench.synth.skeletons import ANGLES, LENGTHS, NAMES, drawn_skeletons, read_skeletons

COUNT = 480
BONES = {
    "hip": ("pelvis", "{} hip"), "thigh": ("{} hip", "{} knee"), "shin": ("{} knee", "{} ankle"),
    "back": ("spine", "thorax"), "neck": ("thorax", "nose"), "head": ("nose", "head"),
    "shoulder": ("thorax", "{} shoulder"), "upper arm": ("{} shoulder", "{} elbow"),
    "forearm": ("{} elbow", "{} wrist"),
}  # fmt: skip
CORNERS = {
    "knee": ("{} hip", "{} knee", "{} ankle"), "elbow": ("{} shoulder", "{} elbow", "{} wrist"),
    "spine": ("pelvis", "spine", "thorax"), "shoulder": ("thorax", "{} shoulder", "{} elbow"),
}  # fmt: skip


def joint(poses, name, side="left"):
    return poses[:, NAMES.index(name.format(side))].astype(np.float64)


def length(poses, first, last, side="left"):
    return np.linalg.norm(joint(poses, first, side) - joint(poses, last, side), axis=1)


def angle(poses, first, corner, last, side):
    u, v = (joint(poses, name, side) - joint(poses, corner, side) for name in (first, last))
    cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    return np.degrees(np.arccos(cosine))


@pytest.mark.parametrize("source", ["motions", "angles"])
def test_all_sources_are_centred_scaled_and_seen_by_a_camera(source):
    poses = drawn_skeletons(source, COUNT)
    assert poses.shape == (COUNT, 17, 3) and poses.dtype == np.float32 and not poses.flags.writeable
    assert not poses[:, 0].any()
    np.testing.assert_allclose(np.linalg.norm(poses, axis=(1, 2)), 1, atol=1e-6)
    back = joint(poses, "thorax")
    assert (back[:, 1] < 0).mean() > 0.9, "y points down"
    assert np.degrees(np.arctan2(-back[:, 2], -back[:, 1])).mean() == pytest.approx(12.5, abs=3)
    across = joint(poses, "left hip") - joint(poses, "right hip")
    heading = np.arctan2(across[:, 2], across[:, 0])
    assert abs(np.exp(1j * heading).mean()) < 0.15, "all headings occur"


@pytest.mark.parametrize("source", ["motions", "angles"])
def test_noses_are_in_front(source):
    """A skeleton with left and right exchanged, or a mirrored frame, would have them at the back."""
    poses = drawn_skeletons(source, COUNT)
    across = joint(poses, "left shoulder") - joint(poses, "right shoulder")
    up = joint(poses, "thorax") - joint(poses, "spine")
    front = np.cross(across, up)  # left x up = ahead, in a right-handed frame (x right, y down, z away)
    nose = joint(poses, "nose") - joint(poses, "thorax")
    assert ((front * nose).sum(1) > 0).mean() > 0.95
    bend = joint(poses, "left knee") - (joint(poses, "left hip") + joint(poses, "left ankle")) / 2
    hips = joint(poses, "left hip") - joint(poses, "right hip")
    shin = joint(poses, "left knee") - joint(poses, "left ankle")
    assert ((np.cross(hips, shin) * bend).sum(1) > 0).mean() > 0.9, "knees bend backwards"


def test_sampled_limbs_have_the_measured_proportions():
    poses = drawn_skeletons("angles", COUNT)
    unit = length(poses, "pelvis", "spine")
    for side in ("left", "right"):
        found = {name: length(poses, *ends, side) / unit for name, ends in BONES.items()}
        for name, values in found.items():
            np.testing.assert_allclose(values, LENGTHS[name], rtol=1e-4)


def test_sampled_angles_fill_the_measured_ranges():
    poses = drawn_skeletons("angles", COUNT)
    for name, joints in CORNERS.items():
        low, high = ANGLES[name]
        for side in ("left", "right"):
            found = angle(poses, *joints, side)
            assert found.min() > low - 0.1 and found.max() < high + 0.1
            assert np.ptp(found) > 0.8 * (high - low)
            assert found.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))


def test_motions_are_of_one_body_whose_bones_stay_as_long():
    poses = drawn_skeletons("motions", COUNT)
    total = sum(
        length(poses, NAMES[p], NAMES[k]) for k, p in enumerate(joint_set("h36m17").parents) if p >= 0
    )
    flexible = ("back", "neck", "shoulder")  # other joints of the body lie between their ends
    for name, (first, last) in BONES.items():
        for side in ("left", "right"):
            share = length(poses, first, last, side) / total
            assert np.ptp(share) < (0.3 if name in flexible else 0.06) * share.mean(), name


def test_no_motion_is_one_of_the_test_sets(monkeypatch):
    drawn = set()
    plain = skeletons.draw_motion

    def watched(action, *args, **options):
        drawn.add(action)
        return plain(action, *args, **options)

    monkeypatch.setattr(skeletons, "draw_motion", watched)
    drawn_skeletons.__wrapped__("motions", 1600)
    assert len(drawn) > 12 and not drawn & set(HELD_OUT)


@pytest.mark.parametrize("source", ["motions", "angles"])
def test_equal_seeds_draw_equal_skeletons(source):
    draw = drawn_skeletons.__wrapped__
    assert np.array_equal(draw(source, 20, 3), draw(source, 20, 3))
    assert not np.array_equal(draw(source, 20, 3), draw(source, 20, 4))


def test_skeletons_of_the_user_are_centred_and_scaled(tmp_path):
    given = np.random.default_rng(0).normal(size=(4, 17, 3)) * 900 + 5000  # millimetres, far away
    np.save(tmp_path / "mine.npy", given)
    found = read_skeletons(tmp_path / "mine.npy")
    centred = given - given[:, :1]
    np.testing.assert_allclose(
        found, centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True), atol=1e-5
    )


def nan_pose():
    poses = np.random.default_rng(0).normal(size=(4, 17, 3))
    poses[2, 5, 1] = np.nan
    return poses


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 16, 3)), r"shape \(4, 16, 3\), wanted \(n, 17, 3\)"),
        (np.zeros((4, 51)), r"shape \(4, 51\), wanted"),
        (np.zeros((0, 17, 3)), r"shape \(0, 17, 3\), wanted"),
        (np.array(["a"]), "no single array of numbers"),
        (nan_pose(), "skeleton 2 has NaN"),
        (np.ones((4, 17, 3)), "skeleton 0 has all joints in one place"),
    ],
)
def test_useless_files_are_named(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(AssetError, match=message) as error:
        read_skeletons(tmp_path / "bad.npy")
    assert "\n" not in str(error.value)


def test_files_that_are_no_arrays_are_named(tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"\x00" * 64)
    np.savez(tmp_path / "bag.npz", a=np.zeros((2, 17, 3)))
    for name, message in (
        ("bad.npy", "not a readable"),
        ("none.npy", "not a readable"),
        ("bag.npz", "no single"),
    ):
        with pytest.raises(AssetError, match=message):
            read_skeletons(tmp_path / name)
