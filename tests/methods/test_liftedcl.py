import math

import numpy as np
import pytest
import torch

from bench.api import DataInfo
from bench.errors import AssetError, ConfigError
from bench.losses.adversarial import telling_apart
from methods.liftedcl import LiftedCL, LiftedCLConfig

SMALL = {
    "hidden": 32,
    "dim": 16,
    "queue": 24,
    "queue_pixels": 20,
    "bn_groups": 1,
    "eq_side": 4,
    "eq_pixels": 6,
}
SMALL |= {"prior": "angles", "prior_size": 50, "dense_stride": 8}


def config(**changes):
    known = {**SMALL, **changes}
    if known.get("variant") == "official":
        known.pop("eq_pixels")
    return LiftedCLConfig(**known)


def crops(n, left, side, size=32):
    zoom = size / side
    one = torch.tensor([[zoom, 0.0, -left * zoom], [0.0, zoom, -left * zoom], [0.0, 0.0, 1.0]])
    return one.repeat(n, 1, 1)


@pytest.fixture
def views(batch):
    """Two crops of each image, in colours of their own."""
    n = len(batch["rgb"])
    second = torch.rand(batch["rgb"].shape, generator=torch.Generator().manual_seed(9))
    return {**batch, "rgb2": second, "crop": crops(n, 0, 24), "crop2": crops(n, 6, 24)}


@pytest.fixture
def build(make, encoders):
    return lambda **changes: make(LiftedCL, config(**changes), encoders("rgb"))


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("stride", [0, 8])
def test_terms_and_gradients(build, views, check_gradients, variant, stride):
    method = build(variant=variant, dense_stride=stride)
    out = check_gradients(method, views)
    assert set(out.terms) == {"invariant", "equivariant", "adversarial", "adversary"}
    assert set(out.scalars) == {"skeleton_std", "bone_error"}


def test_tokens_are_encoded_too(make, encoders, views, check_gradients, vit_spec):
    check_gradients(make(LiftedCL, config(), encoders("rgb", spec=vit_spec)), views)


def test_without_the_adversary_nothing_is_lifted(build, views, context, check_gradients):
    out = check_gradients(build(use_adv=False), views)
    assert set(out.terms) == {"invariant", "equivariant"} and not out.scalars
    whole, plain = build().eval(), build(use_adv=False).eval()
    assert not any("lifting" in n or "advers" in n or "prior" in n for n in plain.state_dict())
    for name, value in plain.training_step(views, context()).terms.items():
        torch.testing.assert_close(value, whole.training_step(views, context()).terms[name])


def test_first_values_are_those_of_random_features(make, encoders, views, context):
    """About log(K + 1) + 1 / (2 D tau^2) against a random queue, less for views that look alike."""
    method = make(LiftedCL, config(queue=4096, queue_pixels=4096, dim=128), encoders("rgb"))
    terms = method.training_step(views, context()).terms
    expected = 0.5 * (math.log(4097) + 1 / (2 * 128 * 0.2**2))
    for name in ("invariant", "equivariant"):
        assert expected - 0.5 * 2 / 0.2 < terms[name].item() < expected + 0.3
    values = torch.nn.functional.normalize(torch.randn(64, 2, 128), dim=2)
    loss = method.contrast("image", values[:, 0], values[:, 1], values[:, 1])
    assert loss.item() == pytest.approx(2 * expected, rel=0.02)


def test_each_side_gets_the_gradient_of_its_own_loss_alone(build, views, context):
    method = build(weight_invariant=0.0, weight_equivariant=0.0)
    terms = method.training_step(views, context()).terms
    adversary = list(method.adversary.parameters())
    others = [p for n, p in method.named_parameters() if p.requires_grad and not n.startswith("adversary.")]
    found = torch.autograd.grad(terms["adversarial"], adversary, retain_graph=True, allow_unused=True)
    assert all(g is None for g in found)
    found = torch.autograd.grad(terms["adversary"], others, retain_graph=True, allow_unused=True)
    assert all(g is None for g in found)
    lifting = list(method.lifting.parameters())
    assert any(g.any() for g in torch.autograd.grad(terms["adversarial"], lifting, retain_graph=True))
    assert all(g.any() for g in torch.autograd.grad(terms["adversary"], adversary))


def test_one_backward_pass_equals_the_released_two_steps(build, views, context):
    """Generator step, gradients cleared, adversary step on the same skeletons: the same gradients."""
    together = build()
    torch.stack(list(together.training_step(views, context()).terms.values())).sum().backward()
    apart = build()
    own = {n: p for n, p in apart.named_parameters() if p.requires_grad}
    out = apart.training_step(views, context())
    generator = [out.terms[n] for n in ("invariant", "equivariant", "adversarial")]
    torch.stack(generator).sum().backward()
    assert all(p.grad is None for p in apart.adversary.parameters())
    before = {n: p.grad.clone() for n, p in own.items() if p.grad is not None}
    out.terms["adversary"].backward()
    for name, parameter in together.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, own[name].grad, msg=name)
            if not name.startswith("adversary."):
                assert torch.equal(own[name].grad, before[name])


def test_the_adversary_keeps_its_rate(build):
    method = build()
    schedules = {n: method.group(n, p).get("schedule", "") for n, p in method.named_parameters()}
    assert {n.partition(".")[0] for n, s in schedules.items() if s == "constant"} == {"adversary"}
    assert all(s == "constant" for n, s in schedules.items() if n.startswith("adversary."))
    slow = build(adversary_lr_scale=0.1)
    own = [(n, p) for n, p in slow.named_parameters() if n.startswith("adversary.")]
    assert {slow.group(n, p)["lr_scale"] for n, p in own} == {0.1}


def test_an_undecided_adversary(build, views, context):
    method = build()
    last = method.adversary.judge[-1]
    torch.nn.init.zeros_(last.weight), torch.nn.init.constant_(last.bias, 0.5)
    terms = method.training_step(views, context()).terms
    assert terms["adversarial"].item() == pytest.approx(0.5 * 0.25)
    assert terms["adversary"].item() == pytest.approx(0.5)


def test_disjoint_views_leave_the_contrast_of_images(build, views, context):
    apart = {**views, "crop": crops(6, 0, 10), "crop2": crops(6, 20, 10)}
    out = build().training_step(apart, context())
    assert out.terms["equivariant"] == 0 and out.terms["equivariant"].requires_grad
    assert out.terms["invariant"] > 0
    official = build(variant="official").training_step(apart, context())
    assert official.terms["equivariant"].item() == pytest.approx(0.5 * math.log(SMALL["queue_pixels"] + 1))


def test_queues_take_one_vector_per_image_after_the_step(build, views, context):
    method = build()
    before = {name: method.queue(name).keys.clone() for name in ("image", "pixel")}
    method.before_step(context())
    method.training_step(views, context())
    assert all(torch.equal(method.queue(n).keys, rows) for n, rows in before.items())
    method.after_step(context())
    for name, rows in before.items():
        changed = (method.queue(name).keys != rows).any(1)
        assert changed[:6].all() and not changed[6:].any()
        torch.testing.assert_close(method.queue(name).keys.norm(dim=1), torch.ones(len(rows)))


def test_all_heads_are_followed(build, views, context):
    method = build()
    with torch.no_grad():
        for p in method.pixel_head.parameters():
            p.add_(1.0)
    before = [p.clone() for p in method.key_pixel_head.parameters()]
    method.before_step(context())
    for old, new, online in zip(
        before, method.key_pixel_head.parameters(), method.pixel_head.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.999 * old + 0.001 * online)


def test_real_skeletons_are_drawn_from_the_bank(build, context, views):
    method = build()
    drawn, bank = method.real(40, context()), method.prior
    torch.testing.assert_close(bank.flatten(1).norm(dim=1), torch.ones(50))
    assert len(torch.unique((drawn[:, None] == bank).all((2, 3)).float().argmax(1))) > 20
    assert not torch.equal(drawn, method.real(40, context(step=1)))
    torch.testing.assert_close(method.measures(bank)["bone_error"], torch.tensor(0.03), atol=0.03, rtol=0)
    collapsed = method.measures(bank[:1].expand(8, -1, -1))
    assert collapsed["skeleton_std"].item() == pytest.approx(0, abs=1e-6)
    assert method.measures(bank)["skeleton_std"] > 0.05
    assert method.measures(torch.randn(8, 17, 3))["bone_error"] > 0.3


def test_lifted_skeletons_may_be_normalised(build, views, context):
    method = build(normalise_fake=True)
    lifted = method.lift(method.encoder(views["rgb"]))
    assert not lifted[:, 0].any()
    torch.testing.assert_close(lifted.flatten(1).norm(dim=1), torch.ones(6))
    plain = build().lift(build().encoder(views["rgb"]))
    assert plain[:, 0].any()


def test_a_file_is_a_prior(make, encoders, tmp_path):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(7, 17, 3)))
    known = {k: v for k, v in SMALL.items() if k != "prior_size"} | {"prior": "file"}
    method = make(LiftedCL, LiftedCLConfig(**known, prior_file=str(tmp_path / "mine.npy")), encoders("rgb"))
    assert method.prior.shape == (7, 17, 3) and not method.prior[:, 0].any()


def check(cfg, **changes):
    known = {"where": "method.x.config", "samples": 100, "batch": 8, "groups": 1, "views": 2, "augment": {}}
    cfg.check(**{**known, "size": (32, 32), **changes})


def test_bad_settings_are_refused_when_planning(tmp_path):
    check(config())
    wrong = [
        (config(), {"views": 1}, "views: 1 view"),
        (config(queue_pixels=101), {}, "queue_pixels: 101 keys are more than the 100 images"),
        (config(queue=101), {}, "queue: 101 keys"),
        (config(bn_groups=3), {}, "cannot be cut into 3"),
        (config(eq_pixels=17), {}, "eq_pixels: 17 points are more than the 4 x 4"),
        (config(dense_stride=33), {}, "dense_stride: 33 pixels exceed"),
        (config(prior="file"), {}, "prior_file: is empty"),
    ]
    for cfg, changes, message in wrong:
        with pytest.raises(ConfigError, match=message):
            check(cfg, **changes)
    np.save(tmp_path / "bad.npy", np.zeros((3, 14, 3)))
    bad = config(prior="file", prior_file=str(tmp_path / "bad.npy"))
    with pytest.raises(AssetError, match=r"shape \(3, 14, 3\)"):
        check(bad)
    check(config(use_adv=False, prior="file"))


@torch.no_grad()
def test_sheets_show_what_views_share_and_skeletons(build, views, context):
    shown = build().eval().illustrate(views, context())
    assert all(
        row.shape == (6, 3, 96, 96) and row.min() >= 0 and row.max() <= 1 for row in shown.images.values()
    )
    assert any("lifted" in name for name in shown.images) and "bone_error" in shown.scalars
    both = {**views, "rgb2": views["rgb"], "crop2": views["crop"]}
    same = build(use_adv=False).eval().illustrate(both, context()).images
    torch.testing.assert_close(same["shared part of the view"], same["view"], atol=0.01, rtol=0)
    assert torch.equal(same["shared part of the second view"], same["shared part of the view"])


def test_needs_one_colour_encoder(make, encoders):
    with pytest.raises(ConfigError, match="one colour encoder"):
        make(
            LiftedCL, config(), encoders("rgb", "depth"), DataInfo(n_samples=40, size=(32, 32), joint_set="")
        )


def test_telling_apart_takes_halves_of_one_batch(build, views, context):
    """Judging both kinds of skeletons together is the same as one after the other: no batch norm inside."""
    method = build()
    lifted, real = torch.randn(6, 17, 3), method.real(6, context())
    judged = method.adversary(torch.cat([lifted, real])).chunk(2)
    torch.testing.assert_close(
        telling_apart(*judged), telling_apart(method.adversary(lifted), method.adversary(real))
    )
