import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError
from bench.metrics.detection import ABSENT, COUNTED, CROWD, detection_metrics
from bench.metrics.keypoints import (
    AREA_SHARE,
    HEAD_SHARE,
    box_area,
    box_sizes,
    head_sizes,
    joint_hits,
    mean_places,
    oks,
    oks_rows,
    pck,
    per_joint,
    sigmas_of,
    torso_sizes,
)

COCO17 = sigmas_of("coco17")


def scene(rng: np.random.Generator, images: int, persons: int, detections: int):
    """Random people, crowds among them, and detections near some of them; padded."""
    kinds = rng.choice([ABSENT, COUNTED, COUNTED, COUNTED, CROWD], (images, persons))
    box = np.concatenate(
        [rng.random((images, persons, 2)) * 150, 20 + rng.random((images, persons, 2)) * 150], 2
    )
    area = box[..., 2] * box[..., 3] * rng.uniform(0.3, 0.8, (images, persons))
    place = box[:, :, None, :2] + rng.random((images, persons, 17, 2)) * box[:, :, None, 2:]
    seen = rng.choice([0, 1, 2], (images, persons, 17)) * (rng.random((images, persons, 1)) < 0.85)
    seen = np.where((kinds == CROWD)[..., None], 0, seen)
    truth = np.concatenate([place * (seen > 0)[..., None], seen[..., None]], 3)
    whose = rng.integers(0, persons, (images, detections))
    blur = rng.choice([0.01, 0.05, 0.1, 0.5], (images, detections))[..., None, None]
    near = np.take_along_axis(place, whose[:, :, None, None], 1)
    extent = np.sqrt(np.take_along_axis(area, whose, 1))[..., None, None]
    predicted = near + blur * extent * rng.standard_normal(near.shape)
    scores = rng.integers(0, 15, (images, detections)) / 15  # ties are wanted
    scores = np.where(rng.random(scores.shape) < 0.15, -np.inf, scores)
    return predicted, scores, truth, area, kinds, box


def official(predicted, scores, truth, area, kinds, box, areas=None) -> dict[str, float]:
    """COCOeval on the same people, each image once."""
    gt, dt = [], []
    for n, g in np.argwhere(kinds != ABSENT):
        gt.append(
            {
                "id": len(gt) + 1, "image_id": int(n) + 1, "category_id": 1, "area": float(area[n, g]),
                "bbox": box[n, g].tolist(), "iscrowd": int(kinds[n, g] == CROWD),
                "keypoints": truth[n, g].reshape(-1).tolist(),
                "num_keypoints": int((truth[n, g, :, 2] > 0).sum()),
            }
        )  # fmt: skip
    for n, d in np.argwhere(np.isfinite(scores)):
        joints = np.concatenate([predicted[n, d], np.ones((17, 1))], 1)
        dt.append(
            {"image_id": int(n) + 1, "category_id": 1, "score": float(scores[n, d]),
             "keypoints": joints.reshape(-1).tolist()}
        )  # fmt: skip
    images = [{"id": n + 1} for n in range(len(scores))]
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": images,
            "annotations": gt,
            "categories": [{"id": 1, "name": "person"}],
            "info": {},
        }
        data.createIndex()
        run = COCOeval(data, data.loadRes(dt), "keypoints")
        if areas is not None:
            run.params.areaRng, run.params.areaRngLbl = [list(areas)], ["all"]
        run.evaluate()
        run.accumulate()
    precision, recall = run.eval["precision"][:, :, 0, 0, 0], run.eval["recall"][:, 0, 0, 0]
    each = precision.mean(1)
    return {"ap": each.mean(), "ap50": each[0], "ap75": each[5], "ar": recall.mean()}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4), st.integers(1, 25),
    st.sampled_from([None, (32.0**2, 96.0**2), (96.0**2, 1e10)]),
)  # fmt: skip
def test_average_precision_equals_cocoeval(seed, images, persons, detections, areas) -> None:
    people = scene(np.random.default_rng(seed), images, persons, detections)
    predicted, scores, truth, area, kinds, box = people
    if not np.isfinite(scores).any():
        return
    rows = oks_rows(predicted, scores, truth, area, kinds, COCO17, box=box, areas=areas)
    found = detection_metrics(rows, np.ones((1, images)))
    expected = official(*people, areas=areas)
    if expected["ap"] == -1:  # nobody to find
        assert all(np.isnan(value).all() for value in found.values())
        return
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_of_repeated_images_equals_cocoeval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, scores, truth, area, kinds, box = scene(rng, 12, 3, 4)
    scores = np.where(np.isfinite(scores), rng.random(scores.shape), scores)  # no ties inside an image
    weights = rng.integers(0, 4, (1, 12))
    copies = [np.repeat(x, weights[0], axis=0) for x in (predicted, scores, truth, area, kinds, box)]
    rows = oks_rows(predicted, scores, truth, area, kinds, COCO17, box=box)
    found = detection_metrics(rows, weights)
    for name, value in official(*copies).items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_oks_by_hand() -> None:
    truth = np.zeros((1, 1, 17, 3))
    truth[0, 0, 0], truth[0, 0, 9] = (10, 20, 2), (30, 40, 1)
    predicted = np.zeros((1, 1, 17, 2))
    predicted[0, 0, 0], predicted[0, 0, 9] = (13, 24), (30, 40)
    near = np.exp(-25 / (2 * 500 * (2 * 0.026) ** 2))
    assert oks(predicted, truth, [[500.0]], COCO17)[0, 0, 0] == pytest.approx((near + 1) / 2)


@pytest.mark.parametrize("name", sorted(JOINT_SETS))
def test_every_joint_set_has_sigmas_that_mirroring_keeps(name: str) -> None:
    sigmas = sigmas_of(name)
    assert sigmas.shape == (len(JOINT_SETS[name]),)
    assert ((sigmas > 0.015) & (sigmas < 0.2)).all()
    np.testing.assert_array_equal(sigmas, sigmas[list(JOINT_SETS[name].flip)])


def test_joints_that_coco_has_keep_its_sigmas_in_other_sets() -> None:
    own = dict(zip(JOINT_SETS["coco17"].names, COCO17, strict=True))
    for joint, sigma in zip(JOINT_SETS["smpl24"].names, sigmas_of("smpl24"), strict=True):
        assert sigma == own.get(joint, sigma)


def test_joint_hits_by_hand() -> None:
    truth = np.array([[[0, 0, 2], [10, 0, 1], [5, 5, 0]], [[0, 0, 2], [0, 8, 2], [1, 1, 2]]], float)
    predicted = np.array([[[3, 4], [10, 5.01], [5, 5]], [[0, 0], [0, 0], [0, 0]]], float)
    rows = joint_hits(predicted, truth, np.array([5.0, np.nan]))
    assert rows["hits"].tolist() == [[True, False, False], [False] * 3]
    assert rows["joints"].tolist() == [[True, True, False], [False] * 3]
    rows = joint_hits(predicted, truth, 5)
    assert rows["hits"].sum(0).tolist() == [2, 0, 1]
    assert pck(rows["hits"].sum(0), rows["joints"].sum(0)) == pytest.approx(3 / 5)
    assert per_joint(rows["hits"].sum(0), rows["joints"].sum(0)) == pytest.approx((1 + 0 + 1) / 3)


def test_pck_of_mpii_leaves_pelvis_and_thorax_out() -> None:
    hits, joints = np.zeros((2, 16)), np.ones((2, 16))
    hits[0, [6, 7]] = 1
    hits[1, [0, 5]] = 1
    assert pck(hits, joints, "mpii16").tolist() == [0, 2 / 14]
    assert np.isnan(pck(np.zeros(16), np.zeros(16), "mpii16"))


def test_sizes_of_people() -> None:
    coco = np.zeros((2, 17, 3))
    coco[:, 5], coco[:, 12] = (0, 0, 2), (30, 40, 1)  # left shoulder, right hip
    coco[1, 12, 2] = 0
    np.testing.assert_allclose(torso_sizes(coco, "coco17"), [50, np.nan])
    np.testing.assert_allclose(head_sizes(coco, "coco17"), [50 * HEAD_SHARE, np.nan])
    np.testing.assert_allclose(box_sizes(coco), [40, 0])
    np.testing.assert_allclose(box_area(coco), [AREA_SHARE * 30 * 40, 0])
    coco[0, 12, 0] = 0  # joints on a line
    np.testing.assert_allclose(box_area(coco)[0], AREA_SHARE * 40 * 10)
    mpii = np.zeros((1, 16, 3))
    mpii[0, 8], mpii[0, 9] = (3, 0, 2), (0, 4, 2)
    assert head_sizes(mpii, "mpii16") == 5
    assert np.isnan(box_sizes(np.zeros((1, 17, 3)))).all()
    assert box_area(np.zeros((1, 17, 3))) == 0


def test_a_set_without_shoulders_has_no_torso() -> None:
    with pytest.raises(ConfigError, match='"penn14"'):
        sigmas_of("penn14")


def test_mean_places_count_what_is_known() -> None:
    places = np.array([[[1.0, 2.0], [np.nan, 0.0]], [[3.0, 6.0], [7.0, 7.0]]])
    found = mean_places(places, [[True, False], [True, False]], [5.0, 5.0])
    np.testing.assert_array_equal(found, [[2.0, 4.0], [5.0, 5.0]])
