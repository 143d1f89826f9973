"""What every loss rests on: float32 arithmetic, unit vectors, means over the valid part."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.api import SINGLE_PROCESS, ProcessGroup

P = ParamSpec("P")
R = TypeVar("R")

SMALLEST_NORM = 1e-12
HALF = (torch.float16, torch.bfloat16)
LEAST = -70.0  # exp of it is lost beside 1, and still a normal float32 when it is divided by thousands


class Bounded(NamedTuple):
    """Loss values and the values that they cannot fall below."""

    value: Tensor
    lower_bound: Tensor  # same shape, without gradient


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function of tensors without autocast, its half-precision positional arguments made float32."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(a.device.type for a in args if isinstance(a, Tensor))
        full = [a.float() if isinstance(a, Tensor) and a.dtype in HALF else a for a in args]
        with torch.autocast(device, enabled=False):
            return function(*full, **kwargs)  # type: ignore[arg-type]  # same arguments, wider numbers

    return wrapper


@in_float32
def l2_normalize(x: Tensor, dim: int = -1) -> Tensor:
    """Scale vectors along `dim` to unit length; vectors shorter than 1e-12 stay near zero."""
    return F.normalize(x, dim=dim, eps=SMALLEST_NORM)


@in_float32
def masked_mean(values: Tensor, mask: Tensor, group: ProcessGroup = SINGLE_PROCESS) -> Tensor:
    """Average `values` where `mask` holds; 0, still connected to the graph, where it holds nowhere.

    Args:
        values: any shape, finite where `mask` holds.
        mask: bool, same shape.
        group: processes whose rows count as one batch.

    Returns:
        Scalar, this process's share in the mean over all rows of the group: the average of the shares over
        the processes, which the training loop takes, is that mean.
    """
    total = torch.where(mask, values, 0.0).sum()
    return total * group.world_size / group.all_reduce(mask.sum()).clamp(min=1)


@in_float32
def logsumexp(logits: Tensor, dim: int) -> Tensor:
    """Return `logits.logsumexp(dim)`, fast also where many logits are excluded by a very low value.

    On CPUs the exponential of what underflows takes thirty times as long as any other. Equal to torch's to
    the bit, but for gradients of logits 70 below the largest (1e-30 and less), which are 0.
    """
    least = logits.detach().amax(dim, keepdim=True) + LEAST
    return torch.where(logits < least, least, logits).logsumexp(dim)
