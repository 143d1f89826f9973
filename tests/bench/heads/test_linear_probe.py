from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads import LinearPixelProbe, LinearProbe, upsample
from bench.heads.linear_probe import FeatureNorm

INFO = FeatureInfo(kind="pyramid", channels=(3, 5), strides=(4, 8), pooled=8)


def features(n: int = 4, scale: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        scale * torch.randn(n, c, 32 // s, 32 // s, generator=generator) for c, s in ((3, 4), (5, 8))
    )
    return Features(maps=maps, pooled=scale * torch.randn(n, 8, generator=generator))


def test_the_pixel_probe_is_one_linear_layer_on_the_concatenation() -> None:
    head = LinearPixelProbe(INFO, 7)
    given = features()
    found = head(given, (32, 32))["maps"]
    standard = [
        (m - m.mean((0, 2, 3), keepdim=True)) / (m.var((0, 2, 3), False, keepdim=True) + 1e-6).sqrt()
        for m in given.maps
    ]
    both = torch.cat([standard[0], upsample(standard[1], (8, 8))], 1)
    wanted = torch.einsum("kc,nchw->nkhw", head.out.weight[:, :, 0, 0], both) + head.out.bias[:, None, None]
    assert torch.allclose(found, upsample(wanted, (32, 32)), atol=1e-6)


def test_the_scale_of_features_does_not_matter() -> None:
    torch.manual_seed(0)
    head, other = LinearPixelProbe(INFO, 7), LinearPixelProbe(INFO, 7)
    other.load_state_dict(head.state_dict())
    plain, large = head(features(), (16, 16))["maps"], other(features(scale=1e4), (16, 16))["maps"]
    assert torch.allclose(plain, large, atol=1e-5)
    assert [name for name, _ in head.named_parameters()] == ["out.weight", "out.bias"]  # no affine norm


def test_norm_of_a_single_value_uses_what_was_seen_before() -> None:
    norm = FeatureNorm(2)
    one = torch.tensor([[3.0, -1.0]])
    assert torch.allclose(norm(one), one, atol=1e-5)  # fresh: mean 0, variance 1
    assert not norm.running_mean.any()  # nothing learned from it
    norm(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    assert torch.allclose(norm.running_mean, torch.tensor([0.2, 0.0]))


def test_the_pooled_probe_is_a_linear_layer_on_standardised_vectors() -> None:
    head = LinearProbe(INFO, 4)
    given = features(16)
    x = (given.pooled - given.pooled.mean(0)) / (given.pooled.var(0, unbiased=False) + 1e-6).sqrt()
    assert torch.allclose(
        head(given, (32, 32))["logits"], F.linear(x, head.out.weight, head.out.bias), atol=1e-6
    )


def test_encoders_without_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match='needs maps, which a "graph" encoder lacks'):
        LinearPixelProbe(FeatureInfo(kind="graph", channels=(), strides=(), pooled=8), 3)
