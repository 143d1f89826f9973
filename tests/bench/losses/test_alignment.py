from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig

MEASURED = torch.ones(3, 16, 16, dtype=torch.bool)


def embeddings() -> torch.Tensor:
    return F.normalize(torch.randn(3, 32, 8, 8, generator=torch.Generator().manual_seed(0)), dim=1)


def shuffled(x: torch.Tensor) -> torch.Tensor:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    return x.flatten(2)[:, :, order].view_as(x)


@pytest.mark.parametrize("dense", ["hard", "soft"])
@pytest.mark.parametrize("cells", [400, 20])
def test_aligned_embeddings_score_lower_than_shuffled_ones(dense: str, cells: int) -> None:
    align = DenseAlignment(DenseAlignmentConfig(dense=dense, cells=cells))  # type: ignore[arg-type]
    x = embeddings()
    assert align(x, x, MEASURED) < 0.8 * align(x, shuffled(x), MEASURED)


def test_hard_loss_by_hand_on_a_grid_of_at_most_so_many_cells() -> None:
    a, b = embeddings(), shuffled(embeddings())
    found = DenseAlignment(DenseAlignmentConfig(dense="hard", cells=17, temperature=0.1))(a, b, MEASURED)
    rows, columns = (x[:, :, ::2, ::2].flatten(2) for x in (a, b))  # 16 cells of 64
    logits = torch.einsum("ndi,ndj->nij", rows, columns) / 0.1
    own = torch.arange(16).expand(3, -1)
    there, back = (F.cross_entropy(x.transpose(1, 2), own) for x in (logits, logits.mT))
    torch.testing.assert_close(found, there + back)


def test_samples_without_a_measurement_do_not_count() -> None:
    a = embeddings().requires_grad_()
    b = shuffled(embeddings())
    align = DenseAlignment(DenseAlignmentConfig())
    some = MEASURED.clone()
    some[0] = False
    torch.testing.assert_close(align(a, b, some), align(a[1:], b[1:], MEASURED[1:]))
    nothing = align(a, b, torch.zeros_like(MEASURED))
    assert nothing == 0
    nothing.backward()
    assert a.grad is not None and not a.grad.any()
