from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.api import Batch, DataInfo, Encoder, FeatureInfo, Features, Pretrained
from bench.heads import upsample
from bench.heads.mapper import DenseMapper, DenseMapperConfig
from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig
from tasks.parsing_missing import SETTINGS, FusedNetwork, ParsingMissing, ParsingMissingConfig

DATA = DataInfo(n_samples=4, size=(8, 8), joint_set="smpl24")
CHANNELS = 3


class Shown(Encoder):
    """Shows the averages of patches, one channel per power."""

    feature_info = FeatureInfo(kind="pyramid", channels=(CHANNELS,), strides=(4,), pooled=CHANNELS)

    def forward(self, x: Tensor) -> Features:
        small = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4)
        maps = torch.cat([small**power for power in range(1, CHANNELS + 1)], 1)
        return Features(maps=(maps,), pooled=maps.mean((2, 3)))


class Given(DenseMapper):
    """A mapper of a method: the maps as they are, negated where it says so."""

    def __init__(self, sign: float) -> None:
        super().__init__(DenseMapperConfig(channels=(CHANNELS,), dim=CHANNELS))
        self.sign = sign

    def forward(self, features: Features) -> Tensor:
        return self.sign * features.maps[0]


def task(**config: object) -> ParsingMissing:
    return ParsingMissing(ParsingMissingConfig(dim=5, **config), DATA)  # type: ignore[arg-type]


def network(**modules: torch.nn.Module) -> FusedNetwork:
    torch.manual_seed(0)
    given = Pretrained(encoders={"rgb": Shown(), "depth": Shown()}, modules=modules)
    built = task().network(given)
    assert isinstance(built, FusedNetwork)
    return built


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return {
        "rgb": torch.rand(2, 3, 8, 8, generator=generator),
        "depth": 1 + torch.rand(2, 1, 8, 8, generator=generator),
        "parts": torch.randint(0, 25, (2, 8, 8), generator=generator),
    }


def test_the_head_sees_the_larger_value_of_both_or_one_map_alone() -> None:
    shown = network(dense_mapper_rgb=Given(-1.0), dense_mapper_depth=Given(-1.0)).eval()
    given = batch()
    given["rgb"][:, :, :, 4:] = 5.0  # larger than depth on the right, hence smaller once negated
    seen: list[Tensor] = []
    with shown.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        out = shown(given)
    maps = {m: -Shown()(given[m]).maps[0] for m in ("rgb", "depth")}
    torch.testing.assert_close(seen, [torch.maximum(maps["rgb"], maps["depth"]), maps["rgb"], maps["depth"]])
    assert torch.equal(seen[0][..., 0], maps["rgb"][..., 0])
    assert torch.equal(seen[0][..., 1], maps["depth"][..., 1])
    for setting, values in zip(("both", "rgb", "depth"), seen, strict=True):
        torch.testing.assert_close(out[setting], upsample(shown.head(values), (8, 8)))


@pytest.mark.parametrize(("missing", "left"), [("rgb", "depth"), ("depth", "rgb")])
def test_what_is_predicted_from_one_modality_knows_nothing_of_the_other(missing: str, left: str) -> None:
    fused, given = network().eval(), batch()
    before, after = fused(given), fused({**given, missing: torch.rand_like(given[missing])})
    assert torch.equal(before[left], after[left])
    assert not torch.equal(before[missing], after[missing])
    assert not torch.equal(before["both"], after["both"])


def test_alignment_is_trained_on_only_with_the_method_s_module() -> None:
    given = batch()
    assert set(task().loss(network()(given), given)) == {"ce"}
    alignment = DenseAlignment(DenseAlignmentConfig(cells=4))
    fused = network(alignment=alignment)
    out = fused(given)
    embedded = {m: fused.mappers[m](fused.encoders[m](given[m])) for m in ("rgb", "depth")}
    expected = alignment(embedded["rgb"], embedded["depth"], given["depth"][:, 0] > 0)
    terms = task(alignment_weight=3.0).loss(out, given)
    assert set(terms) == {"ce", "alignment"}
    torch.testing.assert_close(terms["alignment"], 3 * expected)
    terms["alignment"].backward()
    for mapper in fused.mappers.values():
        assert isinstance(mapper, DenseMapper)
        assert mapper.linear.weight.grad is not None and mapper.linear.weight.grad.any()
    assert set(fused.eval()(given)) == set(SETTINGS)


def test_the_method_s_mappers_are_used_as_they_are() -> None:
    mapper = DenseMapper(DenseMapperConfig(channels=(CHANNELS,), dim=7))
    fused = network(dense_mapper_rgb=mapper, dense_mapper_depth=Given(1.0))
    assert fused.mappers["rgb"] is mapper
    assert fused.head[0].in_channels == 7
    assert network().head[0].in_channels == 5


def test_scores_of_the_oracle_and_of_one_blind_modality() -> None:
    truth = {"parts": np.arange(25, dtype=np.uint8).reshape(1, 5, 5).repeat(2, 0)}
    judged, ones = task(), np.ones((1, 2))
    perfect = judged.oracle_prediction(truth)
    found = judged.aggregate(judged.score_samples(perfect, truth), ones)
    assert list(found) == [metric.name for metric in judged.metrics]
    assert [value.item() for value in found.values()] == pytest.approx([100.0] * 4)
    blind = {**perfect, "rgb": np.zeros_like(truth["parts"])}
    found = judged.aggregate(judged.score_samples(blind, truth), ones)
    alone = 100 / 25 / 25  # background: 1 of 25 pixels, in one class of 25
    assert found["miou_rgb"].item() == pytest.approx(alone)
    assert found["miou"].item() == pytest.approx((100 + alone) / 2)
    assert found["miou_depth"].item() == found["miou_both"].item() == pytest.approx(100)


def test_blind_and_flawless_predictions_are_the_same_for_all_settings() -> None:
    truth = {"parts": np.random.default_rng(0).integers(0, 25, (3, 8, 8)).astype(np.uint8)}
    judged, grid = task(), FeatureInfo(kind="tokens", channels=(3,), strides=(1,), pooled=3)
    for found in (judged.floor_prediction(truth, 3), judged.ceiling_prediction(truth, grid)):
        assert tuple(found) == SETTINGS and all(np.array_equal(found["rgb"], maps) for maps in found.values())
    np.testing.assert_array_equal(found["rgb"], truth["parts"])  # a cell per pixel loses nothing
    drawn = judged.draw(found, truth, {"rgb": np.zeros((3, 8, 8, 3), np.uint8)})
    assert len(drawn) == 2 + len(SETTINGS)
