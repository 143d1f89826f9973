"""Run networks on the samples that have a modality, and leave zeros for the others."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench.api import SINGLE_PROCESS, Encoder, Features, ProcessGroup


def encode_present(
    encoder: Encoder, x: Tensor, present: Tensor, group: ProcessGroup = SINGLE_PROCESS, *fields: Tensor
) -> Features:
    """Encode part of a batch, so that empty inputs do not enter the statistics of batch norm.

    Where no sample is present the whole (empty) batch is encoded with frozen statistics, to keep every
    parameter in the graph.

    Args:
        encoder: of any kind.
        x: its input, (N, ...).
        present: (N,) bool.
        group: processes that share batch norm; those without a sample take part with no rows.
        fields: what it reads besides, `Encoder.fields`, (N, ...) each.

    Returns:
        Features of all N samples, zero where absent.
    """
    part, rows = _on_present(encoder, (x, *fields), present, group)
    if rows is None:
        whole: Features = part
        return whole
    return Features(
        maps=tuple(_spread(m, rows, len(x)) for m in part.maps),
        pooled=_spread(part.pooled, rows, len(x)),
        tokens=None if part.tokens is None else _spread(part.tokens, rows, len(x)),
        xyz=None if part.xyz is None else _spread(part.xyz, rows, len(x)),
    )


def embed_present(
    head: nn.Module, x: Tensor, present: Tensor, group: ProcessGroup = SINGLE_PROCESS
) -> Tensor:
    """Do the same for a head with batch norm that maps (N, C) to (N, C').

    A single sample, of all processes, has no statistics: as without any, those of the past are taken.
    """
    part, rows = _on_present(head, (x,), present, group, least=2)
    out: Tensor = part if rows is None else _spread(part, rows, len(x))
    return out


def _on_present(
    module: nn.Module, inputs: tuple[Tensor, ...], present: Tensor, group: ProcessGroup, least: int = 1
) -> tuple[Any, Tensor | None]:
    """Return the output for the present samples and which they are; None: the output is for all."""
    rows = present.nonzero().flatten()
    if group.all_reduce(present.sum()) < least:
        training = module.training
        module.eval()
        out = module(*inputs)
        module.train(training)
        return out, None
    if len(rows) == len(present):
        return module(*inputs), None
    return module(*(x[rows] for x in inputs)), rows


def _spread(values: Tensor, rows: Tensor, samples: int) -> Tensor:
    return values.new_zeros(samples, *values.shape[1:]).index_copy(0, rows, values)
