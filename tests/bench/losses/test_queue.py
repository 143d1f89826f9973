import math

import pytest
import torch
from torch.nn import functional as F

from bench.api import ProcessGroup
from bench.losses import queue
from bench.losses.numerics import l2_normalize
from bench.losses.queue import KeyQueue, queue_contrast


def units(*shape, seed=0):
    return l2_normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("k", "temperature", "expected"), [(16384, 0.07, 10.50), (65536, 0.2, 11.19), (65536, 0.07, 11.89)]
)
def test_value_at_random_init(k, temperature, expected):
    values = queue_contrast(units(512, 128), units(512, 128, seed=1), units(k, 128, seed=2), temperature)
    assert values.mean().item() == pytest.approx(expected, abs=0.15)


def test_it_is_cross_entropy_with_the_own_key_as_the_class():
    a, p, keys = units(5, 8), units(5, 8, seed=1), units(7, 8, seed=2)
    logits = torch.cat([(a * p).sum(1, keepdim=True), a @ keys.T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.long), reduction="none")
    torch.testing.assert_close(queue_contrast(a, p, keys, 0.2), expected)
    perfect = queue_contrast(a, a, -a[:1].expand(3, -1), 0.01)[0].item()
    assert perfect == pytest.approx(math.log1p(3 * math.exp(-200)))


def test_many_anchors_in_parts_give_the_same_values_and_gradients(monkeypatch):
    p, keys = units(11, 8, seed=1), units(7, 8, seed=2)
    found = []
    for largest in (queue.LARGEST, 28, 1):  # all at once; four rows; one row
        monkeypatch.setattr(queue, "LARGEST", largest)
        a = units(11, 8).requires_grad_()
        values = queue_contrast(a, p, keys, 0.2)
        values.square().sum().backward()
        found.append((values.detach(), a.grad))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_ring_wraps_around_and_holds_the_latest_rows():
    ring = KeyQueue(7, 4)
    torch.testing.assert_close(ring.keys.norm(dim=1), torch.ones(7))
    start, rows = ring.keys.clone(), units(9, 4)
    ring.push([rows[:2], rows[2:3]])
    assert ring.position == 3
    assert torch.equal(ring.keys, torch.cat([rows[:3], start[3:]]))
    ring.push([rows[3:9]])
    assert ring.position == 2
    assert torch.equal(ring.keys, torch.cat([rows[7:9], rows[2:7]]))
    ring.push([])
    assert ring.position == 2


def test_of_more_rows_than_places_the_last_ones_stay():
    ring, rows = KeyQueue(3, 4), units(8, 4)
    ring.push([rows[:1]])
    ring.push([rows[1:]])
    assert ring.position == 2
    assert torch.equal(ring.keys, rows[[6, 7, 5]])


def test_position_and_rows_travel_in_the_state_dict():
    first, second = KeyQueue(5, 4), KeyQueue(5, 4)
    first.push([units(3, 4)])
    second.load_state_dict(first.state_dict())
    for ring in (first, second):
        ring.push([units(4, 4, seed=1)])
    assert torch.equal(first.keys, second.keys) and first.position == second.position == 2


class Two(ProcessGroup):
    """Stands for two processes: the other one's rows are given."""

    world_size = 2

    def __init__(self, rank, other):
        self.rank, self.other = rank, other

    def all_gather(self, x):
        return torch.cat([x, self.other] if self.rank == 0 else [self.other, x])


def test_two_processes_write_what_one_writes():
    rows = units(8, 4)
    alone, first, second = (KeyQueue(6, 4) for _ in range(3))
    for ring in (first, second):
        ring.load_state_dict(alone.state_dict())
    alone.push(rows.split(2))
    first.push([rows[:2], rows[2:4]], Two(0, rows[4:]))
    second.push([rows[4:6], rows[6:]], Two(1, rows[:4]))
    assert torch.equal(alone.keys, first.keys) and torch.equal(alone.keys, second.keys)
