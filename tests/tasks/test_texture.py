from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.api import Batch, DataInfo, FeatureInfo, Stats
from bench.grid.request import BUILT_IN
from bench.heads.texture import render
from tasks.texture import Texture, TextureConfig, body_l1

SIZE, TEXELS = 24, 4
DATA = DataInfo(n_samples=4, size=(SIZE, SIZE), joint_set="smpl24")
INFO = FeatureInfo(kind="pyramid", channels=(8,), strides=(4,), pooled=8)


def task(**config: object) -> Texture:
    return Texture(TextureConfig(texels=TEXELS, **config), DATA)  # type: ignore[arg-type]


def people(n: int = 3, seed: int = 0) -> tuple[np.ndarray, Stats]:
    """Textures, and two images of each, which show nothing else."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (n, 24, TEXELS, TEXELS, 3)).astype(np.uint8)
    truth: Stats = {}
    for of in ("", "other_"):
        chart = rng.integers(1, 4, (n, SIZE, SIZE)).astype(np.uint8)
        chart[:, :, :6] = 0
        uv = rng.integers(0, 256, (n, SIZE, SIZE, 2)).astype(np.uint8)
        planes = torch.from_numpy(uv).permute(0, 3, 1, 2) / 255
        drawn = render(torch.from_numpy(texture).float(), torch.from_numpy(chart).long(), planes)
        rgb = drawn.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
        rgb[:, :, :6] = rng.integers(0, 256, (n, SIZE, 6, 3))  # the room
        truth |= {f"{of}chart": chart, f"{of}uv": uv, f"{of}rgb": rgb}
    return texture, truth


def scores(texture: np.ndarray, truth: Stats) -> dict[str, float]:
    rows = task().score_samples({"texture": texture}, truth)
    values = task().aggregate(rows, np.ones((1, len(texture))))
    assert set(values) == {metric.name for metric in Texture.metrics}
    return {name: float(value[0]) for name, value in values.items()}


def test_yaml_fits_the_code() -> None:
    spec = yaml.safe_load((BUILT_IN / "task" / "texture.yaml").read_text())
    adapter = load_adapter(spec["adapter"])
    assert build_config(adapter.Config, spec["config"], "texture") == TextureConfig()


def test_the_true_texture_is_found_and_scores_best() -> None:
    texture, truth = people()
    best = scores(texture, truth)
    for name in ("ssim", "ssim_seen", "ssim_image", "ssim_image_seen"):
        assert best[name] == pytest.approx(1, abs=1e-3)
    assert best["psnr"] > 50 and best["psnr_seen"] > 50
    fitted = scores(task().oracle_prediction(truth)["texture"], truth)
    others = scores(np.roll(texture, 1, 0), truth)
    blind = scores(task().floor_prediction(truth, 3)["texture"], truth)
    assert fitted["ssim"] > 0.95 and fitted["psnr"] > 30
    assert others["ssim"] < blind["ssim"] + 0.2 < fitted["ssim"] and others["psnr"] < blind["psnr"] < 20


def test_the_second_view_decides_and_the_room_does_not_count() -> None:
    texture, truth = people()
    best = scores(texture, truth)
    changed = {**truth, "rgb": 255 - truth["rgb"]}
    found = scores(texture, changed)
    assert found["ssim"] == best["ssim"] and found["psnr_seen"] < 15
    room = {**truth, "other_rgb": truth["other_rgb"].copy()}
    room["other_rgb"][:, :, :6] = 0
    assert scores(texture, room) == best


def test_people_who_are_not_seen_do_not_count() -> None:
    texture, truth = people()
    rows = task().score_samples({"texture": texture}, truth)
    nobody = {**truth, "other_chart": truth["other_chart"].copy()}
    nobody["other_chart"][1] = 0
    fewer = task().score_samples({"texture": texture}, nobody)
    ones, without = np.ones((1, 3)), np.array([[1.0, 0.0, 1.0]])
    first, second = task().aggregate(fewer, ones), task().aggregate(rows, without)
    for name in ("ssim", "psnr", "ssim_image"):
        assert first[name][0] == pytest.approx(second[name][0])


def test_loss_by_hand() -> None:
    texture = torch.full((1, 24, TEXELS, TEXELS, 3), 0.5)
    rgb, chart, uv = torch.zeros(1, 3, 2, 2), torch.tensor([[[0, 3], [3, 0]]]), torch.rand(1, 2, 2, 2)
    rgb[0, :, 0, 1], rgb[0, :, 1, 0], rgb[0, :, 0, 0] = 0.25, 1.0, 1.0
    assert body_l1(texture, rgb, chart, uv).item() == pytest.approx((0.25 + 0.5) / 2)
    assert body_l1(texture, rgb, torch.zeros_like(chart), uv) == 0


def test_both_views_are_trained_on_and_learned() -> None:
    _, truth = people(1)
    batch: Batch = {}
    for of in ("", "other_"):
        batch[f"{of}chart"] = torch.from_numpy(truth[f"{of}chart"]).long()
        for name in ("rgb", "uv"):
            batch[f"{of}{name}"] = torch.from_numpy(truth[f"{of}{name}"]).permute(0, 3, 1, 2) / 255
    guess = torch.full((1, 24, TEXELS, TEXELS, 3), 0.5, requires_grad=True)
    terms = task(other_weight=2.0).loss({"texture": guess}, batch)
    plain = task().loss({"texture": guess}, batch)
    torch.testing.assert_close(terms["l1_other"], 2 * plain["l1_other"])
    optimizer = torch.optim.Adam([guess], 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.stack(list(task().loss({"texture": guess}, batch).values())).sum().backward()
        optimizer.step()
    found = task().predict({"texture": guess.detach().clamp(0, 1)}, {})["texture"]
    assert scores(found, truth)["ssim"] > 0.9
    shown = task().draw({"texture": found}, truth, {"rgb": truth["rgb"]})
    assert len(shown) == 4 and {rows.shape for rows in shown.values()} == {(1, SIZE, SIZE, 3)}
