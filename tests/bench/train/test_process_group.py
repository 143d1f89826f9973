from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import SINGLE_PROCESS, ProcessGroup
from bench.errors import ConfigError
from bench.train.process_group import BatchParts, batch_parts


class Rank(ProcessGroup):
    def __init__(self, rank: int, ranks: int) -> None:
        self.rank, self.world_size = rank, ranks


def test_one_process_takes_the_whole_batch_or_all_groups() -> None:
    assert batch_parts(SINGLE_PROCESS, 32, 1) == BatchParts()
    assert batch_parts(SINGLE_PROCESS, 32, 4) == BatchParts(own=range(4), of=4)


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 5))
def test_processes_take_disjoint_parts_that_cover_the_batch(ranks: int, each: int, rows: int) -> None:
    """Processes share a whole batch, or its groups; the parts come in the order of the rows."""
    for groups, parts in ((1, ranks), (each * ranks, each * ranks)):
        shares = [batch_parts(Rank(rank, ranks), parts * rows, groups) for rank in range(ranks)]
        assert {found.of for found in shares} == {parts}
        assert [part for found in shares for part in found.own] == list(range(parts))


@pytest.mark.parametrize(
    ("ranks", "batch", "groups", "message"),
    [
        (2, 33, 1, "a batch of 33 cannot be cut into 2 equal parts"),
        (1, 32, 3, "a batch of 32 cannot be cut into 3 equal parts"),
        (4, 32, 2, "2 groups of a batch cannot be spread evenly over 4 processes"),
        (2, 36, 3, "3 groups of a batch cannot be spread evenly over 2 processes"),
    ],
)
def test_what_cannot_be_cut_evenly_is_refused(ranks: int, batch: int, groups: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        batch_parts(Rank(0, ranks), batch, groups)
