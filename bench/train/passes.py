"""How many images a training passes through its encoders, momentum copies included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from bench.api import Encoder


class Passes:
    """Counts rows of the inputs of all encoders inside a module; an image that two encoders see is two.

    A pass that enters an encoder by another method than `forward`, e.g. `ViT.encode_visible`, is counted
    where it meets the encoder's first layer with weights.
    """

    def __init__(self, module: nn.Module) -> None:
        self.rows = 0
        self._inside = 0
        for encoder in _outermost(module):
            encoder.register_forward_pre_hook(self._enter, with_kwargs=True)
            encoder.register_forward_hook(self._leave)
            layers = (m for m in encoder.modules() if m is not encoder and not [*m.children()])
            first = next((m for m in layers if [*m.parameters(recurse=False)]), None)
            if first is not None:
                first.register_forward_pre_hook(self._layer)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], more: Mapping[str, Any]) -> None:
        self._inside += 1
        self._count((*args, *more.values()))

    def _leave(self, *_: Any) -> None:
        self._inside -= 1

    def _layer(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not self._inside:
            self._count(args)

    def _count(self, inputs: tuple[Any, ...]) -> None:
        self.rows += next((len(x) for x in inputs if isinstance(x, Tensor)), 0)


def _outermost(module: nn.Module) -> Iterator[Encoder]:
    """Yield the encoders inside a module, each once; not those that others are made of."""
    seen: set[nn.Module] = set()

    def walk(part: nn.Module) -> Iterator[Encoder]:
        if part in seen:
            return
        seen.add(part)
        if isinstance(part, Encoder):
            yield part
            return
        for child in part.children():
            yield from walk(child)

    yield from walk(module)
