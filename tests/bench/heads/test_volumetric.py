from __future__ import annotations

import pytest
import torch

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.heatmap import LinearHeatmapProbe, heatmap_cells, heatmap_head
from bench.heads.volumetric import VolumetricHead, soft_argmax

RESNET = FeatureInfo(kind="pyramid", channels=(16, 24, 32, 48), strides=(4, 8, 16, 32), pooled=48)
PATCHES = FeatureInfo(kind="tokens", channels=(48,) * 4, strides=(16,) * 4, pooled=48)


def features(info: FeatureInfo, height: int, width: int) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        torch.randn(2, c, -(-height // s), -(-width // s), generator=generator)
        for c, s in zip(info.channels, info.strides, strict=True)
    )
    return Features(maps=maps, pooled=torch.zeros(2, info.pooled))


def test_a_lone_cell_is_the_place_of_its_middle() -> None:
    volume = torch.full((1, 2, 4, 6, 5), -1e4)
    volume[0, 0, 3, 0, 2] = 0
    volume[0, 1, 1, 4, 0] = volume[0, 1, 1, 4, 4] = 0  # two equal peaks: the middle between
    place = soft_argmax(volume)
    torch.testing.assert_close(place[0, 0], torch.tensor([2.5 / 5, 0.5 / 6, 3.5 / 4]))
    torch.testing.assert_close(place[0, 1], torch.tensor([0.5, 4.5 / 6, 1.5 / 4]))


def test_expectation_equals_the_naive_sum() -> None:
    volume = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(1)) * 3
    place = soft_argmax(volume)
    share = volume.exp() / volume.exp().sum((2, 3, 4), keepdim=True)
    z, y, x = torch.meshgrid(*(((torch.arange(n) + 0.5) / n) for n in (4, 5, 6)), indexing="ij")
    for axis, grid in enumerate((x, y, z)):
        torch.testing.assert_close(place[..., axis], (share * grid).sum((2, 3, 4)))


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("info", [RESNET, PATCHES])
def test_head_begins_in_the_middle_and_every_weight_learns(info: FeatureInfo, probe: bool) -> None:
    head = VolumetricHead(info, 5, 8, extent=2.0, probe=probe).train()
    joints = head(features(info, 64, 48), (64, 48))["joints"]
    assert joints.shape == (2, 5, 3)
    assert joints.dtype == torch.float32
    spread = (joints - torch.tensor([24.0, 32.0, 0.0])).abs()
    assert spread.amax() < 4  # of 48, 64 and 96: weights begin near zero
    joints.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in head.named_parameters() if "out.bias" not in n)


@pytest.mark.parametrize("info", [RESNET, PATCHES])
@pytest.mark.parametrize("size", [(64, 48), (48, 48)])
def test_cells_are_those_of_the_heads(info: FeatureInfo, size: tuple[int, int]) -> None:
    given = features(info, *size)
    maps = heatmap_head(info, 2)(given, size)["heatmaps"]
    assert tuple(maps.shape[2:]) == heatmap_cells(info, size)
    if info is RESNET:
        maps = heatmap_head(info, 2, "finest")(given, size)["heatmaps"]
        assert tuple(maps.shape[2:]) == heatmap_cells(info, size, "finest")


@pytest.mark.parametrize("info", [RESNET, PATCHES])
def test_probe_is_linear_in_normalised_features(info: FeatureInfo) -> None:
    """On running statistics, the maps of a sum are the sum of the maps, but for the bias."""
    probe = LinearHeatmapProbe(info, 3).eval()
    first, second = features(info, 64, 64), features(info, 64, 64)
    both = Features(
        maps=tuple(a + 2 * b.flip(0) for a, b in zip(first.maps, second.maps, strict=True)),
        pooled=first.pooled,
    )
    flipped = Features(maps=tuple(b.flip(0) for b in second.maps), pooled=second.pooled)
    one, two, sum_ = (probe(f, (64, 64))["heatmaps"] for f in (first, flipped, both))
    assert one.shape == (2, 3, 16, 16)
    torch.testing.assert_close(sum_, one + 2 * two, atol=1e-4, rtol=1e-4)  # the bias begins at 0


def test_graphs_have_no_volumes() -> None:
    info = FeatureInfo(kind="graph", channels=(), strides=(), pooled=8)
    with pytest.raises(ConfigError, match="pyramid or tokens"):
        VolumetricHead(info, 17, 8, extent=2.0)
    with pytest.raises(ConfigError, match="lacks"):
        LinearHeatmapProbe(info, 17)
