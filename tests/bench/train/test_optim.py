from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bench.errors import ConfigError
from bench.grid.schema import OPTIMIZERS
from bench.train.optim import build_optimizer, parameter_groups

RECIPE = {"optimizer": "adamw", "lr": 0.01, "momentum": 0.9, "betas": [0.8, 0.95], "weight_decay": 0.1}


def network() -> nn.Sequential:
    """Hold a channels-last convolution, whose strides the fused optimisers must respect."""
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 2))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return net.to(memory_format=torch.channels_last)


def norms(name: str, parameter: nn.Parameter) -> dict[str, Any]:
    return {"weight_decay": 0.0} if parameter.ndim <= 1 else {}


def test_groups_split_by_rule_and_leave_out_frozen_parameters() -> None:
    net = network()
    net[3].bias.requires_grad_(False)
    decayed, plain = parameter_groups(net, 0.1, norms)
    assert [p.ndim for p in decayed["params"]] == [4, 2] and decayed["weight_decay"] == 0.1
    assert len(plain["params"]) == 3 and plain["weight_decay"] == 0.0
    assert len(parameter_groups(net, 0.1, lambda n, p: {})) == 1
    first = {"0.weight": {"lr_scale": 0.5}, "0.bias": {"schedule": "constant"}}
    slow, fixed, _ = parameter_groups(net, 0.1, lambda n, p: first.get(n, {}))
    assert (slow["lr_scale"], slow["schedule"], fixed["schedule"]) == (0.5, "", "constant")
    with pytest.raises(ConfigError, match=r'unknown option "lr_scael" .*Did you mean "lr_scale"'):
        parameter_groups(net, 0.1, lambda n, p: {"lr_scael": 2.0})


def adamw(p: torch.Tensor, g: torch.Tensor, s: dict[str, Any], t: int, decay: float) -> torch.Tensor:
    """arXiv:1711.05101, Alg. 2, decay times learning rate."""
    s["m"] = 0.8 * s.get("m", 0) + 0.2 * g
    s["v"] = 0.95 * s.get("v", 0) + 0.05 * g * g
    step = s["m"] / (1 - 0.8**t) / ((s["v"] / (1 - 0.95**t)).sqrt() + 1e-8)
    return p * (1 - 0.01 * decay) - 0.01 * step


def sgd(p: torch.Tensor, g: torch.Tensor, s: dict[str, Any], t: int, decay: float) -> torch.Tensor:
    g = g + decay * p
    s["m"] = 0.9 * s["m"] + g if "m" in s else g
    return p - 0.01 * s["m"]


def lars(p: torch.Tensor, g: torch.Tensor, s: dict[str, Any], t: int, decay: float) -> torch.Tensor:
    """arXiv:1708.03888, Alg. 1, trust 1e-3; without decay (biases, norms) plain momentum."""
    rate = 1e-3 * p.norm() / (g.norm() + decay * p.norm()) if decay else 1.0
    s["m"] = 0.9 * s.get("m", 0) + rate * (g + decay * p)
    return p - 0.01 * s["m"]


@pytest.mark.parametrize(("name", "rule"), [("adamw", adamw), ("lars", lars), ("sgd", sgd)])
def test_updates_equal_the_published_rules(name: str, rule: Any) -> None:
    net = network()
    optimizer = build_optimizer(net, {**RECIPE, "optimizer": name}, norms)
    mirror = {n: p.detach().double() for n, p in net.named_parameters()}
    states: dict[str, dict[str, Any]] = {n: {} for n in mirror}
    x = torch.rand((4, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    for t in range(1, 5):
        optimizer.zero_grad(set_to_none=True)
        net(x).square().sum().backward()
        for n, p in net.named_parameters():
            assert p.grad is not None
            mirror[n] = rule(mirror[n], p.grad.double(), states[n], t, 0.0 if p.ndim <= 1 else 0.1)
        optimizer.step()
        for n, p in net.named_parameters():
            torch.testing.assert_close(p.detach().double(), mirror[n], rtol=1e-4, atol=1e-5)
            mirror[n] = p.detach().double()


def test_unknown_optimiser_and_nothing_to_train_are_named() -> None:
    with pytest.raises(ConfigError, match=r'unknown optimizer "adamm"\.'):
        build_optimizer(network(), {**RECIPE, "optimizer": "adamm"}, norms)
    with pytest.raises(ConfigError, match="nothing to train"):
        build_optimizer(nn.Flatten(), RECIPE, norms)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_listed_optimiser_lowers_a_loss(name: str) -> None:
    net = network()
    optimizer = build_optimizer(net, {**RECIPE, "optimizer": name, "lr": 1e-4, "weight_decay": 0.0}, norms)
    x = torch.rand((4, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(5):
        optimizer.zero_grad(set_to_none=True)
        loss = net(x).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
