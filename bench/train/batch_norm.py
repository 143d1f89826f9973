"""Batch norm over a batch that is spread over processes, or cut into groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.api import ProcessGroup
from bench.errors import ConfigError
from bench.losses.numerics import HALF
from bench.train.process_group import summed

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def join_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Let all batch norms inside a module take their statistics over the rows of all processes.

    Weights and buffers stay the same objects under the same names.

    Raises:
        ConfigError: on a CPU, a kind of batch norm that has no joined form.
    """
    if device.type == "cuda":
        convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]  # timm's
        return
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            if type(child) not in PLAIN:
                raise ConfigError(
                    f"{type(child).__name__} cannot take its statistics over several processes on a CPU; "
                    "run this stage in one process (resources.nodes=1, resources.gpus=0)"
                )
            setattr(module, name, CPUSyncBatchNorm(child))
        else:
            join_batch_norm(child, device)


class CPUSyncBatchNorm(_BatchNorm):
    """What `torch.nn.SyncBatchNorm` is on GPUs, for CPUs: statistics over the rows of all processes.

    A process may have no row. The variance is taken about the joined mean, as one process would.
    """

    def __init__(self, plain: _BatchNorm) -> None:
        super().__init__(
            plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats
        )
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.training = plain.training

    def _check_input_dim(self, input: Tensor) -> None:
        """Take any shape (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...) per channel."""
        if not self.training:
            return super().forward(input)
        x = input.float() if input.dtype in HALF else input
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = summed(x.new_tensor(x.numel() / x.shape[1]))
        mean = summed(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = summed(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * (count / (count - 1).clamp(min=1)))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics; both (C,), the variance unbiased."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class GhostBatchNormStatistics:
    """Running statistics where every part of a batch is normalised by itself: their mean over the parts.

    Every part starts from the same statistics, as on a device of its own; what remains does not depend on
    which process worked on which part. One backward pass may serve several parts: gradients in training mode
    do not depend on running statistics, which are therefore written past autograd's watch (`data`).
    """

    def __init__(self, module: nn.Module, parts: int) -> None:
        """Find the statistics.

        Args:
            module: with batch norms.
            parts: of a batch, over all processes.
        """
        found = [m for m in module.modules() if isinstance(m, _BatchNorm)] if parts > 1 else []
        self._parts = parts
        self._buffers = [b for m in found for b in (m.running_mean, m.running_var) if b is not None]
        self._counters = [m.num_batches_tracked for m in found if m.num_batches_tracked is not None]
        self._before: list[Tensor] = []
        self._sums: list[Tensor] = []

    @contextmanager
    def step(self, world: ProcessGroup) -> Iterator[None]:
        """Surround the parts of a step; afterwards all processes hold the mean."""
        self._before = [b.clone() for b in (*self._buffers, *self._counters)]
        self._sums = [torch.zeros_like(b) for b in self._buffers]
        yield
        if self._buffers:
            mean = world.all_reduce(torch.cat(self._sums)) / self._parts
            for buffer, part in zip(
                self._buffers, torch.split(mean, list(map(len, self._buffers))), strict=True
            ):
                buffer.data.copy_(part)

    @contextmanager
    def part(self) -> Iterator[None]:
        """Surround the forward pass of a part."""
        for buffer, before in zip((*self._buffers, *self._counters), self._before, strict=True):
            buffer.data.copy_(before)
        yield
        for buffer, total in zip(self._buffers, self._sums, strict=True):
            total.add_(buffer)
