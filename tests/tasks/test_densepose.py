from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from bench.adapters.loading import build_config, load_adapter
from bench.api import Batch, DataInfo, FeatureInfo, Features, Stats
from bench.bodymodels.surface import DP24_FLIP, flip_uv
from bench.grid.request import BUILT_IN
from tasks.densepose import (
    DensePose,
    DensePoseConfig,
    chart_loss,
    foreground_loss,
    inside,
    nearest_points,
    read_chart,
    to_iuv,
    uv_loss,
)

SIZE = 32
DATA = DataInfo(n_samples=8, size=(SIZE, SIZE), joint_set="smpl24")
INFO = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)
TASK = DensePose(DensePoseConfig(), DATA)


pytestmark = pytest.mark.usefixtures("geodesic_cache")


def people(n: int = 3, points: int = 40, seed: int = 0) -> tuple[np.ndarray, Stats]:
    """Images in which every pixel shows a random place of the surface, and points annotated on them."""
    rng = np.random.default_rng(seed)
    iuv = rng.integers(0, 256, (n, 3, SIZE, SIZE)).astype(np.uint8)
    iuv[:, 0] = rng.integers(1, 25, (n, SIZE, SIZE))
    places = np.full((n, 50, 2), -1, np.int16)
    places[:, :points] = rng.integers(0, SIZE, (n, points, 2))
    read = iuv[np.arange(n)[:, None], :, places[..., 0], places[..., 1]]  # (n, 50, 3)
    read[:, points:] = 0
    truth = {"points": places, "point_chart": read[..., 0], "point_uv": read[..., 1:], "mask": iuv[:, 0] > 0}
    return iuv, truth


def metrics(iuv: np.ndarray, truth: Stats, task: DensePose = TASK) -> dict[str, float]:
    stats = task.score_samples({"iuv": iuv}, truth)
    assert all(len(rows) == len(iuv) for rows in stats.values())
    return {name: float(v[0]) for name, v in task.aggregate(stats, np.ones((1, len(iuv)))).items()}


def to_batch(truth: Stats) -> Batch:
    return {
        "mask": torch.from_numpy(truth["mask"]),
        "points": torch.from_numpy(truth["points"]).float(),
        "point_chart": torch.from_numpy(truth["point_chart"]).long(),
        "point_uv": torch.from_numpy(truth["point_uv"]).float() / 255,
    }


def mirrored(iuv: np.ndarray, truth: Stats) -> tuple[np.ndarray, Stats]:
    turned = iuv[..., ::-1].copy()
    u, _ = flip_uv(turned[:, 0], turned[:, 1] / 255, turned[:, 2] / 255)
    turned[:, 0], turned[:, 1] = DP24_FLIP[turned[:, 0]], np.rint(u * 255)
    chart, uv, points = truth["point_chart"], truth["point_uv"].copy(), truth["points"].copy()
    uv[..., 0] = np.rint(flip_uv(chart, uv[..., 0] / 255, uv[..., 1] / 255)[0] * 255)
    points[..., 1] = np.where(chart > 0, SIZE - 1 - points[..., 1], -1)
    return turned, {"points": points, "point_chart": DP24_FLIP[chart], "point_uv": uv, "mask": truth["mask"]}


def features() -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(torch.randn(3, 8, SIZE // s, SIZE // s, generator=generator) for s in INFO.strides)
    return Features(maps=maps, pooled=torch.zeros(3, 8))


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "densepose.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    built = adapter(build_config(adapter.Config, spec["config"], "densepose"), DATA)
    assert built.cfg == DensePoseConfig()
    rows = built.score_samples({"iuv": people()[0]}, people()[1])
    assert list(built.aggregate(rows, np.ones((2, 3)))) == [metric.name for metric in built.metrics]


def test_truth_as_prediction_is_perfect() -> None:
    found = metrics(*people())
    assert found.pop("background_share") == 0
    assert list(found.values()) == pytest.approx([1.0] * len(found), abs=1e-6)


def test_background_everywhere_is_worst() -> None:
    iuv, truth = people()
    found = metrics(np.zeros_like(iuv), truth)
    assert found.pop("background_share") == 1
    assert set(found.values()) == {0}


def halves(n: int = 4) -> Stats:
    """The left half of a body shows chart 3, the right one chart 4; what is annotated differs."""
    rng = np.random.default_rng(3)
    points = rng.integers(0, SIZE, (n, 60, 2)).astype(np.int16)
    chart = np.where(points[..., 1] < SIZE // 2, 3, 4).astype(np.uint8)
    uv = (points * 255 // SIZE).astype(np.uint8)
    return {
        "points": points, "point_chart": chart, "point_uv": uv, "mask": np.ones((n, SIZE, SIZE), bool),
    }  # fmt: skip


def test_annotated_points_are_spread_to_their_nearest_pixels() -> None:
    chart, points = np.array([3, 4, 0], np.uint8), np.array([[0, 0], [0, 7], [-1, -1]], np.int16)
    uv = np.array([[10, 20], [30, 40], [0, 0]], np.uint8)
    found = nearest_points(chart, points, uv, np.ones((1, 8), bool))
    assert found[0, 0].tolist() == [3] * 4 + [4] * 4 and found[1:, 0, 7].tolist() == [30, 40]
    own = nearest_points(chart, points, uv, np.array([[4, 0, 3, 9]], np.uint8))
    assert own[:, 0].T.tolist() == [[4, 30, 40], [0, 0, 0], [3, 10, 20], [0, 0, 0]]


def test_a_blind_guess_knows_where_charts_mostly_are() -> None:
    seen, truth = halves(20), halves()
    blind = TASK.floor_prediction(seen, 4)["iuv"]
    assert blind.shape == (4, 3, SIZE, SIZE) and (blind == blind[:1]).all()
    assert (blind[0, 0, :, :14] == 3).all() and (blind[0, 0, :, 18:] == 4).all()
    found = metrics(blind, truth)
    assert 0.5 < found["auc30"] < metrics(TASK.oracle_prediction(truth)["iuv"], truth)["auc30"]
    one = {name: values[:1, :1] if name != "mask" else values[:1] for name, values in seen.items()}
    alone = TASK.floor_prediction(one, 2)["iuv"]  # blocks without a point take the commonest chart
    assert (alone[:, 0] == one["point_chart"][0, 0]).all() and (alone[0, 1:] == alone[0, 1:, :1, :1]).all()


def test_the_ceiling_is_what_the_grid_loses() -> None:
    truth = halves()
    fine = metrics(TASK.ceiling_prediction(truth, INFO)["iuv"], truth)
    coarse = FeatureInfo(kind="pyramid", channels=(8,), strides=(16,), pooled=8)
    lost = metrics(TASK.ceiling_prediction(truth, coarse)["iuv"], truth)
    assert fine["background_share"] == 0 and 0.9 < fine["auc30"] <= 1
    thin = {**truth, "mask": np.zeros((4, SIZE, SIZE), bool)}
    thin["mask"][np.arange(4)[:, None], truth["points"][..., 0], truth["points"][..., 1]] = True
    broken = metrics(TASK.ceiling_prediction(thin, coarse)["iuv"], thin)
    assert broken["auc30"] < 0.5 < lost["auc30"]  # single pixels of a body do not survive a coarse grid
    drawn = TASK.draw({"iuv": people()[0]}, people()[1], {"rgb": np.zeros((3, SIZE, SIZE, 3), np.uint8)})
    assert {rows.shape for rows in drawn.values()} == {(3, SIZE, SIZE, 3)}


def test_quantised_coordinates_cost_little() -> None:
    """What rounding to 8 bits costs: truth rounded, prediction rounded down."""
    _, truth = people(n=20, seed=1)
    exact = truth["point_uv"] + np.random.default_rng(2).uniform(-0.5, 0.5, truth["point_uv"].shape)
    iuv = np.zeros((20, 3, SIZE, SIZE), np.uint8)
    sample, point = np.nonzero(truth["point_chart"])
    row, col = truth["points"][sample, point].T
    iuv[sample, 0, row, col] = truth["point_chart"][sample, point]
    iuv[sample, 1:, row, col] = np.clip(np.floor(exact), 0, 255)[sample, point]
    assert 0.97 < metrics(iuv, truth)["auc30"] < 1


def test_persons_weigh_alike_in_macro_and_points_in_auc() -> None:
    iuv, truth = people(n=3, points=8)
    truth["point_chart"][1, 2:] = 0  # two points, both missed
    truth["point_chart"][2] = 0  # a person without points counts nowhere
    iuv[1, 0] = 0
    found = metrics(iuv, truth)
    assert found["auc30"] == pytest.approx(0.8, abs=1e-6)
    assert found["background_share"] == pytest.approx(0.2)
    assert found["macro_auc30"] == pytest.approx(0.5, abs=1e-6)
    assert found["gps"] == pytest.approx(0.5, abs=1e-6)


def test_no_points_give_finite_metrics() -> None:
    iuv, truth = people()
    truth["point_chart"][:] = 0
    assert set(metrics(iuv, truth).values()) == {0}


def test_flips() -> None:
    iuv, truth = people(seed=3)
    twice_iuv, twice = mirrored(*mirrored(iuv, truth))
    np.testing.assert_array_equal(twice_iuv, iuv)
    assert all(np.array_equal(twice[name], truth[name]) for name in ("point_chart", "point_uv"))
    assert metrics(*mirrored(iuv, truth))["auc30"] == pytest.approx(1, abs=1e-6)
    wrong = iuv.copy()
    wrong[:, 1:] = np.clip(
        wrong[:, 1:].astype(int) + np.random.default_rng(4).integers(-40, 41, wrong[:, 1:].shape), 0, 255
    )
    expected = metrics(wrong, truth)
    assert 0.2 < expected["auc30"] < 0.95
    assert metrics(*mirrored(wrong, truth)) == pytest.approx(expected, abs=0.01)


def test_parts_kappa_changes_gps_alone() -> None:
    iuv, truth = people(seed=5)
    iuv[:, 1] = np.clip(iuv[:, 1].astype(int) + 60, 0, 255)
    plain, parts = (
        metrics(iuv, truth),
        metrics(iuv, truth, DensePose(DensePoseConfig(gps_kappa="parts"), DATA)),
    )
    assert parts.pop("gps") < plain.pop("gps")
    assert parts == plain


def test_to_iuv_reads_the_chosen_chart_and_quantises() -> None:
    steps = torch.arange(256).float() / 255
    charts = torch.zeros(1, 25, 16, 16)
    charts[0, 7, :8] = 1.0
    charts[0, 0, 8:] = 9.0
    uv = torch.full((1, 48, 16, 16), 0.123)
    uv[0, 12], uv[0, 13] = steps.view(16, 16), 2 * steps.view(16, 16) - 0.5
    iuv = to_iuv(charts, uv)[0]
    assert iuv.dtype == torch.uint8
    assert iuv[0].unique(return_counts=True)[1].tolist() == [128, 128]
    assert iuv[1, :8].reshape(-1).tolist() == list(range(128))  # exact steps survive
    assert iuv[2, 0, 0] == 0
    assert iuv[2, 7, 15] == int(2 * 127 - 127.5)
    assert not iuv[:, 8:].any()


def test_body_is_where_the_charts_together_beat_the_background() -> None:
    charts = torch.zeros(1, 25, 1, 2)
    charts[0, 0, 0] = torch.tensor([np.log(23.0), np.log(26.0)])
    charts[0, 5] += 0.1
    assert to_iuv(charts, torch.zeros(1, 48, 1, 2))[0, 0, 0].tolist() == [5, 0]


def test_losses_by_hand() -> None:
    chart = torch.tensor([[3, 0], [0, 0]])
    logits = torch.zeros(2, 25, 2)
    logits[0, 3, 0] = 1.0
    assert chart_loss(logits, chart).item() == pytest.approx(np.log(np.e + 24) - 1)
    uv = torch.zeros(2, 48, 2)
    uv[0, 4:6, 0] = torch.tensor([0.5, 2.0])
    target = torch.full((2, 2, 2), 9.0)
    target[0, 0] = torch.tensor([0.1, 0.0])
    assert uv_loss(uv, chart, target).item() == pytest.approx((0.5 * 0.4**2 + 2.0 - 0.5) / 2)
    maps = torch.zeros(1, 25, 1, 2)
    maps[0, 0, 0, 1] = 3.0
    mask = torch.tensor([[[True, False]]])
    expected = (-np.log(24 / 25) - np.log(np.exp(3) / (np.exp(3) + 24))) / 2
    assert foreground_loss(maps, mask).item() == pytest.approx(expected)


def test_points_that_left_the_image_do_not_count() -> None:
    points = torch.tensor([[[-0.4, 3.0], [-0.6, 3.0], [7.4, 9.4], [7.6, 3.0], [3.0, 9.6]]])
    assert inside(torch.full((1, 5), 6), points, (8, 10)).tolist() == [[6, 0, 6, 0, 0]]


def test_persons_without_points_give_finite_losses() -> None:
    _, truth = people()
    batch = to_batch(truth)
    batch["point_chart"].zero_()
    head = TASK.head(INFO)
    terms = TASK.loss(head(features(), (SIZE, SIZE)), batch)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert terms["chart"].item() == terms["uv"].item() == 0
    assert terms["foreground"].isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("term", ["chart", "uv"])
def test_each_loss_reaches_its_part_of_the_head_and_repeats(term: str) -> None:
    def gradients() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        head = TASK.head(INFO)
        TASK.loss(head(features(), (SIZE, SIZE)), to_batch(people(points=50)[1]))[term].backward()
        return {name: p.grad for name, p in head.named_parameters() if p.grad is not None}

    found, again = gradients(), gradients()
    assert len(found) == len(list(TASK.head(INFO).parameters()))
    assert all(g.abs().sum() > 0 for g in found.values())
    assert all(torch.equal(found[name], again[name]) for name in found)
    rows = found["head.out.weight"].abs().sum((1, 2, 3)) > 0
    charts = torch.zeros(73, dtype=torch.bool)
    charts[:25] = True
    assert not (rows & ~(charts if term == "chart" else ~charts)).any()


def test_minimising_the_loss_reaches_the_truth() -> None:
    _, truth = people(n=2, seed=6)
    truth["mask"][:, :4] = False
    low = truth["points"][..., 0] < 4
    truth["point_chart"][low] = 0
    charts = torch.zeros(2, 25, SIZE, SIZE, requires_grad=True)
    uv = torch.full((2, 48, SIZE, SIZE), 0.5, requires_grad=True)
    for step in range(40):
        total = sum(TASK.loss({"charts": charts, "uv": uv}, to_batch(truth)).values())
        for maps, slope in zip((charts, uv), torch.autograd.grad(total, (charts, uv)), strict=True):
            maps.data -= 0.1 * (1 - step / 40) * slope.sign()
    predicted = TASK.predict({"charts": charts.detach(), "uv": uv.detach()}, {})["iuv"]
    assert not predicted[:, 0, :4].any()
    assert metrics(predicted, truth)["auc30"] > 0.95


@pytest.mark.parametrize(("cells", "size"), [((8, 8), (32, 32)), ((5, 1), (9, 7)), ((6, 4), (6, 4))])
def test_reading_one_chart_equals_upsampling_all(cells: tuple[int, int], size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    uv = torch.rand(2, 48, *cells, generator=generator)
    chart = torch.randint(0, 24, (2, *size), generator=generator)
    full = F.interpolate(uv, size=size, mode="bilinear", align_corners=False).view(2, 24, 2, *size)
    expected = full.gather(1, chart[:, None, None].expand(-1, 1, 2, -1, -1))[:, 0]
    torch.testing.assert_close(read_chart(uv, chart), expected)
