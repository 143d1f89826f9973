from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from bench.data import color

RGB = torch.rand(5, 3, 12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(
    st.tuples(*[st.floats(0, 1)] * 3),
    st.floats(-0.5, 0.5),
)
def test_hue_turns_as_in_colorsys(pixel: tuple[float, float, float], shift: float) -> None:
    h, s, v = colorsys.rgb_to_hsv(*pixel)
    wanted = colorsys.hsv_to_rgb((h + shift) % 1, s, v)
    got = color.hue(torch.tensor(pixel, dtype=torch.float64).view(1, 3, 1, 1), torch.tensor([shift]))
    np.testing.assert_allclose(got.flatten().numpy(), wanted, atol=2e-6)


def test_a_whole_turn_of_the_hue_is_none() -> None:
    for turn in (0.0, 1.0):
        torch.testing.assert_close(color.hue(RGB, torch.full((5,), turn)), RGB)


def test_blur_is_a_gaussian_inside_and_keeps_flat_pictures() -> None:
    image = torch.zeros(2, 3, 41, 41, dtype=torch.float64)
    image[:, :, 20, 20] = 1
    got = color.blur(image, torch.tensor([0.8, 2.0]))
    for n, sigma in enumerate((0.8, 2.0)):
        wanted = gaussian_filter(image[n, 0].numpy(), sigma, truncate=10)
        np.testing.assert_allclose(got[n, 0], wanted, atol=1e-9)
    flat = torch.full((1, 3, 7, 5), 0.3)
    torch.testing.assert_close(color.blur(flat, torch.tensor([2.0])), flat)
    for narrow in (0.01, 0.1):  # weights below any rounding are none, so that black stays black
        assert torch.equal(color.blur(RGB, torch.full((5,), narrow)), RGB)


def test_solarise_inverts_bright_pixels() -> None:
    got = color.solarise(torch.tensor([0.0, 0.2, 0.49, 0.5, 0.8, 1.0]))
    torch.testing.assert_close(got, torch.tensor([0.0, 0.2, 0.49, 0.5, 0.2, 0.0]))


def test_grey_has_no_colour_and_the_luma_of_its_pixel() -> None:
    got = color.grey(RGB)
    assert torch.equal(got[:, 0], got[:, 1]) and torch.equal(got[:, 0], got[:, 2])
    torch.testing.assert_close(got[:, 0], 0.299 * RGB[:, 0] + 0.587 * RGB[:, 1] + 0.114 * RGB[:, 2])


@pytest.mark.parametrize("k", [0, 1, 2])
def test_each_factor_does_one_thing(k: int) -> None:
    factors = torch.ones(5, 3)
    torch.testing.assert_close(color.tint(RGB, factors), RGB)
    factors[:, k] = 0.0
    got = color.tint(RGB, factors)
    if k == 0:
        assert not got.any()
    elif k == 1:  # one grey for the whole image
        assert (got - got[:, :1, :1, :1]).abs().max() < 1e-12
    else:
        torch.testing.assert_close(got, color.grey(RGB).contiguous())
    grey = torch.full((2, 3, 4, 4), 0.4)
    changed = color.tint(grey, torch.tensor([[1.0, 1.9, 0.1], [1.0, 0.1, 1.9]]))
    torch.testing.assert_close(changed, grey)
