"""Encode a batch in groups, each with a batch norm of its own (MoCo's shuffled batch norm).

Batch norm leaks which key belongs to which query when it sees the images of both in the same company. MoCo
(arXiv:1911.05722, Sec. 3.3) lets every GPU normalise its own images, and shuffles the keys' images over the
GPUs. Here groups take the place of GPUs, on any number of devices. No image has to travel: a group is
normalised over its rows wherever they lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bench.api import SINGLE_PROCESS, Context, Features
from bench.train.batch_norm import GhostBatchNormStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Which group each row of this process is in."""

    members: Tensor  # (N,) int64, on the CPU
    count: int  # G, the same in all processes


def groups_in_order(rows: int, count: int, ctx: Context) -> Groups:
    """Cut the batch into groups of neighbours.

    Args:
        rows: N, of this process, as many as of any other.
        count: of groups; a batch of fewer rows has as many groups as rows.
        ctx: of the step; the batch is that of `ctx.group`.
    """
    return _own(torch.arange(rows * ctx.group.world_size), count, ctx)


def shuffled_groups(rows: int, count: int, ctx: Context) -> Groups:
    """Deal the rows of the batch to groups of equal size at random; arguments as of `groups_in_order`."""
    return _own(torch.randperm(rows * ctx.group.world_size, generator=ctx.generator), count, ctx)


def _own(places: Tensor, count: int, ctx: Context) -> Groups:
    count = min(count, len(places))
    members = places * count // len(places)
    return Groups(members=members.chunk(ctx.group.world_size)[ctx.group.rank], count=count)


def encode_in_groups(encoder: nn.Module, x: Tensor, groups: Groups) -> Features:
    """Encode the rows of each group by themselves.

    Running statistics become their mean over the groups, as of devices that start a step from equal ones. An
    encoder without batch norm encodes all rows at once.

    Args:
        encoder: gives `Features`; an encoder or a momentum copy of one.
        x: (N, ...).
        groups: of these rows.

    Returns:
        Features of all rows, in their order.
    """
    if groups.count == 1 or not any(isinstance(m, _BatchNorm) for m in encoder.modules()):
        whole: Features = encoder(x)
        return whole
    order = groups.members.argsort(stable=True)
    counts = torch.bincount(groups.members, minlength=groups.count).tolist()
    back = order.argsort().to(x.device)
    statistics, parts = GhostBatchNormStatistics(encoder, groups.count), []
    with statistics.step(SINGLE_PROCESS):  # those of all processes are equal already
        for rows in torch.split(x[order.to(x.device)], counts):
            with statistics.part():
                parts.append(encoder(rows))

    def joined(values: list[Tensor]) -> Tensor:
        return torch.cat(values)[back]

    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Features(
        maps=tuple(joined(list(levels)) for levels in zip(*(part.maps for part in parts), strict=True)),
        pooled=joined([part.pooled for part in parts]),
        tokens=joined(tokens) if tokens else None,
    )
