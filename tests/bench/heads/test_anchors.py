from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.api import FeatureInfo, Features
from bench.errors import ConfigError
from bench.heads.anchors import AnchorHead, anchor_losses, anchor_places

FINE = FeatureInfo(kind="pyramid", channels=(8, 16), strides=(4, 8), pooled=16)
PATCHES = FeatureInfo(kind="tokens", channels=(16, 16), strides=(16, 16), pooled=16)


def features(info: FeatureInfo) -> Features:
    generator = torch.Generator().manual_seed(0)
    maps = tuple(
        torch.randn(2, c, 32 // s, 48 // s, generator=generator)
        for c, s in zip(info.channels, info.strides, strict=True)
    )
    return Features(maps=maps, pooled=torch.zeros(2, info.pooled))


def test_anchors_lie_where_the_paper_puts_them() -> None:
    fine = anchor_places((2, 3), (8, 12), 3)
    assert fine.shape == (2 * 3 * 9, 2)
    assert fine[:4].tolist() == [[1, 1], [2, 1], [3, 1], [1, 2]]  # x, y; row by row in the first cell
    assert fine[9].tolist() == [5, 1]
    assert fine[-1].tolist() == [11, 7]
    coarse = anchor_places((1, 1), (16, 16), 4)
    assert sorted(set(coarse[:, 0].tolist())) == [2, 6, 10, 14]


@pytest.mark.parametrize(("info", "anchors"), [(FINE, 9), (PATCHES, 16)])
def test_votes_are_weighted_anchors_and_offsets(info: FeatureInfo, anchors: int) -> None:
    """Against a loop over anchors, from the branches' own maps."""
    head = AnchorHead(info, 3, width=8, layers=1).eval()
    caught: dict[str, torch.Tensor] = {}
    for name in ("weights", "offsets", "depths"):
        branch = getattr(head, name)
        nn.init.normal_(branch[-1].weight, std=0.5)
        branch.register_forward_hook(lambda _, __, out, name=name: caught.update({name: out}))
    out = head(features(info), (32, 48))
    side = int(anchors**0.5)
    stride = info.strides[0]
    h, w = 32 // stride, 48 // stride
    steps = [1, 2, 3] if side == 3 else [0.5, 1.5, 2.5, 3.5]
    rows = []
    for row in range(h):
        for col in range(w):
            for number in range(anchors):
                place = torch.tensor([col + steps[number % side] / 4, row + steps[number // side] / 4])
                at = (1, slice(None), row, col)
                logit = caught["weights"][at].view(anchors, 3)[number]
                move = caught["offsets"][at].view(anchors, 3, 2)[number] * 48 / 288
                depth = caught["depths"][at].view(anchors, 3)[number] / 50
                rows.append((logit, place * stride, move, depth))
    share = torch.stack([r[0] for r in rows]).softmax(0)  # (A, J)
    anchored = sum(share[k][:, None] * rows[k][1] for k in range(len(rows)))
    voted = sum(share[k][:, None] * (rows[k][1] + rows[k][2]) for k in range(len(rows)))
    depth = sum(share[k] * rows[k][3] for k in range(len(rows)))
    torch.testing.assert_close(out["anchors"][1], anchored, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out["xy"][1], voted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out["depth_m"][1], depth, atol=1e-4, rtol=1e-4)


def test_losses_by_hand() -> None:
    """A crop of 144 pixels: errors count double, in pixels of 288; depth in fiftieths of a metre."""
    xy, depth = torch.zeros(1, 2, 2), torch.zeros(1, 2)
    out = {
        "anchors": torch.tensor([[[0.25, 0], [0, 3.0]]]),  # 0.5 -> 0.125, 6 -> 5.5
        "xy": torch.tensor([[[0.0, 0], [0, 1.0]]]),  # 2 -> 1.5
        "depth_m": torch.tensor([[0.02, -0.1]]),  # 1 -> 1/6, 5 -> 3.5
    }
    found = anchor_losses(out, xy, depth, 144)
    assert found["anchors"].item() == pytest.approx((0.125 + 5.5) / 4)
    assert found["places"].item() == pytest.approx(3 * 0.5 * 1.5 / 4)
    assert found["depths"].item() == pytest.approx(3 * (1 / 6 + 3.5) / 2)


def test_points_have_no_anchors() -> None:
    info = FeatureInfo(kind="points", channels=(8,), strides=(4,), pooled=8)
    with pytest.raises(ConfigError, match="anchors need pyramid or tokens"):
        AnchorHead(info, 15)
