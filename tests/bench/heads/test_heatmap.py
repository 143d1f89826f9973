from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.api import Encoder, FeatureInfo, Features
from bench.bodymodels.joints import JOINT_SETS
from bench.errors import ConfigError
from bench.heads.heatmap import FlipTested, heatmap_head, unflip
from bench.losses.heatmaps import gaussian_targets

RESNET = FeatureInfo(kind="pyramid", channels=(16, 24, 32, 48), strides=(4, 8, 16, 32), pooled=48)
PATCHES = FeatureInfo(kind="tokens", channels=(48,) * 4, strides=(16,) * 4, pooled=48)
SMALL_PATCHES = FeatureInfo(kind="tokens", channels=(48,) * 2, strides=(8,) * 2, pooled=48)
FLIP = JOINT_SETS["coco17"].flip


def features(info: FeatureInfo, height: int, width: int) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        torch.randn(2, c, height // s, width // s, generator=generator, requires_grad=True)
        for c, s in zip(info.channels, info.strides, strict=True)
    )
    return Features(maps=maps, pooled=torch.zeros(2, info.pooled))


@pytest.mark.parametrize("kind", ["deconv", "linear", "finest"])
@pytest.mark.parametrize("info", [RESNET, PATCHES, SMALL_PATCHES])
def test_maps_have_a_quarter_of_the_picture(kind: str, info: FeatureInfo) -> None:
    if kind == "finest" and info is not RESNET:
        with pytest.raises(ConfigError, match="head=deconv"):
            heatmap_head(info, 17, "finest")
        return
    head = heatmap_head(info, 17, kind)  # type: ignore[arg-type]
    given = features(info, 128, 96)
    out = head(given, (128, 96))["heatmaps"]
    assert out.shape == (2, 17, 32, 24)
    assert out.dtype == torch.float32
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    used = given.maps[0 if kind == "finest" else -1]
    assert used.grad is not None
    assert used.grad.any()


def test_simple_baseline_has_three_steps_after_a_resnet_and_two_after_patches() -> None:
    def steps(info: FeatureInfo, width: int | None = None) -> list[int]:
        head = heatmap_head(info, 17, width=width)
        return [m.out_channels for m in head.modules() if isinstance(m, nn.ConvTranspose2d)]

    wide = FeatureInfo(kind="pyramid", channels=(256, 2048), strides=(4, 32), pooled=2048)
    assert steps(wide) == [256] * 3
    assert steps(RESNET) == [48] * 3
    assert steps(PATCHES) == [48] * 2
    assert steps(PATCHES, width=8) == [8, 8]


def test_each_cell_of_the_linear_head_fills_its_own_part() -> None:
    head = heatmap_head(PATCHES, 3, "linear")
    given = features(PATCHES, 64, 64)
    out = head(given, (64, 64))["heatmaps"]
    (slope,) = torch.autograd.grad(out[:, :, 4:8, 8:12].square().sum(), given.maps[-1])
    touched = slope.abs().sum((0, 1)) > 0
    assert touched.nonzero().tolist() == [[1, 2]]


def test_graphs_have_no_heat_maps() -> None:
    info = FeatureInfo(kind="graph", channels=(), strides=(), pooled=8)
    with pytest.raises(ConfigError, match="pyramid or tokens"):
        heatmap_head(info, 17)


class Sides(Encoder):
    """Passes on the sign of an image's first pixel, which its mirror image has on the other side."""

    feature_info = FeatureInfo(kind="pyramid", channels=(1,), strides=(128,), pooled=1)

    def forward(self, x: Tensor) -> Features:
        return Features(maps=(x[:, :1, :1, :1],), pooled=x[:, 0, 0, :1])


class Fixed(nn.Module):
    """Gives the maps of an image or of its mirror image."""

    def __init__(self, straight: Tensor, mirrored: Tensor) -> None:
        super().__init__()
        self.maps = (straight, mirrored)
        self.calls = 0

    def forward(self, features: Features, size: tuple[int, int]) -> dict[str, Tensor]:
        self.calls += 1
        return {"heatmaps": self.maps[int(features.pooled[0] < 0)]}


def test_flip_test_finds_the_same_joints_in_the_mirror() -> None:
    size, cells = (128, 96), (32, 24)
    joints = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(1)) * 40 + 28
    mirrored = torch.stack([joints[..., 0], size[1] - joints[..., 1]], -1)[:, list(FLIP)]
    straight = gaussian_targets(joints, cells, size)
    head = Fixed(straight, gaussian_targets(mirrored, cells, size))
    torch.testing.assert_close(unflip(head.maps[1], FLIP), straight)
    image = torch.ones(2, 3, *size)
    image[..., 48:] = -1
    tested = FlipTested(Sides(), head, "rgb", FLIP).eval()
    torch.testing.assert_close(tested({"rgb": image})["heatmaps"], straight)
    assert head.calls == 2
    head.maps = (straight, torch.zeros_like(straight))
    torch.testing.assert_close(tested({"rgb": image})["heatmaps"], straight / 2)
    tested.train()
    assert tested({"rgb": image})["heatmaps"] is straight
