from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.detection import STRIDES, Detector, Sizes, SurfaceHead, level_maker, strides_of
from bench.train.seeding import seeded_layers

SIDE = 128
PYRAMID = FeatureInfo(kind="pyramid", channels=(6, 8, 10, 12), strides=(4, 8, 16, 32), pooled=8)
TOKENS = FeatureInfo(kind="tokens", channels=(12, 12), strides=(8, 8), pooled=12)
SIZES = Sizes(
    width=8, hidden=32, proposals=20, anchor_samples=512, region_samples=16, detections=5, least_score=0.05
)
TRUTHS = [torch.tensor([[10.0, 20.0, 50.0, 110.0], [70.0, 8.0, 120.0, 90.0]]), torch.zeros(0, 4)]


def features(info: FeatureInfo, rows: int = 2) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        torch.randn(rows, c, SIDE // s, SIDE // s, generator=generator)
        for c, s in zip(info.channels, info.strides, strict=True)
    )
    return Features(maps=maps, pooled=torch.zeros(rows, 8))


def detector(info: FeatureInfo = PYRAMID) -> Detector:
    with seeded_layers(torch.device("cpu"), "test"):
        return Detector(info, SIZES)


def losses(net: Detector, info: FeatureInfo, truths: list[Tensor], seed: int = 0) -> dict[str, Tensor]:
    with seeded_layers(torch.device("cpu"), seed):
        images = torch.zeros(len(truths), 3, SIDE, SIDE)
        levels, proposals, first = net.train().propose(features(info, len(truths)), images, truths)
        regions, second = net.learn(levels, proposals, truths, (SIDE, SIDE))
    assert len(regions.truth) == len(regions.picture) == len(regions.all_boxes)
    return first | second


@pytest.mark.parametrize("info", [PYRAMID, TOKENS])
def test_levels_have_their_strides_and_one_width(info: FeatureInfo) -> None:
    levels = level_maker(info, 8)(features(info))
    assert strides_of(info) == STRIDES
    assert [tuple(level.shape) for level in levels.values()] == [
        (2, 8, SIDE // s, SIDE // s) for s in STRIDES
    ]


@pytest.mark.parametrize("patch", [8, 14, 16, 32])
def test_levels_of_any_patch(patch: int) -> None:
    info = FeatureInfo(kind="tokens", channels=(12,), strides=(patch,), pooled=12)
    maps = (torch.randn(1, 12, 16, 16),)
    levels = level_maker(info, 8)(Features(maps=maps, pooled=torch.zeros(1, 8)))
    for stride, level in zip(STRIDES, levels.values(), strict=True):
        assert level.shape[-1] == pytest.approx(16 * patch / stride, rel=0.15)


def test_encoders_without_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match="graph"):
        level_maker(FeatureInfo(kind="graph", channels=(), strides=(), pooled=4), 8)


@pytest.mark.parametrize("info", [PYRAMID, TOKENS])
def test_every_parameter_learns_and_equal_draws_give_equal_gradients(info: FeatureInfo) -> None:
    def gradients(seed: int) -> dict[str, Tensor]:
        net = detector(info)
        torch.stack(list(losses(net, info, TRUTHS, seed).values())).sum().backward()
        return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}

    first, again, other = gradients(0), gradients(0), gradients(1)
    assert len(first) == len(list(detector(info).parameters()))
    assert all(values.any() for values in first.values())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_pictures_without_people_teach_background_alone() -> None:
    found = losses(detector(), PYRAMID, [torch.zeros(0, 4)] * 2)
    assert found["rpn_box_reg"] == found["box"] == 0
    assert found["objectness"] > 0 and found["class"] > 0
    assert all(value.isfinite() for value in found.values())


def test_regions_on_people_belong_to_the_person_that_they_overlap() -> None:
    net = detector().train()
    images = torch.zeros(2, 3, SIDE, SIDE)
    levels, proposals, _ = net.propose(features(PYRAMID), images, TRUTHS)
    regions, _ = net.learn(levels, proposals, TRUTHS, (SIDE, SIDE))
    assert set(regions.truth.tolist()) == {0, 1}  # the truths themselves are among the regions
    assert not regions.picture.any() and not len(regions.boxes[1])
    for box, owner in zip(regions.boxes[0], regions.truth, strict=True):
        middle = (box[:2] + box[2:]) / 2
        whole = TRUTHS[0][owner]
        assert (middle > whole[:2]).all() and (middle < whole[2:]).all()


def test_detections_are_few_sorted_and_inside() -> None:
    net = detector().eval()
    with torch.no_grad():
        levels, proposals, none = net.propose(features(PYRAMID), torch.zeros(2, 3, SIDE, SIDE), None)
        found = net.detect(levels, proposals, (SIDE, SIDE))
    assert not none
    for boxes, scores in zip(found.boxes, found.scores, strict=True):
        assert 0 < len(boxes) <= SIZES.detections
        assert (scores.diff() <= 0).all() and (scores > SIZES.least_score).all()
        assert (boxes >= 0).all() and (boxes <= SIDE).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert found.picture.tolist() == [0] * len(found.boxes[0]) + [1] * len(found.boxes[1])


def test_a_simple_detector_learns_one_picture() -> None:
    """Fixed features that show where people are: their boxes are found after some steps."""
    net = detector().train()
    given = features(PYRAMID, 1)
    for level, stride in zip(given.maps, PYRAMID.strides, strict=True):
        level.mul_(0.1)
        for box in TRUTHS[0]:
            x0, y0, x1, y1 = (box / stride).int().tolist()
            level[0, 0, y0:y1, x0:x1] += 3
            level[0, 1, y0:y1, x0:x1] += torch.linspace(-2, 2, max(1, y1 - y0))[:, None]
            level[0, 2, y0:y1, x0:x1] += torch.linspace(-2, 2, max(1, x1 - x0))
    images, truths = torch.zeros(1, 3, SIDE, SIDE), TRUTHS[:1]
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(150):
        with seeded_layers(torch.device("cpu"), step):
            levels, proposals, first = net.propose(given, images, truths)
            _, second = net.learn(levels, proposals, truths, (SIDE, SIDE))
        optimizer.zero_grad()
        torch.stack([*first.values(), *second.values()]).sum().backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        levels, proposals, _ = net.propose(given, images, None)
        found = net.detect(levels, proposals, (SIDE, SIDE))
    for box in TRUTHS[0]:
        assert (found.boxes[0][:2] - box).abs().amax(1).min() < 8


def test_maps_of_regions_have_four_times_their_cells() -> None:
    head = SurfaceHead(8, 12, 3, 75)
    assert head(torch.randn(5, 8, 14, 14)).shape == (5, 75, 56, 56)
    assert head(torch.randn(0, 8, 14, 14)).shape == (0, 75, 56, 56)
    assert head(torch.randn(20, 8, 14, 14)).std().item() < 3
