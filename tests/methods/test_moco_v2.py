import math

import pytest
import torch

from bench.api import Features
from bench.errors import ConfigError
from bench.losses.numerics import l2_normalize
from methods.moco_v2 import MoCo, MoCoConfig

SMALL = {"hidden": 24, "dim": 16, "queue": 20, "bn_groups": 2}


@pytest.fixture
def views(make_batch):
    return make_views(make_batch)


def make_views(make_batch, seed=0):
    batch = make_batch(seed=seed)
    return {**batch, "rgb2": make_batch(seed=seed + 50)["rgb"]}


@pytest.fixture
def moco(make, encoders):
    return make(MoCo, MoCoConfig(**SMALL), encoders("rgb")).train()


def test_value_at_initialisation_of_the_paper(make, encoders):
    """Independent queries, keys and a random queue: log(K + 1) + 1 / (2 D tau^2)."""
    method = make(MoCo, MoCoConfig(hidden=8), encoders("rgb"))
    q, k = (l2_normalize(torch.randn(1024, 128)) for _ in range(2))
    assert method.contrast("image", q, k, k).item() == pytest.approx(11.19, abs=0.05)


def test_loss_is_the_cross_entropy_of_the_own_key(moco, views, context):
    query, key = moco.encode(views, context())
    again = moco.image_level(query, key)
    q = l2_normalize(moco.head(query.maps[-1].mean((2, 3))))
    k = l2_normalize(moco.key_head(key.maps[-1].mean((2, 3))))
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ moco.queue("image").keys.T], 1) / 0.2
    torch.testing.assert_close(again, logits.logsumexp(1).mean() - logits[:, 0].mean())
    assert again.item() == pytest.approx(math.log(21), abs=3)


def test_keys_enter_the_queue_after_the_step_and_get_no_gradient(moco, views, context, check_gradients):
    before = moco.queue("image").keys.clone()
    check_gradients(moco, views)
    assert torch.equal(moco.queue("image").keys, before)
    assert all(p.grad is None for n, p in moco.named_parameters() if n.startswith("key_"))
    moco.after_step(context())
    assert moco.queue("image").position == 6
    assert torch.equal(moco.queue("image").keys[6:], before[6:])
    moco.after_step(context(1))  # nothing new
    assert moco.queue("image").position == 6


def test_keys_are_shuffled_over_groups_and_queries_are_not(moco, views, context):
    seen = {}
    for name, network in (("query", moco.encoder), ("key", moco.key_encoder.network)):
        seen[name] = []
        network.register_forward_pre_hook(lambda _, x, rows=seen[name]: rows.append(x[0]))
    moco.encode(views, context())
    assert torch.equal(torch.cat(seen["query"]), views["rgb"])
    groups = [
        {views["rgb2"].flatten(1).tolist().index(row) for row in part.flatten(1).tolist()}
        for part in seen["key"]
    ]
    assert sorted(map(len, groups)) == [3, 3] and groups[0] | groups[1] == set(range(6))
    assert groups[0] not in ({0, 1, 2}, {3, 4, 5})


def test_the_key_encoder_follows_before_the_step(moco, context):
    first = moco.head[0].weight.detach().clone()
    with torch.no_grad():
        moco.head[0].weight.add_(1)
        moco.encoder.model.conv1[0].weight.add_(1)
    old = moco.key_encoder.network.model.conv1[0].weight.clone()
    moco.before_step(context())
    torch.testing.assert_close(moco.key_head.network[0].weight, first + 0.001)
    torch.testing.assert_close(moco.key_encoder.network.model.conv1[0].weight, old + 0.001)


def test_tokens_are_trained_too(make, encoders, views, vit_spec, check_gradients):
    check_gradients(make(MoCo, MoCoConfig(**SMALL), encoders("rgb", spec=vit_spec)), views)


def test_what_does_not_go_together_is_refused(make, encoders):
    grid = {"where": "m.config", "samples": 100, "batch": 32, "views": 2}
    MoCoConfig(queue=100).check(**grid)
    with pytest.raises(ConfigError, match=r"m\.config\.queue: 101 keys .* the 100 images .* set queue=50"):
        MoCoConfig(queue=101).check(**grid)
    with pytest.raises(ConfigError, match=r"m\.views: 1 view"):
        MoCoConfig(queue=9).check(**{**grid, "views": 1})
    for groups in (5, 32):
        with pytest.raises(ConfigError, match=rf"batch of 32 cannot be cut into {groups} equal groups"):
            MoCoConfig(queue=9, bn_groups=groups).check(**grid)
    with pytest.raises(ConfigError, match="one colour encoder, got depth"):
        make(MoCo, MoCoConfig(**SMALL), encoders("depth"))


def test_identical_views_and_a_perfect_queue_have_a_known_loss(moco, context):
    """Every positive has cosine 1 (networks are equal and see the same groups), every negative -1."""
    maps = torch.randn(1, 32, 2, 2).expand(4, -1, -1, -1)
    features = Features(maps=(maps,), pooled=maps.mean((2, 3)))
    q = l2_normalize(moco.head(maps.mean((2, 3))))[:1].detach()
    moco.queue("image").keys.copy_(-q.expand(20, -1))
    expected = math.log1p(20 * math.exp(-2 / 0.2))
    assert moco.image_level(features, features).item() == pytest.approx(expected, rel=1e-3)
