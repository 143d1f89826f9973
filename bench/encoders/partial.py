"""Encode the samples that have a modality, and leave zeros for the others."""

from __future__ import annotations

from torch import Tensor

from bench.api import SINGLE_PROCESS, Encoder, Features, ProcessGroup


def encode_present(
    encoder: Encoder, x: Tensor, present: Tensor, group: ProcessGroup = SINGLE_PROCESS
) -> Features:
    """Encode part of a batch, so that empty inputs do not enter the statistics of batch norm.

    Where no sample is present the whole (empty) batch is encoded with frozen statistics, to keep every
    parameter in the graph.

    Args:
        encoder: of any kind.
        x: its input, (N, ...).
        present: (N,) bool.
        group: processes that share batch norm; those without a sample take part with no rows.

    Returns:
        Features of all N samples, zero where absent.
    """
    rows = present.nonzero().flatten()
    if not group.any(len(rows) > 0):
        training = encoder.training
        encoder.eval()
        empty: Features = encoder(x)
        encoder.train(training)
        return empty
    if len(rows) == len(x):
        whole: Features = encoder(x)
        return whole
    part: Features = encoder(x[rows])

    def spread(values: Tensor) -> Tensor:
        return values.new_zeros(len(x), *values.shape[1:]).index_copy(0, rows, values)

    tokens = None if part.tokens is None else spread(part.tokens)
    return Features(maps=tuple(spread(m) for m in part.maps), pooled=spread(part.pooled), tokens=tokens)
