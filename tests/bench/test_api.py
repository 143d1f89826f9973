from __future__ import annotations

import torch

from bench.api import Draws, seeded


def test_the_numbers_of_a_row_do_not_depend_on_the_number_of_ranks() -> None:
    def drawn(rank: int, ranks: int) -> list[torch.Tensor]:
        draws, rows = Draws(generator=seeded(3), part=rank, parts=ranks), 12 // ranks
        return [
            draws.rand(rows, 3, dtype=torch.float64),
            draws.randn(rows),
            draws.randint(50, rows, 2),
            draws.generator.get_state(),
        ]

    alone = drawn(0, 1)
    for ranks in (2, 3, 4):
        parts = [drawn(rank, ranks) for rank in range(ranks)]
        for i, whole in enumerate(alone[:3]):
            assert torch.equal(torch.cat([part[i] for part in parts]), whole)
        assert all(torch.equal(part[3], alone[3]) for part in parts)  # what is drawn next is shared, too
