from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.api import FeatureInfo, Features
from bench.heads import pixel_head, upsample
from bench.heads.grid import classes_through_grid, commonest, map_grid, pixel_grid, through_grid


@pytest.mark.parametrize("size", [(48, 48), (40, 56)])
@pytest.mark.parametrize(
    ("kind", "stride", "levels"), [("pyramid", 4, 2), ("pyramid", 8, 1), ("tokens", 8, 4), ("tokens", 4, 4)]
)
def test_grids_are_those_of_the_heads(kind: str, stride: int, levels: int, size: tuple[int, int]) -> None:
    strides = tuple(stride * 2**k if kind == "pyramid" else stride for k in range(levels))
    info = FeatureInfo(kind=kind, channels=(8,) * levels, strides=strides, pooled=8)
    maps = tuple(torch.zeros(1, 8, -(-size[0] // s), -(-size[1] // s)) for s in strides)
    head = pixel_head(info, 3).eval()
    out = head.maps(Features(maps=maps, pooled=torch.zeros(1, 8)))
    assert tuple(out.shape[2:]) == pixel_grid(info, size)
    assert tuple(maps[0].shape[2:]) == map_grid(info, size)


def test_the_nearest_map_of_the_grid_is_found() -> None:
    torch.manual_seed(0)
    cells, size = (5, 4), (20, 16)
    drawn = upsample(torch.randn(2, 3, *cells), size)
    torch.testing.assert_close(through_grid(drawn, cells), drawn, atol=1e-5, rtol=1e-5)
    target = torch.rand(1, 1, *size)
    basis = upsample(torch.eye(20).view(20, 1, *cells), size).flatten(1).T  # (H W, h w), another way
    best = basis @ torch.linalg.lstsq(basis, target.flatten()[:, None]).solution
    torch.testing.assert_close(through_grid(target, cells).flatten(), best[:, 0], atol=1e-5, rtol=1e-4)


def test_classes_survive_a_fine_grid_and_blur_on_a_coarse_one() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 5, (40, 12, 12)).astype(np.uint8)  # more than one chunk
    np.testing.assert_array_equal(classes_through_grid(classes, 5, (12, 12)), classes)
    halves = np.zeros((1, 12, 12), np.uint8)
    halves[:, :, 6:] = 4
    np.testing.assert_array_equal(classes_through_grid(halves, 5, (3, 4)), halves)  # an edge between cells
    thin = np.zeros((1, 12, 12), np.uint8)
    thin[:, :, 5] = 1
    assert not classes_through_grid(thin, 2, (2, 2)).any()  # a line is lost
    unlabelled = np.where(thin == 0, 255, thin).astype(np.uint8)
    assert (classes_through_grid(unlabelled, 2, (12, 12))[:, :, 5] == 1).all()


def test_the_commonest_class_of_each_place() -> None:
    classes = np.array([[0, 1, 2], [0, 1, 255], [3, 2, 255]], np.uint8)
    assert commonest(classes, 4).tolist() == [0, 1, 2]
    assert commonest(np.array([2, 2, 1], np.uint8), 4) == 2
