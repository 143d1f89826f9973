import math

import pytest
import torch
from torch import nn

from bench.errors import ConfigError
from bench.losses.momentum import MomentumCopy, rising_momentum


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def test_weights_are_the_running_mean_and_nothing_else_changes():
    online = network()
    pair = MomentumCopy(online)
    expected = [p.detach().clone() for p in online.parameters()]
    for momentum in (0.9, 0.5, 0.99):
        with torch.no_grad():
            for parameter in online.parameters():
                parameter.add_(torch.randn_like(parameter))
        before = [p.detach().clone() for p in online.parameters()]
        pair.follow(online, momentum)
        pairs = zip(expected, online.parameters(), strict=True)
        expected = [momentum * own + (1 - momentum) * other.detach() for own, other in pairs]
        torch.testing.assert_close(list(pair.parameters()), expected)
        assert all(map(torch.equal, online.parameters(), before))


def test_the_copy_is_frozen_and_batch_norm_keeps_its_own_statistics():
    online = network()
    pair = MomentumCopy(online).train()
    assert not any(p.requires_grad for p in pair.parameters())
    assert all(p.requires_grad for p in online.parameters())
    online(torch.randn(8, 3, 2, 2) + 5)
    x = torch.randn(8, 3, 2, 2)
    out = pair(x)
    assert not out.requires_grad
    mean = nn.functional.conv2d(x, online[0].weight, online[0].bias).mean((0, 2, 3))
    pair.follow(online, 0.0)
    torch.testing.assert_close(pair.network[1].running_mean, 0.1 * mean.detach())
    assert not torch.allclose(online[1].running_mean, pair.network[1].running_mean)
    torch.testing.assert_close(out, online(x).detach())  # equal weights, both normalise by the batch


def test_restart_takes_over_weights_and_buffers():
    online = network()
    pair = MomentumCopy(network())
    online(torch.randn(8, 3, 2, 2))
    pair.restart(online)
    state = pair.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in online.state_dict().items())


def test_other_networks_and_momenta_are_refused():
    pair = MomentumCopy(network())
    with pytest.raises(ValueError, match="shorter"):
        pair.follow(network()[:2], 0.5)
    with pytest.raises(ConfigError, match=r"1\.5"):
        pair.follow(network(), 1.5)


def test_rising_momentum_follows_half_a_cosine():
    found = [rising_momentum(0.99, step, 100) for step in range(101)]
    assert found[0] == pytest.approx(0.99) and found[50] == pytest.approx(0.995) and found[100] == 1.0
    assert found == sorted(found)
    assert found[25] == pytest.approx(1 - 0.01 * (math.cos(math.pi / 4) + 1) / 2)
