"""Loss terms of one step, of methods and tasks alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.adapter_kit.finding import ContractViolation
from bench.train.run import check_terms


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of loss terms.

    Raises:
        ContractViolation: a term is not finite, or not in float32.
        StepError: what training refuses, too.
    """
    check_terms(terms)
    for name, term in terms.items():
        if term.dtype not in (torch.float32, torch.float64):
            raise ContractViolation(f"loss term {name} is of type {term.dtype}; compute losses in float32")
        if not torch.isfinite(term):
            raise ContractViolation(f"loss term {name} is {float(term.detach())}")
    return torch.stack([term.float() for term in terms.values()]).sum()
