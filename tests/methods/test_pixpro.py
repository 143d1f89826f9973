import pytest
import torch

from bench.errors import ConfigError
from bench.losses.views import cell_distances
from methods.pixpro import PixPro, PixProConfig, consistency, propagate

SMALL = {"hidden": 24, "dim": 16, "dense_stride": 8}


@pytest.fixture
def views(make_batch):
    crops = torch.eye(3).repeat(6, 1, 1)
    return {**make_batch(), "rgb2": make_batch(seed=50)["rgb"], "crop": crops, "crop2": crops.clone()}


@pytest.fixture
def pixpro(make, encoders):
    return make(PixPro, PixProConfig(**SMALL), encoders("rgb")).train()


def test_identical_views_networks_and_no_propagation_give_minus_four():
    cells = torch.randn(3, 16, 8)
    crop = torch.eye(3).repeat(3, 1, 1)
    near = cell_distances(crop, crop, (4, 4), (32, 32)) < 0.7
    agreement = consistency(cells, 5 * cells, near) + consistency(2 * cells, cells, near.mT)
    torch.testing.assert_close(-2 * agreement.mean(), torch.tensor(-4.0))
    torch.testing.assert_close(consistency(cells, -cells, near), -torch.ones(3))


def test_consistency_is_the_mean_over_the_pairs_of_each_image():
    predicted, target = torch.randn(2, 5, 4), torch.randn(2, 6, 4)
    near = torch.rand(2, 5, 6) < 0.4
    for n in range(2):
        cosines = [
            torch.cosine_similarity(predicted[n, i], target[n, j], dim=0) for i, j in near[n].nonzero()
        ]
        torch.testing.assert_close(consistency(predicted, target, near)[n], torch.stack(cosines).mean())


def test_images_without_pairs_count_as_zero_and_get_no_gradient():
    predicted = torch.randn(2, 4, 3, requires_grad=True)
    near = torch.zeros(2, 4, 4, dtype=torch.bool)
    near[0, 1, 2] = True
    found = consistency(predicted, torch.randn(2, 4, 3), near)
    assert found[1] == 0 and found[0] != 0
    found.sum().backward()
    assert predicted.grad[0].any() and not predicted.grad[1].any()


def test_propagation_is_the_weighted_sum_over_cells():
    cells, values = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    found = propagate(cells, values, 2.0)
    for n in range(2):
        for i in range(5):
            total = torch.zeros(4)
            for j in range(5):
                weight = max(torch.cosine_similarity(cells[n, i], cells[n, j], dim=0).item(), 0.0) ** 2
                total += weight * values[n, j] / values[n, j].norm()
            torch.testing.assert_close(found[n, i], total)
    apart = torch.eye(4)[None]
    torch.testing.assert_close(
        propagate(apart, values[:1, :4], 2.0), values[:1, :4] / values[:1, :4].norm(dim=2, keepdim=True)
    )


def test_loss_within_its_bounds_and_targets_without_gradient(pixpro, views, check_gradients):
    out = check_gradients(pixpro, views)
    assert -4 < out.terms["consistency"] < 4
    assert out.lower_bounds["consistency"] == -4
    assert out.scalars["pairs"] == 16  # the diagonal of 4 x 4 cells
    assert all(p.grad is None for n, p in pixpro.named_parameters() if n.startswith("momentum_"))


def test_cells_are_paired_by_place(make, encoders, views, context):
    """Equal images and weights, next to no propagation: only the right crops give near -4."""
    pixpro = make(PixPro, PixProConfig(**SMALL, sharpness=50.0), encoders("rgb")).train()
    torch.nn.init.eye_(pixpro.transform.weight)
    torch.nn.init.zeros_(pixpro.transform.bias)
    equal = {**views, "rgb2": views["rgb"]}
    mirror = torch.tensor([[-1.0, 0, 32], [0, 1, 0], [0, 0, 1]]).repeat(6, 1, 1)
    right, wrong = ({**equal, "crop2": crop} for crop in (views["crop"], mirror))
    good, bad = (pixpro.training_step(b, context()).terms["consistency"].item() for b in (right, wrong))
    assert -4 < good < -3.8 and good + 0.5 < bad
    assert pixpro.training_step(wrong, context()).scalars["pairs"] == 16


def test_disjoint_crops_give_zero(pixpro, views, context):
    away = torch.tensor([[1.0, 0, -400], [0, 1, 0], [0, 0, 1]]).repeat(6, 1, 1)
    out = pixpro.training_step({**views, "crop2": away}, context())
    assert out.terms["consistency"] == 0 and out.lower_bounds["consistency"] == 0
    out.terms["consistency"].backward()
    assert not next(pixpro.encoders["rgb"].parameters()).grad.any()


def test_the_momentum_follows_the_step_alone(pixpro, context):
    old = pixpro.momentum_projector.network[0].weight.clone()
    with torch.no_grad():
        pixpro.projector[0].weight.add_(1)
    pixpro.before_step(context(5))  # half-way of 10: 0.995
    torch.testing.assert_close(pixpro.momentum_projector.network[0].weight, old + 0.005)
    pixpro.before_step(context(0))
    torch.testing.assert_close(pixpro.momentum_projector.network[0].weight, old + 0.005 + 0.01 * 0.995)


def test_only_matrices_decay_and_adapt(pixpro):
    kept = {n for n, p in pixpro.named_parameters() if pixpro.group(n, p)}
    assert "projector.1.weight" in kept and "transform.bias" in kept
    assert not kept & {"projector.0.weight", "transform.weight"}


def test_tokens_are_trained_too_and_one_view_is_refused(make, encoders, views, vit_spec, check_gradients):
    cfg = PixProConfig(hidden=24, dim=16)
    check_gradients(make(PixPro, cfg, encoders("rgb", spec=vit_spec)), views)
    with pytest.raises(ConfigError, match=r"m\.views: 1 view; .* set views=2"):
        cfg.check(where="m.config", views=1, size=(32, 32))
    with pytest.raises(ConfigError, match="one colour encoder"):
        make(PixPro, cfg, encoders("rgb", "depth"))
