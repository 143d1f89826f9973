from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import Batch, DataInfo, FeatureInfo, Stats
from bench.errors import ConfigError
from bench.grid.request import BUILT_IN
from tasks.densepose import uv_sum
from tasks.densepose_detection import (
    DensePoseDetection,
    DensePoseDetectionConfig,
    people_of,
    surface_losses,
    to_iuv,
)

H, W = 48, 64
CFG = DensePoseDetectionConfig(detections=6, cells=8)
DATA = DataInfo(n_samples=8, size=(H, W), joint_set="")
INFO = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)
TASK = DensePoseDetection(CFG, DATA)
PEOPLE, POINTS = 3, 40


pytestmark = pytest.mark.usefixtures("geodesic_cache")


def scenes(n: int = 5, seed: int = 0) -> Stats:
    """Pictures of rectangular people; the k-th picture lacks the last person where k is odd."""
    rng = np.random.default_rng(seed)
    person, boxes = np.zeros((n, H, W), np.uint8), np.zeros((n, PEOPLE, 4), np.float32)
    points = np.full((n, PEOPLE, POINTS, 2), -1, np.int16)
    chart = np.zeros((n, PEOPLE, POINTS), np.uint8)
    uv = np.zeros((n, PEOPLE, POINTS, 2), np.uint8)
    for i in range(n):
        for k in range(PEOPLE - i % 2):
            x0, y0 = 20 * k + rng.integers(1, 6), rng.integers(0, 8)
            x1, y1 = x0 + rng.integers(9, 14), y0 + rng.integers(20, 40)
            person[i, y0:y1, x0:x1], boxes[i, k] = k + 1, (x0, y0, x1, y1)
            column, row = rng.integers(x0, x1, POINTS), rng.integers(y0, y1, POINTS)
            points[i, k] = np.stack([row, column], -1)
            chart[i, k] = 1 + (row - y0) * 24 // (y1 - y0)
            uv[i, k] = np.stack([column * 4, row * 5], -1)
    return {
        "person": person, "boxes": boxes, "points": points.reshape(n, -1, 2),
        "point_chart": chart.reshape(n, -1), "point_uv": uv.reshape(n, -1, 2),
    }  # fmt: skip


def to_batch(truth: Stats) -> Batch:
    return {
        "person": torch.from_numpy(truth["person"]).long(),
        "boxes": torch.from_numpy(truth["boxes"]),
        "points": torch.from_numpy(truth["points"]).float(),
        "point_chart": torch.from_numpy(truth["point_chart"]).long(),
        "point_uv": torch.from_numpy(truth["point_uv"]).float() / 255,
    }


def metrics(predicted: Stats, truth: Stats) -> dict[str, float]:
    rows = TASK.score_samples(predicted, truth)
    n = len(truth["boxes"])
    assert all(len(values) == n for values in rows.values())
    return {name: float(v[0]) for name, v in TASK.aggregate(rows, np.ones((1, n))).items()}


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "densepose_detection.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    built = adapter(build_config(adapter.Config, spec["config"], "task"), DATA)
    assert built.cfg == DensePoseDetectionConfig()
    tiny = {**spec["config"], **spec["presets"]["tiny"]["config"]}
    assert build_config(adapter.Config, tiny, "task").detections == 10


def test_truth_as_prediction_is_perfect_and_nothing_found_is_worst() -> None:
    truth = scenes()
    best = TASK.oracle_prediction(truth)
    assert metrics(best, truth) == pytest.approx({metric.name: 100.0 for metric in TASK.metrics})
    nothing = {**best, "scores": np.full_like(best["scores"], -np.inf)}
    assert metrics(nothing, truth) == {metric.name: 0.0 for metric in TASK.metrics}


def test_surfaces_of_others_spoil_gps_and_gpsm_alone() -> None:
    truth = scenes()
    best = TASK.oracle_prediction(truth)
    mixed = {**best, "iuv": best["iuv"].copy()}
    body = mixed["iuv"][:, :, :1] > 0
    mixed["iuv"][:, :, :1] = np.where(body, 1 + (mixed["iuv"][:, :, :1] + 11) % 24, 0)
    found = metrics(mixed, truth)
    assert all(found[f"{what}_ap"] == pytest.approx(100) for what in ("mask", "box"))
    assert found["gps_ap"] < 20 and found["gpsm_ap"] < 60


def test_more_detections_than_people_cost_only_where_they_are_surer() -> None:
    truth = scenes()
    best = TASK.oracle_prediction(truth)
    extra = {name: np.concatenate([v, v[:, :1]], 1) for name, v in best.items()}
    for sure, wanted in ((0.1, 100.0), (5.0, 1.0)):
        extra["scores"][:, -1] = sure
        extra["boxes"][:, -1] = (0, 40, 8, 47)
        found = metrics(extra, truth)
        assert (found["box_ap"] == pytest.approx(100)) == (wanted == 100)
        assert (found["gps_ap"] == pytest.approx(100)) == (wanted == 100)


def test_the_grid_of_the_maps_costs_something_and_boxes_nothing() -> None:
    truth = scenes()
    found = metrics(TASK.ceiling_prediction(truth, INFO), truth)
    assert found["box_ap"] == pytest.approx(100)
    assert 60 < found["gps_ap"] <= 100
    shapes = TASK.ceiling_prediction(truth, INFO)["iuv"].shape
    assert shapes == (5, TASK.cfg.detections, 3, 32, 32)


def test_the_floor_is_one_box_for_all() -> None:
    truth = scenes(8)
    floor = TASK.floor_prediction(truth, 5)
    most = TASK.cfg.detections
    assert floor["boxes"].shape == (5, most, 4) and floor["iuv"].shape == (5, most, 3, 32, 32)
    assert (floor["scores"] > 0).sum(1).tolist() == [1] * 5
    there = truth["boxes"][..., 2] > 0
    np.testing.assert_array_equal(floor["boxes"][3, 0], np.median(truth["boxes"][there], 0))
    assert floor["iuv"][:, 0, 0].any()
    found = metrics(floor, scenes(5, seed=3))
    assert found["gps_ap"] < 20 and found["box_ap"] < 20
    alone = {name: values[:1] for name, values in truth.items()}
    alone["boxes"][0, 1:], alone["person"][alone["person"] > 1] = 0, 0
    alone["point_chart"][0, POINTS:] = 0
    assert metrics(TASK.floor_prediction(alone, 1), alone)["box_ap"] == pytest.approx(100)


def test_people_are_where_their_pixels_are() -> None:
    truth = scenes()
    numbers, boxes = people_of(torch.from_numpy(truth["person"]), PEOPLE)
    for own, box, wanted in zip(numbers, boxes, truth["boxes"], strict=True):
        there = wanted[:, 2] > 0
        assert own.tolist() == (np.flatnonzero(there) + 1).tolist()
        np.testing.assert_array_equal(box.numpy(), wanted[there])
    middle = torch.zeros(1, 4, 5, dtype=torch.int64)
    middle[0, 1:3, 2] = 2
    numbers, boxes = people_of(middle, PEOPLE)
    assert numbers[0].tolist() == [2] and boxes[0].tolist() == [[2, 1, 3, 3]]
    assert people_of(torch.zeros(1, 4, 4), PEOPLE)[1][0].shape == (0, 4)


def test_uv_loss_by_hand() -> None:
    chart = torch.tensor([[3, 0]])
    uv = torch.zeros(1, 48, 2)
    uv[0, 4:6, 0] = torch.tensor([0.5, 2.0])
    target = torch.full((1, 2, 2), 9.0)
    target[0, 0] = torch.tensor([0.1, 0.0])
    assert uv_sum(uv, chart, target).item() == pytest.approx(0.5 * 0.4**2 + 2.0 - 0.5)


def test_charts_are_read_where_the_body_is_and_coordinates_in_their_channel() -> None:
    maps = torch.zeros(1, 75, 2, 2)
    maps[0, 1] = torch.tensor([[1.0, 1.0], [1.0, -1.0]])  # body, but for the last
    maps[0, 2 + 7] = 1.0
    maps[0, 2 + 7, 0, 1], maps[0, 2 + 24, 0, 1] = 0.0, 1.0
    uv = maps[0, 27:].view(24, 2, 2, 2)
    uv[6, 0], uv[6, 1], uv[23] = 0.5, 1.7, 37 / 255
    found = to_iuv(maps)[0]
    assert found.dtype == torch.uint8
    assert found[0].tolist() == [[7, 24], [7, 0]]
    assert found[1].tolist() == [[127, 37], [127, 0]] and found[2].tolist() == [[255, 37], [255, 0]]


def regions(truth: Stats) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Everybody's own box, a bit larger."""
    picture, k = np.nonzero(truth["boxes"][..., 2])
    boxes = torch.from_numpy(truth["boxes"][picture, k]) + torch.tensor([-1.0, -1.5, 2.0, 1.0])
    return boxes, torch.from_numpy(picture), torch.from_numpy(k + 1)


def test_minimising_the_losses_reaches_the_truth() -> None:
    """Maps that follow the losses alone are, decoded, nearly perfect for GPS and for masks."""
    truth = scenes(3, seed=4)
    boxes, picture, number = regions(truth)
    side = TASK.side
    start = torch.zeros(len(boxes), 75, side, side)
    start[:, 2] = -9.0  # the charts' background, which no point ever teaches
    maps = start.requires_grad_()
    cfg = DensePoseDetectionConfig(uv_weight=1.0)
    for step in range(60):
        terms = surface_losses(maps, boxes, picture, number, to_batch(truth), cfg)
        (slope,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), maps)
        maps.data -= 0.1 * (1 - step / 60) * slope.sign()
    assert terms["coarse"] < 0.2 and terms["chart"] < 0.5
    iuv = to_iuv(maps.detach()).numpy()
    predicted = {
        "boxes": np.zeros((3, 3, 4), np.float32),
        "scores": np.full((3, 3), -np.inf, np.float32),
        "iuv": np.zeros((3, 3, 3, side, side), np.uint8),
    }
    for m, (n, k) in enumerate(zip(picture.tolist(), (number - 1).tolist(), strict=True)):
        predicted["boxes"][n, k], predicted["scores"][n, k] = boxes[m], 1.0
        predicted["iuv"][n, k] = iuv[m]
    found = metrics(predicted, truth)
    assert found["mask_ap75"] == pytest.approx(100) and found["gps_ap50"] == pytest.approx(100)
    assert found["gps_ap"] > 40


def test_points_beyond_a_region_and_people_without_points_teach_nothing() -> None:
    truth = scenes(2)
    boxes, picture, number = regions(truth)
    maps = torch.randn(len(boxes), 75, TASK.side, TASK.side, requires_grad=True)
    batch = to_batch(truth)
    batch["points"] = batch["points"] + 200
    terms = surface_losses(maps, boxes, picture, number, batch, CFG)
    assert terms["chart"] == terms["uv"] == 0 and terms["coarse"] > 0
    batch = to_batch(truth)
    batch["point_chart"].zero_()
    terms = surface_losses(maps, boxes, picture, number, batch, CFG)
    assert terms["chart"] == terms["uv"] == 0
    none = surface_losses(maps[:0], boxes[:0], picture[:0], number[:0], batch, CFG)
    assert all(value == 0 for value in none.values())


def test_drawings_show_boxes_and_surfaces() -> None:
    truth = scenes(2)
    rgb = np.full((2, H, W, 3), 200, np.uint8)
    predicted = TASK.oracle_prediction(truth)
    predicted["scores"][0, 0] = 0.4  # too unsure
    rows = TASK.draw(predicted, truth, {"rgb": rgb})
    image, found, annotated = rows.values()
    assert np.array_equal(image, rgb) and found.shape == annotated.shape == rgb.shape
    for n, k in np.argwhere(truth["boxes"][..., 2] > 0).tolist():
        x0, y0, x1, y1 = truth["boxes"][n, k].astype(int).tolist()
        yellow = [255, 255, 0]
        assert annotated[n, y0, x0].tolist() == annotated[n, y1 - 1, x1 - 1].tolist() == yellow
        assert (found[n, y0, x0].tolist() == yellow) == ((n, k) != (0, 0))
    assert (found[truth["person"] == 0] == 100).all()


def test_encoders_without_maps_are_refused_at_planning() -> None:
    CFG.check(encoder={"kind": "tokens", "name": "x"}, where="task.densepose_detection.config")
    with pytest.raises(ConfigError, match=r"task\.densepose_detection\.config.*semgcn is of kind graph"):
        CFG.check(encoder={"kind": "graph", "name": "semgcn"}, where="task.densepose_detection.config")
