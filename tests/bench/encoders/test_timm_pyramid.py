import pytest
import torch

from bench.encoders import build_encoder
from bench.errors import ConfigError


def test_maps_have_the_announced_shapes_and_are_pooled(pyramid_spec, colour, depth):
    for modality, x in (("rgb", colour), ("depth", depth)):
        encoder = build_encoder(pyramid_spec, modality)
        info, features = encoder.feature_info, encoder(x)
        assert info.channels == (8, 16, 24, 32)
        assert [tuple(m.shape) for m in features.maps] == [
            (2, c, 32 // s, 32 // s) for c, s in zip(info.channels, info.strides, strict=True)
        ]
        torch.testing.assert_close(features.pooled[:, 8:24], features.maps[1].mean((2, 3)))
        assert features.pooled.shape == (2, info.pooled)


def test_hrnet_has_its_own_features_not_those_of_the_classifier(colour):
    spec = {
        "adapter": "bench.encoders.timm_pyramid:TimmPyramid",
        "version": 1,
        "config": {"model": "hrnet_w18_small", "options": {"feature_location": ""}, "bn_momentum": 0.01},
    }
    encoder = build_encoder(spec, "rgb").eval()
    maps = encoder(colour).maps
    assert [m.shape[1] for m in maps] == [16, 32, 64, 128]
    assert min(m.min().item() for m in maps) >= 0  # after ReLU
    norms = [m for m in encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.01}


def test_memory_layout_does_not_change_the_features(pyramid_spec, colour):
    plain = {**pyramid_spec, "config": {**pyramid_spec["config"], "channels_last": False}}
    a, b = build_encoder(pyramid_spec, "rgb").eval(), build_encoder(plain, "rgb").eval()
    b.load_state_dict(a.state_dict())
    torch.testing.assert_close(a(colour).pooled, b(colour).pooled)


@pytest.mark.parametrize(("model", "reason"), [("mixer_s32_224", "no pyramid"), ("resnet10t", "index")])
def test_networks_without_such_maps_are_refused(pyramid_spec, model, reason):
    config = {"model": model, "out_indices": [0, 9] if model == "resnet10t" else [0, 1]}
    with pytest.raises(ConfigError, match=reason):
        build_encoder({**pyramid_spec, "config": config}, "rgb")
