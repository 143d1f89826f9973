"""Batch norm in one process; `tests/bench/execute/test_two_processes.py` runs it in two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from bench.api import SINGLE_PROCESS
from bench.errors import ConfigError
from bench.train.batch_norm import GhostBatchNormStatistics, join_batch_norm
from bench.train.seeding import seeded_initialisation


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of this process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def net(kind: type[nn.Module], momentum: float | None = 0.1) -> nn.Sequential:
    return nn.Sequential(nn.Identity(), nn.Sequential(kind(3, momentum=momentum)))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (9, 3)), (nn.BatchNorm1d, (4, 3, 5)), (nn.BatchNorm2d, (4, 3, 5, 2))]
)
def test_joined_batch_norm_is_that_of_torch(
    alone: None, kind: type[nn.Module], shape: tuple[int, ...], momentum: float | None
) -> None:
    """Outputs, gradients and running statistics; training, then evaluation."""
    with seeded_initialisation("test"):
        batches = [3 + 2 * torch.randn(shape, dtype=torch.float64) for _ in range(3)]
    plain, joined = net(kind, momentum).double(), net(kind, momentum).double()
    join_batch_norm(joined, torch.device("cpu"))
    assert type(joined[1][0]) is not kind and list(joined.state_dict()) == list(plain.state_dict())
    for module in (plain, joined):
        nn.init.constant_(module[1][0].weight, 1.5)
    for batch in batches:
        outs, gradients = [], []
        for module in (plain, joined):
            x = batch.clone().requires_grad_()
            outs.append(module(x))
            outs[-1].pow(3).sum().backward()
            gradients += [x.grad]
        torch.testing.assert_close(outs[1], outs[0])
        torch.testing.assert_close(gradients[1], gradients[0])
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(joined.state_dict()[name], value)
    torch.testing.assert_close(joined.eval()(batches[0]), plain.eval()(batches[0]))


def test_half_precision_keeps_its_type(alone: None) -> None:
    module = net(nn.BatchNorm2d)
    join_batch_norm(module, torch.device("cpu"))
    assert module(torch.ones(2, 3, 4, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_other_kinds_of_batch_norm_are_refused_on_a_cpu(alone: None) -> None:
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(ConfigError, match="Own cannot take its statistics over several processes"):
        join_batch_norm(nn.Sequential(Own(3)), torch.device("cpu"))


def test_statistics_of_parts_are_averaged_from_a_common_start() -> None:
    norm = nn.BatchNorm1d(1, momentum=0.5)
    parts: list[Tensor] = [torch.tensor([[1.0], [3.0]]), torch.tensor([[6.0], [6.0]])]
    apart = GhostBatchNormStatistics(norm, 2)
    for _ in range(2):
        with apart.step(SINGLE_PROCESS):
            for part in parts:
                with apart.part():
                    norm(part)
    assert norm.running_mean is not None and norm.running_var is not None
    # means 2 and 6, variances 2 and 0: halfway from 0 (1) to 4 (1), then halfway again
    assert norm.running_mean.item() == 3.0 and norm.running_var.item() == 1.0
    assert int(norm.num_batches_tracked or 0) == 2
