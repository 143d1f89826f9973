from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bench.adapters.loading import build_config
from bench.api import SINGLE_PROCESS, EncoderHead
from bench.bodymodels.joints import JOINT_SETS
from bench.encoders import build_encoder, fields_of, pointnet2
from bench.encoders.partial import encode_present
from bench.encoders.pointnet2 import (
    PointNet2,
    PointNet2Config,
    back_project,
    farthest_points,
    interpolate,
    inverse_distance,
    neighbours,
    spread_points,
)
from bench.errors import ConfigError, StepError
from bench.grid.request import BUILT_IN, load
from bench.heads import pixel_head
from bench.train.seeding import seeded_initialisation

SIZE = 32
SMALL = {
    "points": [24, 10, 4],
    "radii": [[0.2, 0.4], [0.4, 0.8], [0.8, 1.6]],
    "samples": [3, 6],
    "widths": [[[4], [4]], [[6], [6]], [[8, 8], [8, 8]]],
    "back": [[10, 12], [8], [8]],
}
SPEC = {"adapter": "bench.encoders.pointnet2:PointNet2", "version": 1, "config": SMALL}


@pytest.fixture
def encoder() -> PointNet2:
    with seeded_initialisation("test", 0):
        built = build_encoder(SPEC, "depth")
    assert isinstance(built, PointNet2)
    return built


def cloud(n: int, *batch: int, seed: int = 0) -> Tensor:
    return torch.rand(*batch, n, 3, generator=torch.Generator().manual_seed(seed))


def images(n: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    depth = torch.zeros(n, 1, SIZE, SIZE)
    depth[:, :, 4:28, 8:24] = 2 + torch.rand(n, 1, 24, 16, generator=torch.Generator().manual_seed(seed))
    camera = torch.tensor([[40.0, 0, 13], [0, 42, 17], [0, 0, 1]]).expand(n, 3, 3)
    return depth, camera


# ---- geometry


def test_pixels_are_projected_back() -> None:
    depth, camera = images(1)
    points = back_project(depth, camera)
    for row, column in ((4, 8), (27, 23), (10, 11)):
        z = depth[0, 0, row, column]
        expected = torch.stack([(column + 0.5 - 13) * z / 40, (row + 0.5 - 17) * z / 42, z])
        torch.testing.assert_close(points[0, :, row, column], expected)
    assert not points[0, :, 0, 0].any()


def test_a_crop_with_its_own_camera_shows_the_same_points() -> None:
    depth, camera = images(1)
    shifted = camera.clone()
    shifted[:, 0, 2] -= 8
    shifted[:, 1, 2] -= 4
    whole, crop = back_project(depth, camera), back_project(depth[:, :, 4:28, 8:24], shifted)
    torch.testing.assert_close(crop, whole[:, :, 4:28, 8:24])


def test_points_are_measured_pixels_evenly_spread() -> None:
    positions = torch.arange(2 * 3 * 16).view(2, 3, 4, 4).float()
    measured = torch.zeros(2, 4, 4, dtype=torch.bool)
    measured[0, 1:3] = True  # 8 pixels, numbers 4 to 11
    measured[1, 3, 1:] = True  # 3 pixels
    points = spread_points(positions, measured, 4)
    assert points[0, :, 0].tolist() == [4, 6, 8, 10]
    assert (points[1, :, 0] - 48).tolist() == [13, 13, 14, 15]


def test_farthest_points_against_a_loop() -> None:
    xyz = cloud(30, 2)
    for points, found in zip(xyz, farthest_points(xyz, 12), strict=True):
        chosen = [0]
        while len(chosen) < 12:
            gaps = [min(math.dist(p, points[c]) for c in chosen) for p in points]
            chosen.append(max(range(30), key=gaps.__getitem__))
        assert found.tolist() == chosen


@pytest.mark.parametrize("chunk", [2**24, 100])
def test_neighbours_against_a_loop(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(pointnet2, "CHUNK", chunk)  # 100: three centres at a time
    xyz = cloud(20, 2)
    centres = cloud(7, 2, seed=1)
    distances, index = neighbours(centres, xyz, 5)
    for n in range(2):
        for m in range(7):
            gaps = [math.dist(centres[n, m], p) for p in xyz[n]]
            expected = sorted(range(20), key=gaps.__getitem__)[:5]
            assert index[n, m].tolist() == expected
            assert distances[n, m].tolist() == pytest.approx([gaps[i] for i in expected], rel=1e-5)


def test_groups_against_a_loop(encoder: PointNet2) -> None:
    """Per centre the maximum over at most so many of the nearest points within the radius."""
    level = encoder.down[1].eval()
    xyz, features = cloud(24, 2), torch.rand(2, 24, 8)
    centres, found = level(xyz, features)
    for n in range(2):
        for m, centre in enumerate(centres[n]):
            gaps = [math.dist(centre, p) for p in xyz[n]]
            expected = []
            for radius, samples, layers in zip((0.4, 0.8), (3, 6), level.scales, strict=True):
                near = sorted((g, i) for i, g in enumerate(gaps) if g <= radius)[:samples]
                rows = [torch.cat([xyz[n, i] - centre, features[n, i]]) for _, i in near]
                expected.append(layers(torch.stack(rows)).amax(0))
            torch.testing.assert_close(found[n, m], torch.cat(expected))


def test_interpolation_weighs_three_points_by_their_inverse_distance() -> None:
    xyz = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 4, 0], [0, 0, 90]]])
    places = torch.tensor([[[0.0, 0, 0], [0.25, 0, 0]]])
    index, weights = inverse_distance(places, xyz)
    assert index.tolist() == [[[0, 1, 2], [0, 1, 2]]]
    torch.testing.assert_close(weights[0, 0], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    inverse = torch.tensor([4, 4 / 3, 1 / math.sqrt(16.0625)])
    torch.testing.assert_close(weights[0, 1], inverse / inverse.sum())
    features = torch.tensor([[[1.0], [2.0], [3.0], [50.0]]])
    read = interpolate(places, xyz, features)
    torch.testing.assert_close(read[0, 1, 0], (inverse / inverse.sum()) @ torch.tensor([1.0, 2, 3]))


# ---- the encoder


def test_shapes_and_what_it_says_of_itself(encoder: PointNet2) -> None:
    features = encoder(*images())
    info = encoder.feature_info
    assert (info.kind, info.channels, info.strides, info.pooled) == ("points", (12,), (4,), 12)
    assert [m.shape for m in features.maps] == [(3, 12, 8, 8)]
    assert features.pooled.shape == (3, 12)
    assert features.tokens is not None and features.xyz is not None
    assert features.tokens.shape == (3, 24, 12) and features.xyz.shape == (3, 24, 3)
    assert fields_of(torch.nn.Sequential(encoder)) == ("camera",)
    maps = pixel_head(info, 5)(features, (SIZE, SIZE))["maps"]
    assert maps.shape == (3, 5, SIZE, SIZE)


def test_map_is_zero_where_nothing_was_measured_and_that_of_a_point_at_its_pixel(encoder: PointNet2) -> None:
    encoder.eval()
    depth, camera = images(1)
    features = encoder(depth, camera)
    shown = features.maps[0][0]  # (12, 8, 8)
    assert torch.equal(shown.any(0), depth[0, 0, ::4, ::4] > 0)
    assert features.tokens is not None  # the first point is the first measured pixel, of cell (1, 2)
    torch.testing.assert_close(shown[:, 1, 2], features.tokens[0, 0])


def test_order_of_the_points_does_not_matter(encoder: PointNet2) -> None:
    """But for the first one, where the choice of centres begins."""
    encoder.eval()
    xyz = cloud(24, 2)
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(23)])
    torch.testing.assert_close(encoder.encode_points(xyz[:, order]), encoder.encode_points(xyz)[:, order])


def test_only_differences_of_positions_enter(encoder: PointNet2) -> None:
    encoder.eval()
    xyz = cloud(24, 2)
    moved = encoder.encode_points(xyz + torch.tensor([0.5, -1.0, 2.0]))
    torch.testing.assert_close(moved, encoder.encode_points(xyz), atol=1e-4, rtol=1e-4)


def test_gradients_reach_all_layers(encoder: PointNet2) -> None:
    features = encoder(*images())
    (features.maps[0].square().mean() + features.pooled.square().mean()).backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_other_precisions(encoder: PointNet2) -> None:
    depth, camera = images(2)
    single = encoder.eval()(depth, camera)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder(depth, camera)
    assert half.xyz is not None and single.xyz is not None
    assert torch.equal(half.xyz, single.xyz)  # positions keep their precision
    torch.testing.assert_close(half.maps[0].float(), single.maps[0], atol=0.05, rtol=0.05)
    double = encoder.double()(depth.double(), camera)
    torch.testing.assert_close(double.pooled, single.pooled.double(), atol=1e-4, rtol=1e-4)


def test_a_process_may_have_no_sample(encoder: PointNet2) -> None:
    depth, camera = images(2)
    features = encoder.eval()(depth[:0], camera[:0])
    assert features.maps[0].shape == (0, 12, 8, 8) and features.pooled.shape == (0, 12)
    features.maps[0].sum().backward()


def test_networks_of_tasks_hand_it_the_camera(encoder: PointNet2) -> None:
    depth, camera = images(2)
    network = EncoderHead(encoder, pixel_head(encoder.feature_info, 5), "depth").eval()
    maps = network({"depth": depth, "camera": camera})["maps"]
    assert maps.shape == (2, 5, SIZE, SIZE)
    wider = camera * torch.tensor([[0.5], [0.5], [1.0]])  # half the focal length: twice as large
    assert not torch.allclose(network({"depth": depth, "camera": wider})["maps"], maps)


@pytest.mark.parametrize("training", [True, False])
def test_empty_depth_gives_finite_features(encoder: PointNet2, training: bool) -> None:
    depth, camera = images(2)
    depth[1] = 0
    features = encoder.train(training)(depth, camera)
    assert torch.isfinite(features.pooled).all()
    assert not features.maps[0][1].any() and features.maps[0][0].any()


def test_absent_samples_stay_out_of_the_statistics(encoder: PointNet2) -> None:
    depth, camera = images(3)
    part = encode_present(encoder, depth, torch.tensor([True, False, True]), SINGLE_PROCESS, camera)
    assert part.tokens is not None and part.xyz is not None
    for values in (part.maps[0], part.pooled, part.tokens, part.xyz):
        assert values[[0, 2]].any() and not values[1].any()


def test_published_sizes() -> None:
    built = build_encoder(load(BUILT_IN / "encoder" / "pointnet2.yaml", "encoder"), "depth")
    assert built.feature_info.channels == (128,)
    assert isinstance(built, PointNet2) and built.cfg == PointNet2Config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [24, 10]}, "one entry per level"),
        ({"samples": [3]}, "radii and widths need 1 entries per level"),
        ({"points": [24, 30, 4]}, "must not grow"),
        ({"back": [[10, 12], [], [8]]}, "at least one layer"),
        ({"radii": [[0.0, 0.4], [0.4, 0.8], [0.8, 1.6]]}, "above 0"),
    ],
)
def test_wrong_settings(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(PointNet2Config, {**SMALL, **change}, "pointnet2")


def test_other_modalities_and_a_missing_camera_are_refused(encoder: PointNet2) -> None:
    with pytest.raises(ConfigError, match='reads depth, not "rgb"'):
        build_encoder(SPEC, "rgb", next(iter(JOINT_SETS)))
    with pytest.raises(StepError, match="camera"):
        encoder(images()[0])
