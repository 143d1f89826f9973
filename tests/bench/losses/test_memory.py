import math

import pytest
import torch

from bench.api import Draws
from bench.errors import ConfigError
from bench.losses.memory import MemoryBank, first_occurrence, memory_contrast
from bench.losses.numerics import l2_normalize


def units(*shape, seed=0):
    return l2_normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("k", "temperature", "expected"),
    [(16384, 0.07, 10.50), (65536, 0.2, 11.19), (65536, 0.07, 11.89), (400, 0.07, 6.79)],
)
def test_value_at_random_init(k, temperature, expected):
    values = memory_contrast(units(512, 128), units(512, 128, seed=1), units(k, 128, seed=2), temperature)
    assert values.mean().item() == pytest.approx(expected, abs=0.15)
    assert expected == pytest.approx(math.log(k + 1) + 1 / (2 * 128 * temperature**2), abs=0.01)


def test_shared_and_per_sample_negatives_agree_and_excluded_ones_do_not_count():
    a, p, n = units(4, 8), units(4, 8, seed=1), units(6, 8, seed=2)
    shared = memory_contrast(a, p, n, 0.1)
    torch.testing.assert_close(memory_contrast(a, p, n.expand(4, -1, -1), 0.1), shared)
    excluded = torch.zeros(4, 6, dtype=torch.bool)
    excluded[:, 4:] = True
    torch.testing.assert_close(memory_contrast(a, p, n, 0.1, excluded), memory_contrast(a, p, n[:4], 0.1))
    assert torch.equal(memory_contrast(a, p, n, 0.1, torch.ones(4, 6, dtype=torch.bool)), torch.zeros(4))


def test_positive_logit_is_anchor_times_memory_row():
    a, p, n = units(4, 8), units(4, 8, seed=1), units(6, 8, seed=2)
    logits = torch.cat([(a * p).sum(1, keepdim=True), a @ n.T], 1) / 0.07
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(4, dtype=torch.long), reduction="none")
    torch.testing.assert_close(memory_contrast(a, p, n, 0.07), expected)


def test_update_mixes_normalises_and_leaves_other_rows_bitwise():
    bank = MemoryBank(["rgb", "depth"], 10, 8)
    before = {m: bank.rows(m).clone() for m in ("rgb", "depth")}
    new = units(3, 8, seed=3)
    bank.update("rgb", torch.tensor([7, 2, 5]), new, torch.tensor([True, True, False]))
    torch.testing.assert_close(
        bank.rows("rgb")[[7, 2]], l2_normalize(0.5 * before["rgb"][[7, 2]] + 0.5 * new[:2])
    )
    untouched = [0, 1, 3, 4, 5, 6, 8, 9]
    assert torch.equal(bank.rows("rgb")[untouched], before["rgb"][untouched])
    assert torch.equal(bank.rows("depth"), before["depth"])
    assert bank.absent("rgb").nonzero().flatten().tolist() == [5]
    assert not bank.rows("rgb").requires_grad


def test_of_equal_ids_the_first_valid_one_counts():
    bank = MemoryBank(["rgb"], 4, 8, momentum=0.0)
    new = units(4, 8, seed=4)
    bank.update("rgb", torch.tensor([3, 1, 3, 1]), new, torch.tensor([True, False, True, True]))
    torch.testing.assert_close(bank.rows("rgb")[[3, 1]], new[[0, 3]])
    assert sorted(first_occurrence(torch.tensor([5, 2, 5, 2, 9])).tolist()) == [0, 1, 4]


def test_negatives_come_only_from_ids_with_the_modality():
    bank = MemoryBank(["depth"], 50, 8)
    ids = torch.arange(50)
    bank.update("depth", ids, units(50, 8), ids % 2 == 0)
    draws = Draws(generator=torch.Generator().manual_seed(0))
    drawn = bank.negatives("depth", "per_sample", 20, 30, draws)
    assert drawn.shape == (30, 20)
    assert set(drawn.flatten().tolist()) == set(range(0, 50, 2))
    assert bank.negatives("depth", "shared", 20, 30, draws).shape == (20,)
    assert set(bank.negatives(None, "per_sample", 20, 30, draws).flatten().tolist()) == set(range(50))


@pytest.mark.parametrize(("mode", "count"), [("all", 1), ("shared", 99), ("per_sample", 25)])
def test_everything_present_is_used_once_where_k_is_too_large(mode, count):
    bank = MemoryBank(["depth"], 50, 8)
    bank.update("depth", torch.arange(50), units(50, 8), torch.arange(50) % 2 == 0)
    ids = bank.negatives("depth", mode, count, 4, Draws(generator=torch.Generator()))
    assert ids.tolist() == list(range(0, 50, 2))


def test_rows_are_unit_length_and_travel_in_the_state_dict():
    bank, other = MemoryBank(["rgb"], 12, 8), MemoryBank(["rgb"], 12, 8)
    torch.testing.assert_close(bank.rows("rgb").norm(dim=1), torch.ones(12))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(bank.rows("rgb"), other.rows("rgb"))
    with pytest.raises(ConfigError, match="memory bank"):
        MemoryBank(["rgb"], 0, 8)
