from __future__ import annotations

import math

import pytest
import torch

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.frozen import AttentiveProbe, NearestNeighbours

NOTHING = torch.zeros(1, 0)


def test_neighbours_vote_by_their_cosine() -> None:
    head = NearestNeighbours(samples=4, width=2, classes=3, k=3, temperature=0.5)
    head.remember(torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 1, 2, 1]))
    found = head(Features(maps=(), pooled=torch.tensor([[10.0, 0.0]])), (8, 8))["logits"].exp()[0]
    votes = [math.exp(c / 0.5) for c in (1.0, 0.0, math.sqrt(0.5))]  # of classes 0, 1, 1; class 2 is too far
    total = sum(votes)
    wanted = torch.tensor([votes[0] / total, (votes[1] + votes[2]) / total, 0.0])
    assert torch.allclose(found, wanted, atol=1e-6)


def test_fewer_samples_than_neighbours() -> None:
    head = NearestNeighbours(samples=1, width=2, classes=2, k=20, temperature=0.07)
    head.remember(torch.tensor([[1.0, 1.0]]), torch.tensor([1]))
    assert head(Features(maps=(), pooled=torch.randn(3, 2)), (8, 8))["logits"].argmax(1).tolist() == [1, 1, 1]


def test_attention_reads_cells_whatever_their_order() -> None:
    info = FeatureInfo(kind="tokens", channels=(64, 96), strides=(8, 8), pooled=96)
    head = AttentiveProbe(info, 5).eval()
    cells = torch.randn(2, 96, 3, 3)
    mixed = cells.flatten(2)[:, :, torch.randperm(9)].unflatten(2, (3, 3))
    one, other = (head(Features(maps=(c,), pooled=NOTHING), (24, 24))["logits"] for c in (cells, mixed))
    assert one.shape == (2, 5) and torch.allclose(one, other, atol=1e-5)
    assert head.attention.num_heads == 3  # of 32 channels
    changed = cells.clone()
    changed[:, :, 2, 2] += torch.randn(96)
    assert not torch.allclose(
        one, head(Features(maps=(changed,), pooled=NOTHING), (24, 24))["logits"], atol=1e-4
    )


def test_attention_to_wide_maps_stays_narrow() -> None:
    info = FeatureInfo(kind="pyramid", channels=(64, 2048), strides=(4, 32), pooled=2112)
    head = AttentiveProbe(info, 5)
    assert head(Features(maps=(torch.randn(2, 2048, 1, 1),), pooled=NOTHING), (32, 32))["logits"].shape == (
        2,
        5,
    )
    assert head.attention.embed_dim == 256 and sum(p.numel() for p in head.parameters()) < 1.2e6


def test_attention_needs_maps() -> None:
    with pytest.raises(ConfigError, match='needs maps, which a "graph" encoder lacks'):
        AttentiveProbe(FeatureInfo(kind="graph", channels=(), strides=(), pooled=8), 3)
