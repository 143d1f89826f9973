import math

import pytest
import torch
import yaml
from torch.nn import functional as F

from bench.errors import ConfigError
from bench.grid.request import BUILT_IN
from methods.mmv import MMV, MMVConfig

ALL = ("rgb", "depth", "kp2d")
SMALL = {"fine_dim": 24, "coarse_dim": 12}
FINE_HEADS, COARSE_HEADS = ("rgb_to_fine", "depth_to_fine"), ("fine_to_coarse", "kp2d_to_coarse")


@pytest.fixture
def mmv(make, encoders):
    return make(MMV, MMVConfig(**SMALL), encoders(*ALL))


def gradients(method, term):
    """Return which children get a gradient from a term."""
    method.zero_grad()
    term.backward(retain_graph=True)
    parts = {**dict(method.named_children()), **method.encoders}
    del parts["encoders"]
    return {
        n for n, part in parts.items() if any(p.grad is not None and p.grad.any() for p in part.parameters())
    }


def test_fine_loss_knows_nothing_of_the_coarse_space(mmv, batch, context):
    terms = mmv.training_step(batch, context()).terms
    assert list(terms) == ["fine", "coarse"]
    assert gradients(mmv, terms["fine"]) == {"rgb", "depth", *FINE_HEADS}
    assert gradients(mmv, terms["coarse"]) == {"rgb", "kp2d", "rgb_to_fine", *COARSE_HEADS}


def test_depth_reaches_the_coarse_space_only_when_asked_to(make, encoders, batch, context, check_gradients):
    method = make(MMV, MMVConfig(**SMALL, use_depth_kp=True), encoders(*ALL))
    terms = check_gradients(method, batch).terms
    assert set(terms) == {"fine", "coarse", "coarse_depth"}
    last = method.training_step(batch, context()).terms["coarse_depth"]
    assert gradients(method, last) == {"depth", "kp2d", "depth_to_fine", *COARSE_HEADS}


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equal_orthogonal_features_give_the_analytic_value(make, encoders, context, temperature):
    method = make(MMV, MMVConfig(**SMALL, temperature=temperature), encoders(*ALL))
    n, a = 5, torch.eye(5, 8)
    value = method.contrast(a, 3 * a, torch.ones(n, dtype=torch.bool), context().group)
    expected = 2 * math.log(1 + (n - 1) * math.exp(-1 / temperature))
    assert value.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_terms_by_hand(mmv, batch, context, without_depth):
    mmv.eval()
    stripped = without_depth(batch, [1, 4])
    terms = mmv.training_step(stripped, context()).terms
    h = {m: mmv.encoders[m](batch[m]).pooled for m in ALL}
    fine = mmv.rgb_to_fine(h["rgb"])
    spaces = {
        "fine": (fine[[0, 2, 3, 5]], mmv.depth_to_fine(h["depth"])[[0, 2, 3, 5]]),
        "coarse": (mmv.fine_to_coarse(fine), mmv.kp2d_to_coarse(h["kp2d"])),
    }
    for name, (a, b) in spaces.items():
        logits = F.normalize(a) @ F.normalize(b).T / 0.07
        own = torch.arange(len(a))
        expected = F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
        torch.testing.assert_close(terms[name], expected, rtol=1e-4, atol=1e-4)


def test_value_at_initialisation(make, encoders, make_batch, context):
    """Both directions start at chance and a spread that grows as the features do not agree yet."""
    n = 16
    terms = (
        make(MMV, MMVConfig(temperature=1.0), encoders(*ALL)).training_step(make_batch(n), context()).terms
    )
    for value in terms.values():
        assert value.item() == pytest.approx(2 * math.log(n), rel=0.02)


def test_without_any_depth_only_the_coarse_term_is_left(mmv, batch, context, without_depth):
    before = {k: v.clone() for k, v in mmv.state_dict().items()}
    terms = mmv.training_step(without_depth(batch, list(range(6))), context()).terms
    assert terms["fine"] == 0 < terms["coarse"]
    assert torch.isfinite(terms["coarse"])
    sum(terms.values()).backward()
    for part in (mmv.encoders["depth"], mmv.depth_to_fine):
        assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in part.parameters())
    depth = [k for k in before if k.startswith("encoders.depth.")]
    assert all(torch.equal(mmv.state_dict()[k], before[k]) for k in depth)


def test_samples_without_colour_leave_no_trace_in_the_heads(mmv, encoders, make, batch, context):
    """Batch norm of the heads sees the samples with colour alone."""
    twin = make(MMV, MMVConfig(**SMALL), encoders(*ALL))
    blind = {**batch, "valid.rgb": torch.tensor([True, True, False, True, False, True])}
    kept = {k: v[blind["valid.rgb"]] for k, v in batch.items()}
    mmv.training_step(blind, context())
    twin.training_step(kept, context())
    for name in ("rgb_to_fine", "fine_to_coarse"):
        ours, theirs = (dict(getattr(m, name).named_buffers()) for m in (mmv, twin))
        torch.testing.assert_close(ours, theirs)


def test_training_lowers_the_loss(mmv, batch, context):
    optimizer = torch.optim.SGD(mmv.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(15):
        loss = sum(mmv.training_step(batch, context(step)).terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_only_the_objective_differs_from_cmc():
    ours, theirs = (yaml.safe_load((BUILT_IN / "method" / f"{n}.yaml").read_text()) for n in ("mmv", "cmc"))
    for key in ("encoders", "gives", "mix", "optional", "encoder_kinds"):
        assert ours[key] == theirs[key]
    for key in ("train", "augment"):
        assert ours["stages"]["contrast"][key] == theirs["stages"]["contrast"][key]
    presets = [body["presets"]["tiny"]["stages"]["contrast"] for body in (ours, theirs)]
    assert presets[0] == presets[1]


def test_it_needs_all_three_encoders(make, encoders):
    with pytest.raises(ConfigError, match="got rgb, kp2d"):
        make(MMV, MMVConfig(), encoders("rgb", "kp2d"))
