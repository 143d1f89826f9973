"""The one place that touches a global generator: layers draw from it, which torch offers no other way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.api import seeded


@contextmanager
def seeded_initialisation(*words: int | str) -> Iterator[None]:
    """Initialise modules inside from a stream that depends on `words` alone; the outer state is restored."""
    with seeded_layers(torch.device("cpu"), *words):
        yield


@contextmanager
def seeded_layers(device: torch.device, *words: int | str) -> Iterator[None]:
    """Let layers that draw by themselves, e.g. dropout, draw from a stream that depends on `words` alone.

    Args:
        device: where the layers run; its generator and the CPU's are set, and restored afterwards.
        words: name of the stream.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    before = [generator.get_state() for generator in generators]
    seed = seeded(*words).initial_seed()
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
