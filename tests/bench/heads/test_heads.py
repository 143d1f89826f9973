from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads import ConcatHead, DPTHead, pixel_head, read_points, upsample
from bench.heads.concat import WIDEST

PYRAMID = FeatureInfo(kind="pyramid", channels=(6, 8, 10, 12), strides=(4, 8, 16, 32), pooled=12)
TOKENS = FeatureInfo(kind="tokens", channels=(48,) * 4, strides=(8,) * 4, pooled=48)


def features(info: FeatureInfo, size: int, n: int = 2) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        torch.randn(n, c, -(-size // s), -(-size // s), generator=generator, requires_grad=True)
        for c, s in zip(info.channels, info.strides, strict=True)
    )
    return Features(maps=maps, pooled=torch.zeros(n, info.pooled))


@pytest.mark.parametrize(
    ("cells", "size"), [((4, 4), (16, 16)), ((3, 5), (7, 5)), ((2, 2), (2, 2)), ((9, 6), (4, 5))]
)
def test_upsample_equals_interpolate(cells: tuple[int, int], size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *cells, generator=torch.Generator().manual_seed(1), requires_grad=True)
    expected = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    found = upsample(x, size)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (a,) = torch.autograd.grad((found * weight).sum(), x)
    (b,) = torch.autograd.grad((expected * weight).sum(), x)
    torch.testing.assert_close(a, b)


def test_upsample_stays_in_float32_under_autocast() -> None:
    x = torch.linspace(0, 1, 16).view(1, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = upsample(x.bfloat16(), (8, 8))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, upsample(x.bfloat16().float(), (8, 8)), rtol=0, atol=0)


def test_read_points_is_exact_at_pixels_and_on_ramps() -> None:
    height, width = 6, 9
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([rows, cols]).float()[None]
    points = torch.tensor([[[0.0, 0.0], [5.0, 8.0], [2.25, 3.5], [4.0, 1.75]]])
    torch.testing.assert_close(read_points(image, points, (height, width))[0].T, points[0])


def test_read_points_of_coarse_maps_equals_reading_them_upsampled() -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    points = torch.tensor([[[0.0, 0.0], [7.0, 9.0], [15.0, 2.0]]]).expand(2, -1, -1)
    full = upsample(maps, (16, 16))
    expected = full[:, :, points[0, :, 0].long(), points[0, :, 1].long()]
    torch.testing.assert_close(read_points(maps, points, (16, 16)), expected)


def test_concat_head_equals_the_concatenation() -> None:
    head = ConcatHead(PYRAMID, out_channels=5).eval()
    x = features(PYRAMID, 64)
    joined = torch.cat([F.interpolate(m, size=(16, 16), mode="bilinear") for m in x.maps], 1)
    expected = head.out(torch.relu(head.norm(head.mix(joined))))
    torch.testing.assert_close(head.maps(x), expected, rtol=1e-4, atol=1e-5)


def test_concat_head_width_is_capped() -> None:
    wide = FeatureInfo(kind="pyramid", channels=(64, 128), strides=(4, 8), pooled=128)
    assert ConcatHead(PYRAMID, 5).norm.num_features == sum(PYRAMID.channels)
    assert ConcatHead(wide, 5).norm.num_features == WIDEST
    assert ConcatHead(wide, 5, width=7).norm.num_features == 7


@pytest.mark.parametrize("patch", [4, 8, 14, 16])
def test_dpt_head_computes_at_about_stride_4(patch: int) -> None:
    info = FeatureInfo(kind="tokens", channels=(48,) * 4, strides=(patch,) * 4, pooled=48)
    maps = DPTHead(info, out_channels=5).maps(features(info, 112))
    grid = 112 // patch
    assert maps.shape == (2, 5, grid * {4: 1, 8: 2, 14: 4, 16: 4}[patch], maps.shape[2])


def test_dpt_widths_follow_the_encoder() -> None:
    vit_b = FeatureInfo(kind="tokens", channels=(768,) * 4, strides=(16,) * 4, pooled=768)
    with torch.device("meta"):
        head = DPTHead(vit_b, out_channels=73)
    assert [level[0].out_channels for level in head.levels] == [96, 192, 384, 768]
    assert head.smooth.in_channels == 256
    small = DPTHead(TOKENS, out_channels=5)
    assert sum(p.numel() for p in small.parameters()) < 150_000


@pytest.mark.parametrize("info", [PYRAMID, TOKENS])
@pytest.mark.parametrize("size", [(64, 64), (50, 70)])
def test_output_has_the_size_of_the_image(info: FeatureInfo, size: tuple[int, int]) -> None:
    assert pixel_head(info, 5)(features(info, 64), size)["maps"].shape == (2, 5, *size)


@pytest.mark.parametrize("info", [PYRAMID, TOKENS])
def test_gradient_reaches_all_parameters_and_features(info: FeatureInfo) -> None:
    torch.manual_seed(0)
    head, x = pixel_head(info, 5), features(info, 64)
    weight = torch.randn(2, 5, 64, 64)
    (head(x, (64, 64))["maps"] * weight).sum().backward()
    tensors: list[Tensor] = [*head.parameters(), *x.maps]
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in tensors)


def test_graph_encoders_have_no_pixel_head() -> None:
    info = FeatureInfo(kind="graph", channels=(), strides=(), pooled=8)
    with pytest.raises(ConfigError, match="graph"):
        pixel_head(info, 5)
