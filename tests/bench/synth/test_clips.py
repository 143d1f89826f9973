"""Are the labels of rendered images true? These tests fail for shifted, swapped or stale labels."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import DP24_FLIP, P25_NAMES, ChartLookup, surrogate_labels
from bench.errors import ConfigError
from bench.synth import identity, labels
from bench.synth.actions import ACTIONS
from bench.synth.angles import JOINTS
from bench.synth.camera import Camera
from bench.synth.clips import EXACT_FIELDS, FIELDS, IDS, render_clip, warm_up
from bench.synth.domains import DOMAINS, samples_per_clip
from bench.synth.raster import rasterize

SIZE = 96
SEED = 11
CLIPS = {
    "lab_rgbd": 3,
    "wild_rgb": 12,
    "d_dense": 12,
    "d_parse": 6,
    "d_parse_depth": 10,
    "d_pose": 6,
    "d_pose_depth": 10,
    "d_mesh": 6,
    "studio_mv": 1,
    "video_wild": 2,
}


def clips_of(domain: str, count: int, size: int = SIZE):
    split = DOMAINS[domain].splits[0]
    parts = [render_clip(domain, split, k, size=size, seed=SEED, exact=True) for k in range(count)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def images():
    """Samples of all domains."""
    drawn = [clips_of(domain, count) for domain, count in CLIPS.items()]
    return {name: np.concatenate([d[name] for d in drawn]) for name in drawn[0]}


@pytest.fixture(scope="module")
def naked():
    """As `images`, with clothes as thin as paint: what is seen is the body itself."""
    original = identity.stand_off
    identity.draw_identity.cache_clear()
    identity.stand_off = lambda outfit, points: np.zeros(len(points), np.float32)
    try:
        return clips_of("wild_rgb", 8)
    finally:
        identity.stand_off = original
        identity.draw_identity.cache_clear()


def one(images, row: int):
    return {name: array[row] for name, array in images.items()}


def rays(sample) -> np.ndarray:
    """Viewing rays of the pixel centres in the camera frame, unit depth, (S, S, 3)."""
    focal, cx, cy = sample["cam"][:3]
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.stack([(x - cx) / focal, (y - cy) / focal, np.ones_like(x)], -1)


@pytest.mark.parametrize("domain", DOMAINS)
def test_fields_have_their_types_and_ids(domain):
    split = DOMAINS[domain].splits[-1]
    clip = render_clip(domain, split, 4, size=32, seed=1, exact=True)
    assert set(clip) == set(FIELDS) | set(EXACT_FIELDS)
    count = samples_per_clip(domain)
    for name, (dtype, shape) in (FIELDS | EXACT_FIELDS).items():
        assert clip[name].dtype == dtype and clip[name].shape == (count, *shape(32)), name
    ids = dict(zip(IDS, clip["ids"].T, strict=True))
    assert len({(f, c) for f, c in zip(ids["frame"], ids["camera"], strict=True)}) == count
    assert (ids["domain"] == DOMAINS[domain].index).all() and (ids["cluster"] == ids["identity"]).all()
    assert list(ACTIONS)[ids["action"][0]] in DOMAINS[domain].actions_in(split)
    assert clip["depth"].any() == ("depth" in DOMAINS[domain].modalities)
    assert (clip["keypoints_detected"][..., 2] == (clip["kp"][..., 3] > 0)).all() != DOMAINS[
        domain
    ].detected_joints


def test_masks_agree(images):
    person = labels.mask(images["fid"])
    assert np.array_equal(person, labels.part25(images["fid"]) > 0)
    assert np.array_equal(person, labels.chart24(images["fid"]) > 0)
    assert not images["uv"][~person].any() and images["uv"][person].any()
    assert images["fid"].max() < len(surrogate_body().faces)


def test_people_fill_their_pictures_and_are_readable(images):
    person = labels.mask(images["fid"])
    assert person.mean() > 0.18 and person.mean((1, 2)).min() > 0.04
    level = np.array([p[m].mean() for p, m in zip(images["rgb"], person, strict=True)])
    assert 90 < level.mean() < 150 and level.min() > 40 and level.max() < 215


def test_visible_joints_lie_on_the_person_and_on_their_parts(images):
    near = {
        "head": {"head", "upper spine"},
        "l_knee": {"left knee", "left thigh", "left calf"},
        "r_knee": {"right knee", "right thigh", "right calf"},
        "l_elbow": {"left elbow", "left arm", "left forearm"},
        "r_elbow": {"right elbow", "right arm", "right forearm"},
        "l_ankle": {"left foot", "left calf"},
        "r_ankle": {"right foot", "right calf"},
        "l_hand": {"left hand", "left forearm"},
        "r_hand": {"right hand", "right forearm"},
    }
    seen = images["kp"][..., 3] == 2
    row, joint = np.nonzero(seen)
    x, y = np.floor(images["kp"][row, joint, :2]).astype(int).T
    assert labels.mask(images["fid"])[row, y, x].mean() > 0.97
    part = np.array(P25_NAMES)[labels.part25(images["fid"])[row, y, x]]
    hits = [part[k] in near[name] for name in near for k in np.flatnonzero(joint == JOINTS[name])]
    assert len(hits) > 300 and np.mean(hits) > 0.9


def test_left_and_right_are_never_swapped(images):
    seen = images["kp"][..., 3] == 2
    right_labels = np.array(["right" in name for name in P25_NAMES])
    left_labels = np.array(["left" in name for name in P25_NAMES])
    agree = []
    for side, own, other in (("l", left_labels, right_labels), ("r", right_labels, left_labels)):
        for name in ("elbow", "wrist", "hand", "knee", "ankle"):
            joint = JOINTS[f"{side}_{name}"]
            row = np.flatnonzero(seen[:, joint])
            x, y = np.floor(images["kp"][row, joint, :2]).astype(int).T
            part = labels.part25(images["fid"])[row, y, x]
            agree += own[part[own[part] | other[part]]].tolist()
    assert len(agree) > 300 and np.mean(agree) > 0.98


def test_uv_lead_back_to_the_place_on_the_body(naked):
    lookup = ChartLookup(surrogate_body(), surrogate_labels())
    for row in range(0, len(naked["fid"]), 3):
        sample = one(naked, row)
        posed = labels.vertices(sample)
        place = np.flatnonzero(labels.mask(sample["fid"]).ravel())[::7]
        u, v = sample["uv"].reshape(-1, 2)[place].T / 255
        face, bary = lookup.locate(labels.chart24(sample["fid"]).ravel()[place], u, v)
        found = np.einsum("nk,nkd->nd", bary, posed[surrogate_body().faces[face]])
        truth = (rays(sample) * sample["z"][..., None]).reshape(-1, 3)[place]
        error = np.linalg.norm(found - truth, axis=1)
        assert np.median(error) < 0.003 and np.quantile(error, 0.95) < 0.010


def test_exact_depth_is_that_of_the_labelled_triangle(naked):
    for row in range(len(naked["fid"])):
        sample = one(naked, row)
        seen = labels.mask(sample["fid"])
        a, b, c = (labels.vertices(sample)[surrogate_body().faces[sample["fid"][seen], k]] for k in range(3))
        normal = np.cross(b - a, c - a).astype(np.float64)
        z = (normal * a).sum(1) / (normal * rays(sample)[seen]).sum(1)  # ray meets the plane of the face
        assert np.quantile(np.abs(z - sample["z"][seen]), 0.99) < 0.001


def test_clothes_stay_close_to_the_body(images):
    for row in range(0, len(images["fid"]), 5):
        sample = one(images, row)
        seen = labels.mask(sample["fid"])
        centre = labels.vertices(sample)[surrogate_body().faces[sample["fid"][seen]]].mean(1)
        points = rays(sample)[seen] * sample["z"][seen][:, None]
        assert np.quantile(np.linalg.norm(points - centre, axis=1), 0.99) < 0.05


def test_joints_and_translation_agree_with_the_body_model(images):
    model = surrogate_body()
    for row in range(0, len(images["kp"]), 5):
        sample = one(images, row)
        joints = model.joint_regressor @ labels.vertices(sample).astype(np.float64)
        focal, cx, cy = sample["cam"][:3]
        close = np.abs(joints[:, 2] - sample["kp"][:, 2])
        found = joints[:, :2] / joints[:, 2:] * focal + [cx, cy]
        # regressed joints of a posed mesh move a little when skin slides over them
        assert np.median(close) < 0.015
        assert np.median(np.abs(found - sample["kp"][:, :2])) < 0.012 * focal / joints[:, 2].mean()


def test_sensor_depth_follows_exact_depth_on_the_person(images):
    rows = np.flatnonzero(images["depth"].any((1, 2)))
    masked = {domain.index for domain in DOMAINS.values() if domain.depth_masked}
    assert len(rows) > 20
    for row in rows:
        measured, z = images["depth"][row] / 1000, images["z"][row]
        valid = (measured > 0) & labels.mask(images["fid"][row])
        assert valid.sum() > 0.75 * labels.mask(images["fid"][row]).sum()
        assert np.median(np.abs(measured - z)[valid]) < 0.05
        outside = (measured > 0) & ~labels.mask(images["fid"][row])
        if images["ids"][row, IDS.index("domain")] in masked:
            assert outside.sum() < 0.35 * valid.sum()  # a rough mask, but a mask


def test_a_mirrored_body_gives_the_mirrored_picture(images):
    model, flip = surrogate_body(), np.diag([-1.0, 1.0, 1.0])
    for row in range(0, len(images["fid"]), 9):
        sample = one(images, row)
        posed, camera = labels.vertices(sample).astype(np.float64), sample["cam"]
        view = Camera(rotation=np.eye(3), eye=np.zeros(3), focal=camera[0], cx=camera[1], cy=camera[2])
        mirror = Camera(
            rotation=np.eye(3), eye=np.zeros(3), focal=camera[0], cx=SIZE - camera[1], cy=camera[2]
        )
        plain = rasterize(view.pixels(posed.T.copy()), model.faces, SIZE).ids
        other = rasterize(mirror.pixels((posed @ flip)[model.mirror].T.copy()), model.faces, SIZE).ids[
            :, ::-1
        ]
        both = (plain >= 0) & (other >= 0)
        assert both.sum() > 0.99 * (plain >= 0).sum()
        assert (labels.chart24(other[both]) == DP24_FLIP[labels.chart24(plain[both])]).mean() > 0.99
        assert (surrogate_labels().face_mirror[other[both]] == plain[both]).mean() > 0.98


def digest(clip) -> str:
    return hashlib.sha1(b"".join(clip[name].tobytes() for name in FIELDS)).hexdigest()


def test_clips_do_not_depend_on_order_or_process():
    wanted = [("lab_rgbd", "pretrain", 2), ("wild_rgb", "pretrain", 5), ("d_parse", "train", 1)]
    first = [digest(render_clip(*key, size=32, seed=4)) for key in wanted]
    again = [digest(render_clip(*key, size=32, seed=4)) for key in reversed(wanted)][::-1]
    code = (
        "import hashlib; from bench.synth.clips import FIELDS, render_clip\n"
        f"for key in {wanted[::-1]!r}:\n"
        "    clip = render_clip(*key, size=32, seed=4)\n"
        "    print(hashlib.sha1(b''.join(clip[n].tobytes() for n in FIELDS)).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert first == again == out.stdout.split()[::-1]
    assert (
        len({digest(render_clip("d_dense", "train", k, size=32, seed=s)) for k in (0, 1) for s in (0, 1)})
        == 4
    )


def test_people_and_rooms_are_what_ids_say():
    lab = [render_clip("d_parse", "train", k, size=32, seed=0) for k in (0, 168, 7)]  # one room
    assert np.array_equal(lab[0]["betas"][0], lab[1]["betas"][0])  # 24 people take turns
    assert not np.array_equal(lab[0]["betas"][0], lab[2]["betas"][0])
    eyes = {
        (int(camera), tuple(cam[12:15].round(5).tolist()))
        for clip in lab
        for camera, cam in zip(clip["ids"][:, IDS.index("camera")], clip["cam"], strict=True)
    }
    assert len(eyes) == len({camera for camera, _ in eyes})  # the cameras of the room stay in place


def test_kernels_are_compiled_once():
    warm_up()
    for domain in CLIPS:
        render_clip(domain, DOMAINS[domain].splits[-1], 0, size=24, seed=0)
    from bench.synth import cast_numba, clothes_numba, raster_numba, shade_numba

    kernels = (
        cast_numba.resolve, clothes_numba.stand_off, raster_numba.fill, raster_numba.normals,
        shade_numba.edges, shade_numba.paint,
    )  # fmt: skip
    assert [len(kernel.signatures) for kernel in kernels] == [1] * len(kernels)


def test_colour_alone_does_not_give_the_parts_away():
    """A look-up from colour to the most frequent part stays weak, so the task needs shape."""
    train, test = (
        [render_clip("d_parse", "train", k, size=48, seed=0) for k in numbers]
        for numbers in (range(24), range(24, 40))
    )

    def flat(clips):
        colour = np.concatenate([c["rgb"].reshape(-1, 3) for c in clips]).astype(int) // 16
        part = np.concatenate([labels.part25(c["fid"]).ravel() for c in clips])
        return colour @ [256, 16, 1], part

    bins, part = flat(train)
    votes = np.bincount(bins * 25 + part, minlength=4096 * 25).reshape(4096, 25)
    bins, part = flat(test)
    counts = np.bincount(25 * part + votes[bins].argmax(1), minlength=625).reshape(25, 25)
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    assert iou.mean() < 0.08


def test_wrong_sizes_are_explained():
    with pytest.raises(ConfigError, match=r"outside 16\.\.1024"):
        render_clip("lab_rgbd", "pretrain", 0, size=8, seed=0)
