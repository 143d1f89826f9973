"""Least-squares adversarial losses (arXiv:1611.04076, Eq. 9): 1 stands for real, 0 for generated."""

from __future__ import annotations

from torch import Tensor

from bench.losses.numerics import in_float32


@in_float32
def fooling(generated: Tensor) -> Tensor:
    """Return the loss of a generator: scores of any shape, the mean squared distance from 1."""
    return (generated - 1).square().mean()


@in_float32
def telling_apart(generated: Tensor, real: Tensor) -> Tensor:
    """Return the loss of an adversary: scores of generated ones pulled to 0, of real ones to 1."""
    return generated.square().mean() + (real - 1).square().mean()
