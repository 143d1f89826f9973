import random

import numpy as np
import pytest
import torch

from bench.train.seeding import seeded_initialisation, seeded_layers


def draw(*words: int | str) -> torch.Tensor:
    with seeded_initialisation(*words):
        return torch.nn.Linear(3, 3).weight.detach()


def test_modules_depend_on_the_words_alone() -> None:
    first = draw(0, "encoder", "rgb")
    torch.rand(5)
    assert torch.equal(first, draw(0, "encoder", "rgb"))
    others = [draw(1, "encoder", "rgb"), draw(0, "encoder", "depth"), draw(0, "head", "rgb"), draw(0)]
    assert not any(torch.equal(first, other) for other in others)


def test_global_generators_are_left_as_they_were_even_after_an_error() -> None:
    before = torch.get_rng_state()
    numpy_before, python_before = np.random.get_state(), random.getstate()  # noqa: NPY002
    draw(7)
    with pytest.raises(ValueError, match="inside"), seeded_layers(torch.device("cpu"), 1, "layers"):
        torch.rand(3)
        raise ValueError("inside")
    assert torch.equal(before, torch.get_rng_state())
    numpy_after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(numpy_before, numpy_after, strict=True))
    assert python_before == random.getstate()
