from __future__ import annotations

import pytest
import torch

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.mesh_transformer import MeshTransformer

INFO = FeatureInfo(kind="tokens", channels=(8,), strides=(8,), pooled=8)


def head(**changes: object) -> MeshTransformer:
    torch.manual_seed(0)
    template = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    return MeshTransformer(INFO, (48, 48), template, (16, 8), layers=1, heads=4, **changes)  # type: ignore[arg-type]


def features(rows: int = 3) -> Features:
    return Features(maps=(torch.randn(rows, 8, 6, 6),), pooled=torch.zeros(rows, 8))


def test_a_fresh_head_says_the_template() -> None:
    net = head().eval()
    out = net(features(), (48, 48))
    torch.testing.assert_close(out["points"], net.template.expand(3, 20, 3), atol=0.2, rtol=0)
    torch.testing.assert_close(out["camera"], torch.tensor([1.4, 0, 0]).expand(3, 3), atol=0.2, rtol=0)


def test_queries_are_hidden_in_training_alone() -> None:
    net, seen = head(dropout=0.0, masked=0.3), features(200)
    given: list[torch.Tensor] = []
    net.stages.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    net.train()(seen, (48, 48))
    net.eval()(seen, (48, 48))
    hidden, none = ((x == 0.01).all(2).float() for x in given)
    assert not none.any()
    assert 0.12 < float(hidden.mean()) < 0.18  # half of 30 %
    assert float(hidden.mean(1).std()) > 0.08  # each sample draws its own share


def test_encoders_without_maps_are_refused() -> None:
    graph = FeatureInfo(kind="graph", channels=(), strides=(), pooled=8)
    with pytest.raises(ConfigError, match="graph"):
        MeshTransformer(graph, (48, 48), torch.zeros(2, 3))
