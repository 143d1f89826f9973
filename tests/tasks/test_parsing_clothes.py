from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo, Encoder, FeatureInfo, Features, Pretrained
from bench.bodymodels.surface import GARMENT_FLIP, LIP_FLIP
from bench.errors import ConfigError
from bench.grid.request import BUILT_IN
from bench.heads import upsample
from bench.heads.heatmap import heatmap_cells
from tasks.parsing_clothes import CLASSES, ParsingClothes, ParsingClothesConfig

DATA = DataInfo(n_samples=8, size=(32, 32), joint_set="smpl24")
INFO = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 16), pooled=8)


def task(**config: object) -> ParsingClothes:
    return ParsingClothes(ParsingClothesConfig(**config), DATA)  # type: ignore[arg-type]


def random_maps(seed: int = 0, n: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CLASSES, (n, 32, 32)).astype(np.uint8)


def scores(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    stats = task().score_samples({"garments": predicted}, {"garments": target})
    values = task().aggregate(stats, np.ones((1, len(predicted))))
    return {name: float(value[0]) for name, value in values.items()}


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "parsing_clothes.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    assert build_config(adapter.Config, spec["config"], "parsing_clothes") == ParsingClothesConfig()
    tiny = build_config(adapter.Config, spec["config"] | spec["presets"]["tiny"]["config"], "parsing_clothes")
    assert tiny.head == "concat" and len(tiny.class_weights) == CLASSES == 20
    with pytest.raises(ConfigError, match="wanted 20 positive ones"):
        ParsingClothesConfig(class_weights=(1.0,) * 25)


def test_perfect_worst_and_mirrored_predictions() -> None:
    target = random_maps()
    assert set(scores(target, target).values()) == {100.0}
    assert set(scores((target + 1) % CLASSES, target).values()) == {0.0}
    predicted = random_maps(1)
    flipped = [GARMENT_FLIP[labels[:, :, ::-1]] for labels in (predicted, target)]
    assert scores(*flipped) == pytest.approx(scores(predicted, target))


def test_three_samples_by_hand() -> None:
    target = np.array([[[0, 0, 5, 5]], [[2, 2, 255, 0]], [[0, 0, 0, 0]]], np.uint8)
    predicted = np.array([[[0, 5, 5, 5]], [[4, 2, 3, 0]], [[0, 0, 0, 0]]], np.uint8)
    found = scores(predicted, target)
    background, top, hair = 6 / 7, 2 / 3, 1 / 2
    assert found["miou"] == pytest.approx(100 * (background + top + hair) / 20)
    assert found["fwiou"] == pytest.approx(100 * (7 * background + 2 * top + 2 * hair) / 11)
    assert found["macc"] == pytest.approx(100 * (6 / 7 + 1 + 1 / 2) / 20)
    assert found["aacc"] == pytest.approx(100 * 9 / 11)


@pytest.mark.parametrize("head", ["deconv", "concat"])
def test_logits_are_upsampled_before_a_class_is_chosen(head: str) -> None:
    torch.manual_seed(0)
    judged = task(head=head)
    built = judged.head(INFO).eval()
    features = Features(maps=(torch.randn(2, 8, 8, 8), torch.randn(2, 8, 2, 2)), pooled=torch.zeros(2, 8))
    with torch.no_grad():
        out = built(features, (32, 32))
    maps = out["heatmaps"] if head == "deconv" else out["maps"]
    if head == "deconv":
        assert tuple(maps.shape[2:]) == heatmap_cells(INFO, (32, 32)) == (8, 8)
    expected = upsample(maps, (32, 32)).argmax(1).numpy()
    np.testing.assert_array_equal(judged.predict(out, {})["garments"], expected)


class Colour(Encoder):
    feature_info = INFO

    def forward(self, x: Tensor) -> Features:
        whole = torch.cat([x, x, x], 1)[:, :8]
        maps = tuple(torch.nn.functional.avg_pool2d(whole, s) for s in INFO.strides)
        return Features(maps=maps, pooled=maps[-1].mean((2, 3)))


@pytest.mark.parametrize("head", ["deconv", "concat"])
@pytest.mark.parametrize(
    ("flip", "sides"), [("garments20", GARMENT_FLIP), ("lip20", LIP_FLIP), ("", range(CLASSES))]
)
def test_the_mirrored_image_counts_with_the_sides_that_the_data_have(
    flip: str, sides: Sequence[int], head: Literal["deconv", "concat"]
) -> None:
    data = replace(DATA, flips={"rgb": "", "garments": flip})
    given = Pretrained(encoders={"rgb": Colour()})
    plain = ParsingClothes(ParsingClothesConfig(head=head, flip_test=False), data).network(given).eval()
    tested = ParsingClothes(ParsingClothesConfig(head=head), data).network(given).eval()
    tested.load_state_dict(plain.state_dict())
    images, name = torch.rand(2, 3, 32, 32), "maps" if head == "concat" else "heatmaps"
    with torch.no_grad():
        there, back = plain({"rgb": images})[name], plain({"rgb": images.flip(-1)})[name]
        torch.testing.assert_close(
            tested({"rgb": images})[name], (there + back.flip(-1)[:, [int(k) for k in sides]]) / 2
        )


def test_floor_is_blind_and_ceiling_is_nearly_perfect() -> None:
    blocks = random_maps(2, 6)[:, ::8, ::8].repeat(8, 1).repeat(8, 2)
    blind = task().floor_prediction({"garments": blocks}, 4)["garments"]
    assert blind.shape == (4, 32, 32) and (blind == blind[:1]).all()
    best = task(head="concat").ceiling_prediction({"garments": blocks}, INFO)["garments"]
    assert scores(blind, blocks[:4])["miou"] < 40 < 60 < scores(best, blocks)["miou"]
    drawn = task().draw({"garments": best}, {"garments": blocks}, {"rgb": np.zeros((6, 32, 32, 3), np.uint8)})
    assert {rows.shape for rows in drawn.values()} == {(6, 32, 32, 3)}
