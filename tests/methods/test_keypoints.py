from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import Context, DataInfo, Draws, seeded
from bench.encoders import build_encoder
from bench.errors import ConfigError
from bench.grid.request import BUILT_IN
from bench.losses.heatmaps import gaussian_targets
from bench.train.seeding import seeded_initialisation
from methods.keypoints import RARE, Keypoints, KeypointsConfig

SIZE = (32, 32)
INFO = DataInfo(n_samples=40, size=SIZE, joint_set="penn13")
SPECS = {
    "pyramid": {
        "adapter": "bench.encoders.timm_pyramid:TimmPyramid",
        "version": 1,
        "config": {"model": "resnet10t", "options": {"channels": [8, 16, 24, 32], "stem_width": 8}},
    },
    "tokens": {
        "adapter": "bench.encoders.vit:ViT",
        "version": 1,
        "config": {"image_size": 32, "patch": 8, "width": 32, "blocks": 2, "heads": 2, "out_indices": [0, 1]},
    },
}
CONTEXT = Context(step=0, total_steps=10, draws=Draws(generator=seeded(0, "step", 0)))


def method(kind: str = "tokens", **config: object) -> Keypoints:
    with seeded_initialisation("test", 0):
        encoder = build_encoder(SPECS[kind], "rgb", INFO.joint_set)
        return Keypoints(KeypointsConfig(**config), {"rgb": encoder}, INFO)  # type: ignore[arg-type]


def batch(n: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    joints = torch.rand(n, 13, 3, generator=generator) * 32
    joints[..., 2] = (joints[..., 2] < 24) * 2.0
    return {"rgb": torch.rand(n, 3, *SIZE, generator=generator), "keypoints": joints}


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "method" / "keypoints.yaml").read_text())["stages"]["joints"]
    adapter = load_adapter(spec["adapter"])
    assert adapter is Keypoints
    assert build_config(adapter.Config, spec["config"], "keypoints") == KeypointsConfig()
    assert set(spec["config"]) == set(KeypointsConfig.__dataclass_fields__)


@pytest.mark.parametrize("kind", ["pyramid", "tokens"])
@pytest.mark.parametrize("head", ["linear", "deconv"])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_gradients_reach_everything(kind: str, head: str, loss: str) -> None:
    trained = method(kind, head=head, loss=loss)
    (value,) = trained.training_step(batch(), CONTEXT).terms.values()
    assert value.dtype == torch.float32
    value.backward()
    for name, parameter in trained.named_parameters():
        if name.startswith("head."):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    assert any(p.grad is not None and p.grad.any() for p in trained.encoders.parameters())


def test_loss_is_the_mean_over_labelled_joints() -> None:
    trained, given = method(), batch()
    value = trained.training_step(given, CONTEXT).terms["keypoints"]
    maps = trained.head(trained.encoders["rgb"](given["rgb"]), SIZE)["heatmaps"]
    targets = gaussian_targets(given["keypoints"][..., :2], (8, 8), SIZE)
    each = torch.nn.functional.binary_cross_entropy_with_logits(maps, targets, reduction="none").mean((2, 3))
    confidence = (given["keypoints"][..., 2] > 0).float()
    torch.testing.assert_close(value, (each * confidence).sum() / confidence.sum())


def test_joints_count_by_their_confidence() -> None:
    trained, given = method(), batch(1)
    given["keypoints"][..., 2] = 0

    def value(*weights: float) -> torch.Tensor:
        given["keypoints"][0, : len(weights), 2] = torch.tensor(weights)
        return trained.training_step(given, CONTEXT).terms["keypoints"]

    first, second = value(1, 0), value(0, 1)
    torch.testing.assert_close(value(0.5, 1), (0.5 * first + second) / 1.5)
    torch.testing.assert_close(value(2, 2), (first + second) / 2)  # visible and hidden count alike
    torch.testing.assert_close(value(0.25, 0), 0.25 * first)


def test_wrong_sigma_is_named() -> None:
    with pytest.raises(ConfigError, match=r"sigma: -1\.0 is not a number above 0"):
        build_config(KeypointsConfig, {"sigma": -1.0}, "keypoints")


def test_missing_labels_change_nothing() -> None:
    trained, given = method(), batch()
    value = trained.training_step(given, CONTEXT).terms["keypoints"]
    moved = {**given, "keypoints": given["keypoints"].clone()}
    moved["keypoints"][..., :2][moved["keypoints"][..., 2] == 0] = -1.0
    torch.testing.assert_close(
        trained.training_step(moved, CONTEXT).terms["keypoints"], value, rtol=0, atol=0
    )
    moved["keypoints"][..., 2] = 0
    empty = trained.training_step(moved, CONTEXT).terms["keypoints"]
    assert empty == 0
    empty.backward()


def test_logits_start_at_the_share_of_joints() -> None:
    bias = method().head.get_parameter("out.bias")
    assert torch.sigmoid(bias).tolist() == pytest.approx([RARE] * len(bias))
    assert bias[0].item() == pytest.approx(math.log(1 / 99))
    assert not method(loss="mse").head.get_parameter("out.bias").any()


def test_it_learns_one_batch() -> None:
    trained, given = method("pyramid", head="deconv"), batch()
    optimizer = torch.optim.AdamW(trained.parameters(), lr=3e-3)
    values = []
    for _ in range(60):
        value = trained.training_step(given, CONTEXT).terms["keypoints"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    targets = gaussian_targets(given["keypoints"][..., :2], (8, 8), SIZE)
    lower_bound = torch.nn.functional.binary_cross_entropy(targets, targets, reduction="none").mean((2, 3))
    seen = given["keypoints"][..., 2] > 0
    assert values[-1] - lower_bound[seen].mean() < 0.4 * (values[0] - lower_bound[seen].mean())


def test_only_the_encoder_is_handed_on() -> None:
    trained = method()
    exported = trained.export()
    assert list(exported.encoders) == ["rgb"]
    assert exported.encoders["rgb"] is trained.encoders["rgb"]
    assert not exported.modules


@pytest.mark.parametrize(
    ("config", "info", "names", "message"),
    [
        ({}, replace(INFO, joint_set=""), ("rgb",), "these have none"),
        ({}, INFO, ("rgb", "depth"), "got rgb, depth"),
    ],
)
def test_wrong_settings(config: dict, info: DataInfo, names: tuple[str, ...], message: str) -> None:
    encoders = {name: method().encoders["rgb"] for name in names}
    with pytest.raises(ConfigError, match=message):
        Keypoints(KeypointsConfig(**config), encoders, info)  # type: ignore[arg-type]
