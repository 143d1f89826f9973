import math

import pytest
import torch

from bench.encoders.positions import sincos_positions
from bench.errors import ConfigError


def test_formula():
    table = sincos_positions(3, 5, 16)[0]
    assert table.shape == (16, 16)
    assert torch.equal(table[0], torch.zeros(16))
    row, column = 2, 3
    cell = table[1 + row * 5 + column]
    for k in range(4):
        frequency = 10000 ** (-k / 4)
        expected = [math.sin(column * frequency), math.cos(column * frequency)]
        expected += [math.sin(row * frequency), math.cos(row * frequency)]
        torch.testing.assert_close(cell[[k, 4 + k, 8 + k, 12 + k]], torch.tensor(expected), atol=1e-6, rtol=0)


def test_width_must_be_a_multiple_of_four():
    with pytest.raises(ConfigError, match="18"):
        sincos_positions(2, 2, 18)
