from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from bench.adapters.loading import build_config, load_adapter
from bench.api import DataInfo, FeatureInfo, Features
from bench.bodymodels.surface import P25_FLIP, P25_NAMES
from bench.errors import ConfigError
from bench.grid.request import BUILT_IN
from tasks.parsing import COARSE, Parsing, ParsingConfig, pixel_cross_entropy

DATA = DataInfo(n_samples=8, size=(32, 32), joint_set="smpl24")
INFO = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)


def task(**config: object) -> Parsing:
    return Parsing(ParsingConfig(**config), DATA)  # type: ignore[arg-type]


def random_maps(seed: int = 0, n: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 25, (n, 16, 16)).astype(np.uint8)


def scores(predicted: np.ndarray, target: np.ndarray) -> dict[str, float]:
    stats = task().score_samples({"parts": predicted}, {"parts": target})
    values = task().aggregate(stats, np.ones((1, len(predicted))))
    return {name: float(value[0]) for name, value in values.items()}


def logits_of(labels: np.ndarray) -> torch.Tensor:
    return 10 * F.one_hot(torch.from_numpy(labels).long(), 25).permute(0, 3, 1, 2).float()


def features(seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(2, 8, 32 // s, 32 // s, generator=generator) for s in INFO.strides)
    return Features(maps=maps, pooled=torch.zeros(2, 8))


@pytest.mark.parametrize("name", ["parsing_rgb", "parsing_depth"])
def test_yaml_fits_the_code(name: str) -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / f"{name}.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    built = adapter(build_config(adapter.Config, spec["config"], name), DATA)
    assert built.cfg == ParsingConfig()
    values = built.aggregate({"confusion": np.eye(25)[None]}, np.ones((2, 1)))
    assert list(values) == [metric.name for metric in built.metrics] and values["miou"].shape == (2,)


def test_prediction_then_perfect_scores() -> None:
    target = random_maps()
    predicted = task().predict({"maps": logits_of(target)}, {})
    assert predicted["parts"].dtype == np.uint8
    assert set(scores(predicted["parts"], target).values()) == {100.0}
    assert set(scores((target + 5) % 25, target).values()) <= {
        0.0,
        scores((target + 5) % 25, target)["miou_coarse"],
    }


def test_three_samples_by_hand() -> None:
    target = np.array([[[0, 0, 20, 20]], [[14, 16, 255, 0]], [[9, 0, 0, 0]]], np.uint8)
    predicted = np.array([[[0, 20, 20, 20]], [[16, 16, 3, 0]], [[0, 0, 0, 0]]], np.uint8)
    found = scores(predicted, target)
    background, head, left_thigh = 5 / 7, 2 / 3, 1 / 2
    assert found["miou"] == pytest.approx(100 * (background + head + left_thigh) / 25)
    assert found["macc"] == pytest.approx(100 * (5 / 6 + 1 + 1) / 25)
    assert found["aacc"] == pytest.approx(100 * 8 / 11)
    assert found["miou_foreground"] == pytest.approx(100 * (head + left_thigh) / 24)
    assert found["miou_coarse"] == pytest.approx(100 * (head + 1) / 8)  # left and right thigh are one part


def test_coarse_parts_pair_left_with_right_and_use_all_eight() -> None:
    coarse = np.array(COARSE)
    np.testing.assert_array_equal(coarse[P25_FLIP], coarse)
    assert sorted(set(COARSE)) == list(range(9))
    assert {P25_NAMES[i] for i in np.flatnonzero(coarse == 2)} == {"left hand", "right hand"}


def test_order_of_images_does_not_matter() -> None:
    predicted, target = random_maps(1), random_maps(2)
    assert scores(predicted, target) == scores(predicted[::-1], target[::-1])


def test_flips() -> None:
    def flip(labels: np.ndarray) -> np.ndarray:
        return P25_FLIP[labels[:, :, ::-1]]

    predicted, target = random_maps(1), random_maps(2)
    np.testing.assert_array_equal(flip(flip(target)), target)
    assert set(scores(flip(target), flip(target)).values()) == {100.0}
    assert scores(flip(predicted), flip(target)) == pytest.approx(scores(predicted, target))


def test_loss_by_hand() -> None:
    logits = torch.zeros(1, 25, 1, 3)
    logits[0, 4, 0, 1] = 2.0
    target = torch.tensor([[[0, 4, 255]]])
    plain = np.log(25.0)
    sharp = np.log(np.exp(2.0) + 24) - 2
    assert pixel_cross_entropy(logits, target).item() == pytest.approx((plain + sharp) / 2)
    weights = torch.ones(25)
    weights[4] = 3.0
    assert pixel_cross_entropy(logits, target, weights).item() == pytest.approx((plain + 3 * sharp) / 4)
    reference = F.cross_entropy(logits, target, weights, ignore_index=255)
    torch.testing.assert_close(pixel_cross_entropy(logits, target, weights), reference)


@pytest.mark.parametrize("weights", [(), (2.0,) * 25])
def test_unlabelled_batch_has_a_finite_loss(weights: tuple[float, ...]) -> None:
    maps = torch.zeros(2, 25, 4, 4, requires_grad=True)
    (loss,) = task(class_weights=weights).loss({"maps": maps}, {"parts": torch.full((2, 4, 4), 255)}).values()
    loss.backward()
    assert loss.item() == 0
    assert maps.grad is not None
    assert maps.grad.abs().max() == 0


@pytest.mark.parametrize("weights", [(1.0,) * 24, (1.0,) * 24 + (0.0,)])
def test_bad_class_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="class_weights"):
        task(class_weights=weights)


def test_gradient_reaches_the_head_and_steps_repeat() -> None:
    def run() -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(0)
        head = task().head(INFO)
        batch = {"parts": torch.from_numpy(np.kron(random_maps(3, 2), np.ones((1, 2, 2)))).long()}
        (loss,) = task().loss(head(features(), (32, 32)), batch).values()
        loss.backward()
        return loss.item(), [p.grad for p in head.parameters() if p.grad is not None]

    (value, gradients), (again, repeated) = run(), run()
    assert value == again == pytest.approx(np.log(25), abs=0.5)
    assert len(gradients) == len(list(task().head(INFO).parameters()))
    assert all(g.abs().sum() > 0 for g in gradients)
    assert all(torch.equal(a, b) for a, b in zip(gradients, repeated, strict=True))


def test_blind_flawless_and_drawn_predictions() -> None:
    blocks = random_maps(4, 6)[:, ::8, ::8].repeat(16, 1).repeat(16, 2)  # (6, 32, 32)
    blind = task().floor_prediction({"parts": blocks}, 3)["parts"]
    assert blind.shape == (3, 32, 32) and (blind == blind[:1]).all()
    best = task().ceiling_prediction({"parts": blocks}, INFO)["parts"]
    assert scores(blind, blocks[:3])["macc"] < 30
    assert scores(best, blocks)["miou"] > 0.9 * scores(blocks, blocks)["miou"]  # some classes are absent
    drawn = task().draw({"parts": best}, {"parts": blocks}, {"depth": np.ones((6, 32, 32), np.uint16)})
    assert {rows.shape for rows in drawn.values()} == {(6, 32, 32, 3)}
    assert len(np.unique(drawn["truth"].reshape(-1, 3), axis=0)) > 5
