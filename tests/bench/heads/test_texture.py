from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.api import FeatureInfo, Features
from bench.heads.texture import TextureHead, fit, render, splat

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


def test_textures_are_mixed_from_the_pixels_colours() -> None:
    torch.manual_seed(0)
    info = FeatureInfo(kind="pyramid", channels=(8, 8), strides=(4, 8), pooled=8)
    head = TextureHead(info, texels=S, width=4)
    features = Features(maps=(torch.randn(2, 8, 4, 4), torch.randn(2, 8, 2, 2)), pooled=torch.zeros(2, 8))
    texture = head(features, (16, 16))["texture"]
    assert texture.shape == (2, 24, S, S, 3) and texture.min() >= 0 and texture.max() <= 1
    with torch.no_grad():  # one pixel whose key all queries like gives all texels its colour
        head.queries.fill_(0.0)
        even = head(features, (16, 16))["texture"]
    assert (even - even[:, :1, :1, :1]).abs().max() < 1e-6
