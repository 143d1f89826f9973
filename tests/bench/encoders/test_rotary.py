from __future__ import annotations

import math

import pytest
import torch

from bench.encoders.rotary import rotary_angles, rotate
from bench.errors import ConfigError


def test_products_depend_on_differences_of_positions_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 16, generator=generator)
    angles = rotary_angles(5, 7, 16)
    turned_q, turned_k = rotate(q.expand(35, -1), angles), rotate(k.expand(35, -1), angles)
    scores = (turned_q @ turned_k.T).view(5, 7, 5, 7)
    torch.testing.assert_close(scores[1:, 2:, 1:, 2:], scores[:-1, :-2, :-1, :-2], rtol=0, atol=1e-5)
    assert (scores[0, 0] - scores[0, 0, 0, 0]).abs().max() > 0.1
    assert (scores[0, 0, 1, 0] - scores[0, 0, 0, 1]).abs() > 1e-3  # rows and columns differ


def test_formula() -> None:
    x = torch.arange(1.0, 9)
    row, column, base = 2, 3, 100.0
    turned = rotate(x.expand(12, -1), rotary_angles(3, 4, 8, base))[row * 4 + column]
    for half, place in enumerate((row, column)):
        for k in range(2):
            angle = place * base ** (-k / 2)
            a, b = x[4 * half + k].item(), x[4 * half + 2 + k].item()
            assert turned[4 * half + k] == pytest.approx(a * math.cos(angle) - b * math.sin(angle), abs=1e-5)
            assert turned[4 * half + 2 + k] == pytest.approx(
                b * math.cos(angle) + a * math.sin(angle), abs=1e-5
            )
    with pytest.raises(ConfigError, match="6"):
        rotary_angles(2, 2, 6)
