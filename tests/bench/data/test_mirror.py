from __future__ import annotations

import pytest
import torch

from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import surrogate_body, surrogate_hand
from bench.data.mirror import table
from bench.datasets.hands import HAND
from bench.datasets.people import BODY
from bench.errors import ConfigError

CPU = torch.device("cpu")
HANDS = ("hand21", "mano16", HAND)  # the mirror turns a hand into the other hand, joint by joint


@pytest.mark.parametrize("flip", ["p25", "dp24", "garments20", "lip20", "sides", BODY, HAND, *JOINT_SETS])
def test_mirroring_twice_changes_nothing(flip: str) -> None:
    found = table(flip, CPU)
    same = torch.arange(len(found))
    assert torch.equal(found[found], same) and torch.equal(found, same) == (flip in HANDS)


def test_classes_that_a_table_does_not_know_stay() -> None:
    for flip in ("p25", "dp24"):
        assert table(flip, CPU)[[0, 255]].tolist() == [0, 255]


def test_the_mirror_image_of_a_right_hand_is_a_left_hand() -> None:
    assert table("sides", CPU)[:2].tolist() == [1, 0]
    assert len(table(HAND, CPU)) == len(surrogate_hand().v_template)


def test_vertices_swap_with_their_mirror_image() -> None:
    rest = torch.from_numpy(surrogate_body().v_template).double()
    other = rest[table(BODY, CPU)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (other - rest).norm(dim=-1).mean() < 2e-3  # metres


def test_unknown_tables_are_named() -> None:
    with pytest.raises(ConfigError, match=r'what mirroring "coco71" swaps\. Did you mean "coco17"'):
        table("coco71", CPU)
