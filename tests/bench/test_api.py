from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.api import Draws, FeatureInfo, Features, check_features, seeded
from bench.errors import StepError


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"strides": (4, 16)}, r"maps\[1\] is \(6, 6, 6\) per image, its feature_info says \(6, 3, 3\)"),
        ({"channels": (3, 5)}, r"maps\[1\] is \(6, 6, 6\) per image, its feature_info says \(5, 6, 6\)"),
        (
            {"channels": (3,), "strides": (4,)},
            r"number of maps is \(2,\) per image, its feature_info says \(1,\)",
        ),
        ({"pooled": 5}, r"pooled is \(6,\) per image, its feature_info says \(5,\)"),
    ],
)
def test_features_are_what_their_encoder_says_of_them(changes: dict[str, Any], said: str) -> None:
    info = FeatureInfo(**{"kind": "pyramid", "channels": (3, 6), "strides": (4, 8), "pooled": 6, **changes})
    found = Features(maps=(torch.zeros(2, 3, 12, 12), torch.zeros(2, 6, 6, 6)), pooled=torch.zeros(2, 6))
    if not said:
        check_features(found, info, (48, 48))
        check_features(found, info, (45, 50))  # cut or padded at the borders
        return
    with pytest.raises(StepError, match=said):
        check_features(found, info, (48, 48))


def test_an_encoder_returns_features() -> None:
    info = FeatureInfo(kind="pyramid", channels=(3,), strides=(4,), pooled=3)
    with pytest.raises(StepError, match=r"returns a Tensor, not Features"):
        check_features(torch.zeros(2, 3), info, (48, 48))
