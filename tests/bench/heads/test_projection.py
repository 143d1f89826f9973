import torch
from torch import nn

from bench.api import FeatureInfo, Features
from bench.heads.projection import (
    channels_of_one_map,
    map_projection,
    one_map,
    pooled_last_map,
    vector_projection,
)

INFO = FeatureInfo(kind="pyramid", channels=(2, 3, 4), strides=(4, 8, 16), pooled=9)


def pyramid():
    maps = (torch.rand(2, 2, 12, 12), torch.rand(2, 3, 6, 6), torch.rand(2, 4, 3, 3))
    return Features(maps=maps, pooled=torch.rand(2, 9))


def test_one_map_is_the_last_one_or_all_on_one_grid():
    features = pyramid()
    assert one_map(features, (48, 48)) is features.maps[-1]
    joined = one_map(features, (48, 48), 8)
    assert joined.shape == (2, channels_of_one_map(INFO, 8), 6, 6)
    fine, own, coarse = joined.split((2, 3, 4), 1)
    torch.testing.assert_close(fine[:, :, 1, 2], features.maps[0][:, :, 2:4, 4:6].mean((2, 3)))
    assert torch.equal(own, features.maps[1])
    torch.testing.assert_close(coarse.mean((2, 3)), features.maps[2].mean((2, 3)))
    assert channels_of_one_map(INFO) == 4
    assert one_map(features, (48, 48), 10).shape == (2, 9, 5, 5)  # a grid that no map has


def test_the_pooled_vector_is_the_mean_of_the_last_map():
    features = pyramid()
    torch.testing.assert_close(pooled_last_map(features), features.maps[-1].flatten(2).mean(2))


def test_a_map_is_projected_cell_by_cell_like_vectors():
    vectors, maps = vector_projection(4, 5, 6), map_projection(4, 5, 6)
    for linear, conv in ((vectors[0], maps[0]), (vectors[2], maps[2])):
        conv.weight.data, conv.bias.data = linear.weight.data[:, :, None, None], linear.bias.data
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(maps(x).permute(0, 2, 3, 1), vectors(x.permute(0, 2, 3, 1)))
    kinds = [type(layer) for layer in map_projection(4, 5, 6, norm=True)]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
