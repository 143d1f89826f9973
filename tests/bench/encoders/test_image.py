import pytest
import torch

from bench.encoders import build_encoder
from bench.encoders.image import centre_depth
from bench.errors import ConfigError


def test_depth_is_centred_over_measured_pixels(depth):
    centred = centre_depth(depth)
    assert torch.equal(centred[depth == 0], torch.zeros(int((depth == 0).sum())))
    sums = centred.sum((1, 2, 3))
    torch.testing.assert_close(sums, torch.zeros(2), atol=1e-3, rtol=0)
    measured = depth > 0
    shifted = torch.where(measured, depth + 1.5, 0.0)
    torch.testing.assert_close(centre_depth(shifted), centred, atol=1e-5, rtol=0)
    assert torch.equal(centre_depth(torch.zeros(1, 1, 4, 4)), torch.zeros(1, 1, 4, 4))


def test_colour_and_depth_get_their_own_normalisation(spec, colour, depth):
    rgb, metres = build_encoder(spec, "rgb"), build_encoder(spec, "depth")
    x = rgb.preprocess(colour)
    torch.testing.assert_close(x[:, 1], (colour[:, 1] - 0.456) / 0.224)
    assert torch.equal(metres.preprocess(depth), centre_depth(depth).repeat(1, 3, 1, 1))
    assert rgb.state_dict().keys() == metres.state_dict().keys()
    assert all(name.startswith("model.") for name in rgb.state_dict())


def test_unknown_options_are_reported(pyramid_spec):
    config = {**pyramid_spec["config"], "options": {"chanels": 3}}
    with pytest.raises(ConfigError, match="chanels"):
        build_encoder({**pyramid_spec, "config": config}, "rgb")
