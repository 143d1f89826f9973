from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bench.metrics.densepose import KAPPA_M, PART_KAPPAS_M
from bench.metrics.densepose_detection import (
    ChartVertices,
    Found,
    Persons,
    Similarity,
    cells,
    coco_mask,
    coco_points,
    compare,
    gps_matrix,
    mask_iou,
    pasted,
    resampled,
    surface_rows,
    thresholds_from,
)
from bench.metrics.detection import (
    ABSENT,
    AREAS,
    COUNTED,
    CROWD,
    IGNORED,
    THRESHOLDS,
    box_iou,
    box_rows,
    detection_metrics,
)

SIZE = (60, 80)
NAMES = ("ap", "ap50", "ap75", "ar", "ar50", "ar75")


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A made-up surface: a metre for another chart, a centimetre for each step of u and v."""
    gap = np.abs(first.astype(float) - second.astype(float))
    return np.where(gap[:, 0] > 0, 1.0, 0) + 0.01 * gap[:, 1:].sum(1)


def persons(rng: np.random.Generator, count: int = 3, points: int = 12) -> tuple[Persons, np.ndarray]:
    """People in columns of an image beside each other, and the map (3, H, W) of the surface that is seen."""
    row, column = np.indices(SIZE)
    iuv = np.stack([1 + row // 15, 3 * column, 3 * row]).astype(np.uint8)
    boxes, masks, places = [], np.zeros((count, *SIZE), bool), np.zeros((count, points, 2))
    chart, uv = np.zeros((count, points), int), np.zeros((count, points, 2), int)
    for g in range(count):
        x, y, w, h = (
            26 * g + rng.integers(0, 4),
            rng.integers(0, 9),
            rng.integers(12, 20),
            rng.integers(25, 50),
        )
        boxes.append((x, y, w, h))
        masks[g, y : y + h, x : x + w] = True
        column, row = rng.integers(x, x + w, points), rng.integers(y, y + h, points)
        places[g] = np.stack([column, row], 1) + 0.5
        chart[g], uv[g] = iuv[0, row, column], iuv[1:, row, column].T
    iuv[0][~masks.any(0)] = 0
    area = masks.sum((1, 2)).astype(float)
    found = Persons(
        boxes=np.array(boxes, float).reshape(-1, 4), area=area, kinds=np.full(count, COUNTED),
        points=places, chart=chart, uv=uv, masks=masks,
    )  # fmt: skip
    return found, iuv


def cut(iuv: np.ndarray, box: np.ndarray) -> np.ndarray:
    x, y = box[:2].astype(int)
    h, w = cells(box)
    return np.pad(iuv, ((0, 0), (0, h), (0, w)))[:, y : y + h, x : x + w]


def perfect(rng: np.random.Generator, **kwargs: int) -> tuple[Found, Persons]:
    wanted, iuv = persons(rng, **kwargs)
    return Found(
        boxes=wanted.boxes, scores=rng.random(len(wanted.boxes)), iuv=[cut(iuv, box) for box in wanted.boxes]
    ), wanted


def worse(rng: np.random.Generator) -> tuple[Found, Persons]:
    """Some detections are good, some off, some of nobody."""
    wanted, iuv = persons(rng)
    count = int(rng.integers(1, 7))
    boxes = wanted.boxes[rng.integers(0, len(wanted.boxes), count)] + rng.normal(0, 2, (count, 4))
    boxes = np.clip(boxes, 0.3, 75)
    maps = [cut(iuv, box).copy() for box in boxes]
    for each in maps:
        each[1:] = np.clip(each[1:].astype(int) + rng.integers(-20, 21, each[1:].shape), 0, 255)
    return Found(boxes=boxes, scores=rng.random(count).round(1), iuv=maps), wanted


def metrics(given: Similarity, what: str, **kwargs: object) -> dict[str, float]:
    rows = surface_rows(given, what, **kwargs)  # type: ignore[arg-type]
    thresholds = kwargs.get("thresholds", THRESHOLDS)
    found = detection_metrics(rows, np.ones((1, len(given.scores))), NAMES, thresholds)  # type: ignore[arg-type]
    return {name: float(value[0]) for name, value in found.items()}


@pytest.mark.parametrize("what", ["gps", "gpsm", "iou"])
def test_truth_as_detections_is_perfect_and_background_is_worst(what: str) -> None:
    rng = np.random.default_rng(0)
    images = [perfect(rng) for _ in range(5)]
    assert metrics(compare(images, apart), what) == dict.fromkeys(NAMES, pytest.approx(1.0))
    for found, _ in images:
        for each in found.iuv:
            each[0] = 0
    assert metrics(compare(images, apart), what) == dict.fromkeys(NAMES, 0.0)


def miniature() -> tuple[Found, Persons]:
    """One person of 4 x 4 pixels with four points; a detection that starts 1.5 pixels further right."""
    wanted = Persons(
        boxes=np.array([[2.0, 2, 4, 4]]), area=np.array([16.0]), kinds=np.array([COUNTED]),
        points=np.array([[[2.5, 2.5], [3.5, 3.5], [4.5, 4.5], [5.5, 5.5]]]),
        chart=np.array([[1, 3, 3, 23]]), uv=np.full((1, 4, 2), 100), masks=np.zeros((1, 8, 10), bool),
    )  # fmt: skip
    wanted.masks[0, 2:6, 2:6] = True
    iuv = np.zeros((3, 4, 4), np.uint8)
    iuv[0], iuv[1:] = 3, 100
    iuv[1, 2, 1] = 110  # where the third point is read: 10 cm off
    iuv[0, 3, 2] = 0  # background where the fourth is
    found = Found(boxes=np.array([[3.5, 2.0, 4.7, 4.2]]), scores=np.array([0.9]), iuv=[iuv])
    return found, wanted


def test_gps_and_gpsm_by_hand() -> None:
    found, wanted = miniature()
    # -1.0 is outside; offsets 0, 1 and 2 are read from columns 0, 1 and 2 of the detection's map
    near = np.exp(-0.5 * (0.1 / KAPPA_M) ** 2)
    given = compare([(found, wanted)], apart)
    assert given.gps[0, 0, 0] == pytest.approx((0 + 1 + near + 0) / 4)
    # the mask lies from column 3 on, without its hole: 3 x 4 - 1 pixels are common, 16 + 15 in all
    assert given.masks[0, 0, 0] == pytest.approx(11 / (16 + 15 - 11))
    assert given.gpsm[0, 0, 0] == pytest.approx(np.sqrt((1 + near) / 4 * 11 / 20))
    (parts,) = gps_matrix([(found, wanted)], apart, "parts")
    hand = np.exp(-0.5 * (0.1 / PART_KAPPAS_M[2]) ** 2)
    assert parts[0, 0] == pytest.approx((1 + hand) / 4)


def test_a_little_left_of_the_box_still_reads_its_first_column() -> None:
    """Offsets are cut off towards zero, as in the released code."""
    found, wanted = miniature()
    found.boxes[0, 0] = 3.3
    near, far = (np.exp(-0.5 * (gap / KAPPA_M) ** 2) for gap in (0.1, 1.0))  # far: another chart
    assert compare([(found, wanted)], apart).gps[0, 0, 0] == pytest.approx((far + 1 + near + 0) / 4)


def naive_gps(found: Found, wanted: Persons) -> np.ndarray:
    out = np.zeros((len(found.boxes), len(wanted.boxes)))
    for d, (x, y, w, h) in enumerate(found.boxes.tolist()):
        for g in range(len(wanted.boxes)):
            values = []
            for (px, py), chart, uv in zip(wanted.points[g], wanted.chart[g], wanted.uv[g], strict=True):
                column, row = int(px - x), int(py - y)
                value = 0.0
                if 0 <= column < int(w) and 0 <= row < int(h):
                    said = found.iuv[d][:, row, column]
                    if said[0]:
                        gap = apart(said[None], np.array([[chart, *uv]]))[0]
                        value = float(np.exp(-(gap**2) / (2 * 0.255**2)))
                values.append(value)
            out[d, g] = np.mean(values)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_similarities_equal_those_of_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [worse(rng) for _ in range(3)]
    for (found, wanted), ours in zip(images, gps_matrix(images, apart, "constant"), strict=True):
        np.testing.assert_allclose(ours, naive_gps(found, wanted), atol=1e-12)
        overlap = mask_iou(found, wanted)
        for d, g in np.ndindex(*overlap.shape):
            mine = pasted(found.iuv[d][0] > 0, found.boxes[d], SIZE)
            both, any_ = (mine & wanted.masks[g]).sum(), (mine | wanted.masks[g]).sum()
            assert overlap[d, g] == pytest.approx(both / max(1, any_))


@pytest.mark.parametrize("what", ["gps", "gpsm", "iou"])
def test_order_and_monotone_scores_change_nothing(what: str) -> None:
    rng = np.random.default_rng(5)
    images = [worse(rng) for _ in range(8)]
    for found, _ in images:
        found.scores[:] = rng.permutation(1000)[: len(found.scores)] + rng.random()
    expected = metrics(compare(images, apart), what)
    assert 0.05 < expected["ap"] < 0.95
    shuffled = []
    for found, wanted in images:
        order = rng.permutation(len(found.scores))
        shuffled.append(
            (
                Found(
                    boxes=found.boxes[order],
                    scores=np.exp(found.scores[order] / 300),
                    iuv=[found.iuv[i] for i in order],
                ),
                wanted,
            )
        )
    assert metrics(compare(shuffled, apart), what) == expected


# ---- against a literal second implementation of the matching, and pycocotools -----------------------------


def literal(given: Similarity, what: str, limits: tuple[float, float] | None) -> dict[str, float]:
    """Match image by image with plain loops, by the rules of the released evaluation; then accumulate."""
    alike = {"gps": given.gps, "gpsm": given.gpsm, "iou": given.masks}[what]
    low, high = limits or (0.0, 1e10)
    marks: list[tuple[float, np.ndarray, np.ndarray]] = []
    total = 0
    for n in range(len(alike)):
        ds = [d for d in np.argsort(-given.scores[n], kind="stable") if np.isfinite(given.scores[n, d])]
        gs = [g for g in range(alike.shape[2]) if given.kinds[n, g] != ABSENT]
        passed = {
            g: given.kinds[n, g] != COUNTED or not given.marked[n, g] or not low <= given.area[n, g] <= high
            for g in gs
        }
        gs.sort(key=lambda g: passed[g])
        total += sum(not passed[g] for g in gs)
        match = np.full((10, len(ds)), -1)
        ignore = np.full((10, len(ds)), all(passed.values()))
        taken: list[set[int]] = [set() for _ in range(10)]
        for t, threshold in enumerate(THRESHOLDS):
            for i, d in enumerate(ds):
                best, who = min(threshold, 1 - 1e-10), -1
                for g in gs:
                    if g in taken[t] and given.kinds[n, g] != CROWD:
                        continue
                    if who >= 0 and not passed[who] and passed[g]:
                        break
                    if alike[n, d, g] >= best:
                        best, who = alike[n, d, g], g
                if who >= 0:
                    match[t, i], ignore[t, i] = who, passed[who]
                    taken[t].add(who)
        for i, d in enumerate(ds):
            if match[9, i] < 0:
                near = [g for g in gs if (g not in taken[9] or given.kinds[n, g] == CROWD)]
                near = [g for g in near if given.boxes[n, d, g] >= 0.8]
                if near:
                    who = max(reversed(near), key=lambda g: given.boxes[n, d, g])
                    ignore[:, i] = passed[who]
                    if passed[who]:
                        match[9, i] = who
                        taken[9].add(who)
        for i, d in enumerate(ds):
            outside = not low <= given.extent[n, d] <= high
            gone = ignore[:, i] | ((match[:, i] < 0) & outside)
            marks.append((given.scores[n, d], (match[:, i] >= 0) & ~gone, (match[:, i] < 0) & ~gone))
    marks.sort(key=lambda mark: -mark[0])
    if not total:
        return dict.fromkeys(NAMES, float("nan"))
    precision, recall = np.zeros((10, 101)), np.zeros(10)
    for t in range(10):
        hits = np.cumsum([mark[1][t] for mark in marks])
        misses = np.cumsum([mark[2][t] for mark in marks])
        share = hits / (hits + misses + np.spacing(1))
        recall[t] = hits[-1] / total if len(hits) else 0.0
        for i in range(len(share) - 1, 0, -1):
            share[i - 1] = max(share[i - 1], share[i])
        for r, at in enumerate(np.searchsorted(hits / total, np.linspace(0, 1, 101))):
            precision[t, r] = share[at] if at < len(share) else 0.0
    by = {"": slice(None), "50": 0, "75": 5}
    return {
        name: float((precision.mean(1) if name[:2] == "ap" else recall)[by[name[2:]]].mean())
        for name in NAMES
    }


def random_similarity(rng: np.random.Generator, images: int = 12, d: int = 5, g: int = 4) -> Similarity:
    scores = rng.permutation(images * d).reshape(images, d) / 100
    scores = np.where(rng.random((images, d)) < 0.2, -np.inf, scores)
    return Similarity(
        gps=rng.random((images, d, g)) ** 0.4, masks=rng.random((images, d, g)) ** 0.4,
        boxes=rng.random((images, d, g)) ** 0.2, scores=scores,
        extent=rng.uniform(0, 2e4, (images, d)), area=rng.uniform(0, 2e4, (images, g)),
        kinds=rng.choice([ABSENT, COUNTED, COUNTED, COUNTED, IGNORED, CROWD], (images, g)),
        marked=rng.random((images, g)) < 0.8,
    )  # fmt: skip


@pytest.mark.parametrize("limits", [None, AREAS["medium"], AREAS["large"]])
@pytest.mark.parametrize("what", ["gps", "gpsm", "iou"])
def test_matching_equals_loops(what: str, limits: tuple[float, float] | None) -> None:
    for seed in range(8):
        given = random_similarity(np.random.default_rng(seed))
        found = metrics(given, what, limits=limits)
        assert found == pytest.approx(literal(given, what, limits), abs=1e-9, nan_ok=True)


def lonely(overlap: float, alike: float = 0.0) -> Similarity:
    """A person with points and one without; two detections, the surer one of the person without."""
    return Similarity(
        gps=np.array([[[0.0, 0.0], [alike, 0.0]]]), masks=np.zeros((1, 2, 2)),
        boxes=np.array([[[0.0, overlap], [0.9, 0.0]]]), scores=np.array([[0.9, 0.8]]),
        extent=np.ones((1, 2)), area=np.ones((1, 2)), kinds=np.full((1, 2), COUNTED),
        marked=np.array([[True, False]]),
    )  # fmt: skip


@pytest.mark.parametrize("ignoring", ["released", "each"])
def test_detections_of_persons_without_points_are_no_mistakes(ignoring: str) -> None:
    assert metrics(lonely(0.85, 1.0), "gps", ignoring=ignoring)["ap"] == pytest.approx(1.0)
    assert metrics(lonely(0.75, 1.0), "gps", ignoring=ignoring)["ap"] == pytest.approx(0.5)


def test_the_released_code_lets_the_last_threshold_decide_for_all() -> None:
    """A person without points whom a detection takes at 0.5 to 0.9 by its mask is a hit for nobody."""
    given = Similarity(
        gps=np.zeros((1, 2, 2)), masks=np.array([[[0.0, 0.92], [1.0, 0.0]]]),
        boxes=np.array([[[0.9, 0.1], [0.1, 0.1]]]), scores=np.array([[0.9, 0.8]]), extent=np.ones((1, 2)),
        area=np.ones((1, 2)), kinds=np.full((1, 2), COUNTED), marked=np.array([[True, False]]),
    )  # fmt: skip
    # The counted person is taken by the second detection: the first finds nobody, keeps its own verdicts
    each = surface_rows(given, "iou", ignoring="each")
    assert each["miss"][0, :, 0].tolist() == [False] * 9 + [True]
    given.boxes[0, 0, 1] = 0.9
    both = surface_rows(given, "iou", ignoring="released"), surface_rows(given, "iou", ignoring="each")
    assert not both[0]["miss"].any() and not both[1]["miss"].any()
    given.masks[0, 1, 0] = 0.0  # now the counted one is free: nearest by box, it makes the first a mistake,
    given.boxes[0, 0] = (0.95, 0.9)  # and a hit where it had taken the ignored one
    rows = surface_rows(given, "iou", ignoring="released")
    assert rows["hit"][0, :, 0].tolist() == [True] * 9 + [False]
    assert rows["miss"][0, :, 0].tolist() == [False] * 9 + [True]


def test_images_of_ignored_persons_have_no_mistakes() -> None:
    given = lonely(0.0)
    given.marked[:] = False
    rows = surface_rows(given, "gps")
    assert not rows["miss"].any() and rows["truths"].tolist() == [0]


def official(
    boxes: np.ndarray, scores: np.ndarray, truth: np.ndarray, area: np.ndarray, kinds: np.ndarray, size: str
) -> dict[str, float]:
    images, persons_ = kinds.shape
    there = [(n, g) for n in range(images) for g in range(persons_) if kinds[n, g] != ABSENT]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": n + 1} for n in range(images)], "categories": [{"id": 1}],
            "annotations": [
                {
                    "id": k + 1, "image_id": n + 1, "category_id": 1, "bbox": truth[n, g].tolist(),
                    "area": area[n, g], "iscrowd": int(kinds[n, g] == CROWD),
                }
                for k, (n, g) in enumerate(there)
            ],
        }  # fmt: skip
        coco.createIndex()
        given = coco.loadRes(
            [
                {"image_id": n + 1, "category_id": 1, "bbox": boxes[n, d].tolist(), "score": scores[n, d]}
                for n, d in np.argwhere(np.isfinite(scores)).tolist()
            ]
        )
        run = COCOeval(coco, given, "bbox")
        run.evaluate()
        run.accumulate()
    at = list(AREAS).index(size)
    precision, recall = run.eval["precision"][:, :, 0, at, 2], run.eval["recall"][:, 0, at, 2]
    by = {"": slice(None), "50": 0, "75": 5}
    return {
        name: float((precision.mean(1) if name[:2] == "ap" else recall)[by[name[2:]]].mean())
        for name in NAMES
    }


@pytest.mark.parametrize("size", AREAS)
def test_box_average_precision_equals_pycocotools(size: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        images, d, g = 15, 6, 4
        truth = np.concatenate(
            [rng.uniform(0, 200, (images, g, 2)), rng.uniform(10, 150, (images, g, 2))], -1
        )
        boxes = truth[:, rng.integers(0, g, d)] + rng.normal(0, 9, (images, d, 4))
        boxes[..., 2:] = np.maximum(boxes[..., 2:], 1)
        scores = np.where(rng.random((images, d)) < 0.2, -np.inf, rng.random((images, d)).round(1))
        area = truth[..., 2:].prod(-1) * rng.uniform(0.4, 0.9, (images, g))
        kinds = rng.choice([ABSENT, COUNTED, COUNTED, CROWD], (images, g))
        rows = box_rows(boxes, scores, truth, area, kinds, limits=AREAS[size])
        found = {name: v[0] for name, v in detection_metrics(rows, np.ones((1, images)), NAMES).items()}
        expected = official(boxes, scores, truth, area, kinds, size)
        if expected["ap"] == -1:
            assert all(np.isnan(v) for v in found.values())
        else:
            assert found == pytest.approx(expected, abs=1e-9)


def test_lower_thresholds_join_those_of_coco() -> None:
    given = random_similarity(np.random.default_rng(3))
    low = thresholds_from(0.2)
    assert len(low) == 16
    found, usual = metrics(given, "gps", thresholds=low), metrics(given, "gps")
    assert (found["ap50"], found["ar75"]) == pytest.approx((usual["ap50"], usual["ar75"]))
    assert found["ap"] > usual["ap"] and found["ar"] > usual["ar"]
    np.testing.assert_allclose(thresholds_from(0.5), THRESHOLDS)


def test_boxes_by_hand() -> None:
    found = box_iou([[0, 0, 4, 2]], [[2, 0, 4, 2], [9, 9, 1, 1], [3, 1, 9, 9]], [COUNTED, COUNTED, CROWD])
    np.testing.assert_allclose(found, [[4 / 12, 0, 1 / 8]])


def test_maps_come_to_the_size_of_their_box() -> None:
    grid = np.arange(3 * 4 * 4).reshape(3, 4, 4).astype(np.uint8)
    assert np.array_equal(resampled(grid, [0.2, 0.7, 4.9, 4.0]), grid)
    assert np.array_equal(resampled(grid, [0, 0, 8, 4]), grid.repeat(2, 2))
    assert np.array_equal(resampled(grid, [0, 0, 2, 2]), grid[:, 1::2, 1::2])
    assert resampled(grid, [5.0, 5.0, 0.3, 2.7]).shape == (3, 2, 1)


def test_masks_are_pasted_where_boxes_begin_and_cut_at_the_image() -> None:
    mask = np.ones((4, 3), bool)
    assert np.argwhere(pasted(mask, [1.9, 2.9, 3.0, 4.0], (9, 9))).min(0).tolist() == [2, 1]
    assert pasted(mask, [1.9, 2.9, 3.0, 4.0], (9, 9)).sum() == 12
    assert pasted(mask, [7.0, 7.0, 3.0, 4.0], (9, 9)).sum() == 4
    assert not pasted(mask, [9.0, 0.0, 3.0, 4.0], (9, 9)).any()


def test_annotations_of_coco_become_places_of_the_image() -> None:
    points = coco_points([0, 127.5, 255], [255, 0, 51], [10.0, 20.0, 51.0, 102.0])
    np.testing.assert_allclose(points, [[10, 122], [35.5, 20], [61, 40.4]])
    parts = np.zeros((256, 256), np.uint8)
    parts[:, :128] = 7
    found = coco_mask(parts, [4.0, 6.0, 20.0, 10.0], (30, 40))
    assert found[6:16, 4:14].all() and found.sum() == 100


def test_nearest_vertices_and_both_forms_of_the_table() -> None:
    rng = np.random.default_rng(0)
    chart = np.repeat([1, 2, 24], 5)
    uv, surface = rng.random((15, 2)), np.array([*range(12), 3, 4, 5])  # the last three repeat others
    full = rng.random((12, 12))
    full = np.tril(full, -1) + np.tril(full, -1).T
    flat = np.concatenate([full[i, :i] for i in range(12)])
    points = np.stack([rng.choice([1, 2, 3, 24], 60), *rng.integers(0, 256, (2, 60))], 1)
    others = points[rng.permutation(60)]
    dense, thin = (ChartVertices(chart, uv, surface, table) for table in (full, flat))
    np.testing.assert_array_equal(dense.between(points, others), thin.between(points, others))
    for row, vertex in zip(points, dense.vertex(points), strict=True):
        own = np.flatnonzero(chart == row[0])
        if not len(own):
            assert vertex == -1
            continue
        assert vertex == surface[own[np.linalg.norm(uv[own] - row[1:] / 255, axis=1).argmin()]]
    assert np.isinf(dense.between(points, others)[points[:, 0] == 3]).all()
    assert not dense.between(points, points)[points[:, 0] != 3].any()
