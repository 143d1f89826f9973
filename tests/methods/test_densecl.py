import pytest
import torch

from bench.losses.numerics import l2_normalize
from methods.densecl import DenseCL, DenseCLConfig, at_matches

SMALL = {"hidden": 24, "dim": 16, "queue": 20, "bn_groups": 2}


@pytest.fixture
def views(make_batch):
    return {**make_batch(), "rgb2": make_batch(seed=50)["rgb"]}


@pytest.fixture
def build(make, encoders):
    return lambda **more: make(DenseCL, DenseCLConfig(**{**SMALL, **more}), encoders("rgb")).train()


def test_cells_are_matched_by_their_features_and_read_the_projection():
    features = torch.randn(2, 9, 6)
    order = torch.stack([torch.randperm(9), torch.randperm(9)])
    moved = features.gather(1, order[:, :, None].expand(-1, -1, 6))  # cell j holds what cell order[j] held
    values = torch.randn(2, 9, 4)
    found = at_matches(3 * moved, features, values)  # length does not count
    torch.testing.assert_close(found, values.gather(1, order[:, :, None].expand(-1, -1, 4)))


def test_matching_is_the_loop_over_cells():
    query, key, values = torch.randn(2, 5, 3), torch.randn(2, 7, 3), torch.randn(2, 7, 4)
    found = at_matches(query, key, values)
    for n in range(2):
        for i in range(5):
            cosines = [float(torch.cosine_similarity(query[n, i], key[n, j], dim=0)) for j in range(7)]
            assert torch.equal(found[n, i], values[n, cosines.index(max(cosines))])


@pytest.mark.parametrize(("stride", "cells"), [(0, 1), (8, 16)])
def test_both_levels_are_computed_as_told(build, views, context, stride, cells):
    method = build(dense_stride=stride, dense_weight=0.25)
    seen = {}
    inner = method.contrast

    def spy(name, anchors, positives, keys):
        seen[name] = (len(anchors), len(positives), keys)
        return inner(name, anchors, positives, keys)

    method.contrast = spy
    out = method.training_step(views, context())
    assert {name: counts[:2] for name, counts in seen.items()} == {
        "image": (6, 6),
        "cell": (6 * cells, 6 * cells),
    }
    for _, _, keys in seen.values():
        assert keys.shape == (6, 16)
        torch.testing.assert_close(keys.norm(dim=1), torch.ones(6))
    whole = build(dense_stride=stride, dense_weight=0.5).training_step(views, context())
    torch.testing.assert_close(out.terms["image"], 1.5 * whole.terms["image"])
    torch.testing.assert_close(out.terms["cell"], 0.5 * whole.terms["cell"])


def test_value_at_initialisation(build):
    method = build(queue=16384, dim=128, temperature=0.07)
    anchors, positives = (l2_normalize(torch.randn(4096, 128)) for _ in range(2))
    found = method.contrast("cell", anchors, positives, positives[:2])
    assert found.item() == pytest.approx(10.50, abs=0.1)


def test_the_queue_of_cells_holds_the_mean_of_each_dense_key_map(build, views, context, check_gradients):
    method = build(dense_stride=8)
    maps = []
    method.key_dense_head.register_forward_hook(lambda *given: maps.append(given[2]))
    check_gradients(method, views)
    method.after_step(context())
    expected = l2_normalize(maps[0].flatten(2).mean(2))
    torch.testing.assert_close(method.queue("cell").keys[:6], expected)
    assert method.queue("image").position == method.queue("cell").position == 6


def test_all_three_copies_follow(build, context):
    method = build(momentum=0.5)
    pairs = [
        (method.head, method.key_head),
        (method.dense_head, method.key_dense_head),
        (method.encoder, method.key_encoder),
    ]
    before = [next(online.parameters()).detach().clone() for online, _ in pairs]
    with torch.no_grad():
        for online, _ in pairs:
            next(online.parameters()).add_(1)
    method.before_step(context())
    for old, (_, follower) in zip(before, pairs, strict=True):
        torch.testing.assert_close(next(follower.parameters()), old + 0.5)


def test_tokens_are_trained_too(make, encoders, views, vit_spec, check_gradients):
    for stride in (0, 16):
        cfg = DenseCLConfig(**SMALL, dense_stride=stride)
        check_gradients(make(DenseCL, cfg, encoders("rgb", spec=vit_spec)), views)
