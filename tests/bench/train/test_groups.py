from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bench.api import Context, Draws, Features, ProcessGroup, seeded
from bench.losses.momentum import MomentumCopy
from bench.train.groups import Groups, encode_in_groups, groups_in_order, shuffled_groups


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Features:
        maps = self.norm(self.conv(x))
        return Features(maps=(maps, maps[:, :, ::2, ::2]), pooled=maps.square().mean((2, 3)))


class Rank(ProcessGroup):
    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size


def context(group: ProcessGroup | None = None, step: int = 0) -> Context:
    draws = Draws(generator=seeded(0, "step", step))
    more = {} if group is None else {"group": group, "world": group}
    return Context(step=step, total_steps=9, draws=draws, **more)


def test_groups_have_equal_sizes_and_are_dealt_anew_each_step() -> None:
    ordered = groups_in_order(8, 4, context())
    assert ordered.members.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and ordered.count == 4
    dealt = [shuffled_groups(32, 4, context(step=s)).members for s in range(2)]
    assert [torch.bincount(d).tolist() for d in dealt] == [[8] * 4] * 2
    assert not torch.equal(*dealt)
    assert torch.equal(dealt[0], shuffled_groups(32, 4, context()).members)
    one = shuffled_groups(1, 4, context())
    assert one.members.tolist() == [0] and one.count == 1


@pytest.mark.parametrize("deal", [groups_in_order, shuffled_groups])
def test_processes_hold_their_rows_of_the_whole(deal) -> None:  # type: ignore[no-untyped-def]
    whole = deal(12, 3, context())
    parts = [deal(4, 3, context(Rank(rank, 3))) for rank in range(3)]
    assert torch.equal(torch.cat([p.members for p in parts]), whole.members)
    assert {p.count for p in parts} == {3}


def test_each_group_is_normalised_by_itself() -> None:
    net = Net().train()
    with torch.no_grad():
        net.norm.running_mean.fill_(0.3)  # type: ignore[union-attr]
    alone = [copy.deepcopy(net) for _ in range(3)]
    x, members = torch.randn(9, 3, 4, 4), torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 1])
    found = encode_in_groups(net, x, Groups(members=members, count=3))
    found.pooled.square().sum().backward()
    gradient = torch.zeros_like(net.conv.weight)
    for group, other in enumerate(alone):
        expected = other(x[members == group])
        torch.testing.assert_close(found.pooled[members == group], expected.pooled)
        for ours, theirs in zip(found.maps, expected.maps, strict=True):
            torch.testing.assert_close(ours[members == group], theirs)
        expected.pooled.square().sum().backward()
        assert other.conv.weight.grad is not None
        gradient += other.conv.weight.grad
    torch.testing.assert_close(net.conv.weight.grad, gradient)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(other.norm, name) for other in alone]).mean(0)
        torch.testing.assert_close(getattr(net.norm, name), mean)
    assert net.norm.num_batches_tracked == 1
    together = Net()
    together.load_state_dict(alone[0].state_dict())
    assert not torch.allclose(together(x).pooled, found.pooled)


def test_a_momentum_copy_is_encoded_in_groups_too() -> None:
    net = Net().train()
    follower = MomentumCopy(net)
    groups = Groups(members=torch.tensor([0, 1, 0, 1]), count=2)
    x = torch.randn(4, 3, 4, 4)
    found = encode_in_groups(follower, x, groups)
    torch.testing.assert_close(found.pooled, encode_in_groups(net, x, groups).pooled.detach())
    assert not found.pooled.requires_grad


def test_without_batch_norm_nothing_is_cut() -> None:
    calls = []

    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Features:
            calls.append(len(x))
            return Features(maps=(), pooled=x)

    encode_in_groups(Plain(), torch.rand(4, 2), Groups(members=torch.tensor([0, 1, 1, 0]), count=2))
    assert calls == [4]
