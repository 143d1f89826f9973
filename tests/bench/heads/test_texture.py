from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.api import Encoder, FeatureInfo, Features
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import DP24_NAMES
from bench.heads.texture import TextureNetwork, fit, render, splat, texel_places

S = 5


def scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A texture, charts (with background) and coordinates."""
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand(2, 24, S, S, 3, generator=generator)
    chart = torch.randint(0, 25, (2, 7, 6), generator=generator)
    return texture, chart, torch.rand(2, 2, 7, 6, generator=generator)


def test_rendering_reads_between_texels_as_grid_sample_does() -> None:
    texture, chart, uv = scene()
    grid = (2 * uv - 1).permute(0, 2, 3, 1)
    found = render(texture, chart, uv)
    for kind in range(1, 25):
        plane = texture[:, kind - 1].permute(0, 3, 1, 2)  # rows are V, columns U
        expected = F.grid_sample(plane, grid, padding_mode="border", align_corners=False)
        own = (chart == kind)[:, None].expand_as(found)
        torch.testing.assert_close(found[own], expected[own])
    assert not found[(chart == 0)[:, None].expand_as(found)].any()


def test_splatting_is_the_transpose_of_rendering() -> None:
    texture, chart, uv = scene()
    image = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(1))
    sums, weights = splat(image, chart, uv, S)
    torch.testing.assert_close((render(texture, chart, uv) * image).sum(), (texture * sums).sum())
    alone = texture.clone().requires_grad_()
    render(alone, chart, uv).sum().backward()
    assert alone.grad is not None
    torch.testing.assert_close(alone.grad, weights[..., None].expand_as(alone))


def test_a_rendered_texture_is_found_again() -> None:
    texture = scene()[0]
    generator = torch.Generator().manual_seed(2)
    charts = [torch.randint(0, 25, (2, 90, 90), generator=generator) for _ in range(2)]
    uvs = [torch.rand(2, 2, 90, 90, generator=generator) for _ in range(2)]
    images = [render(texture, chart, uv) for chart, uv in zip(charts, uvs, strict=True)]
    found = fit(images, charts, uvs, S, rounds=200)
    torch.testing.assert_close(found, texture, atol=2e-2, rtol=0)
    nothing = fit([images[0]], [torch.where(charts[0] == 3, 3, 0)], [uvs[0]], S)
    assert (nothing[:, 5] - nothing[:, 5, :1, :1]).abs().max() < 1e-6  # unseen: one colour
    assert torch.isfinite(fit([images[0]], [torch.zeros_like(charts[0])], [uvs[0]], S)).all()


class Shown(Encoder):
    feature_info = FeatureInfo(kind="pyramid", channels=(3,), strides=(4,), pooled=3)

    def forward(self, x: torch.Tensor) -> Features:
        return Features(maps=(F.avg_pool2d(x, 4),), pooled=x.mean((2, 3)))


def test_textures_are_mixed_from_the_pixels_colours() -> None:
    torch.manual_seed(0)
    network = TextureNetwork(Shown(), "rgb", texels=S, width=4).eval()
    batch = {"rgb": torch.rand(2, 3, 16, 16)}
    with torch.no_grad():
        texture = network(batch)["texture"]
        assert texture.shape == (2, 24, S, S, 3)
        low, high = (f(batch["rgb"].flatten(2), 2) for f in (torch.amin, torch.amax))
        assert (texture >= low[:, None, None, None]).all() and (texture <= high[:, None, None, None]).all()
        for parameter in network.queries[-1].parameters():
            parameter.zero_()  # all cells are liked alike
        even = network(batch)["texture"]
    mean = batch["rgb"].mean((2, 3))[:, None, None, None].expand_as(even)
    torch.testing.assert_close(even, mean)


def test_texels_lie_where_the_surface_has_them() -> None:
    places = texel_places(S).view(24, S, S, 3)
    low, high = surrogate_body().v_template.min(0), surrogate_body().v_template.max(0)
    assert (places.numpy() >= low - 1e-6).all() and (places.numpy() <= high + 1e-6).all()
    head, foot = DP24_NAMES.index("left head") - 1, DP24_NAMES.index("left foot") - 1
    assert places[head, ..., 1].min() > places[foot, ..., 1].max()
    left, right = (DP24_NAMES.index(f"{side} hand") - 1 for side in ("left", "right"))
    torch.testing.assert_close(places[left] * torch.tensor([-1, 1, 1]), places[right], atol=2e-2, rtol=0)
