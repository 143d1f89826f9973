import math
from itertools import permutations

import pytest
import torch

from bench.errors import ConfigError
from bench.losses.numerics import l2_normalize
from methods.cmc import CMC, CMCConfig

ALL = ("rgb", "depth", "kp2d")


def embeddings(method, batch):
    return {
        m: l2_normalize(method.global_mappers[m](method.encoders[m](batch[m]).pooled))
        for m in method.modalities
    }


@pytest.fixture
def cmc(make, encoders):
    return make(CMC, CMCConfig(dim=16), encoders(*ALL))


def test_loss_is_the_sum_over_ordered_pairs_near_its_random_value(cmc, batch, context):
    out = cmc.training_step(batch, context())
    names = {f"sample_{a}_{b}" for a, b in permutations(ALL, 2)}
    assert set(out.scalars) == names
    torch.testing.assert_close(out.terms["sample"], torch.stack(list(out.scalars.values())).sum())
    expected = 6 * (math.log(40) + 1 / (2 * 16 * 0.07**2))
    assert out.terms["sample"].item() == pytest.approx(expected, rel=0.25)


def test_one_term_by_hand(cmc, batch, context):
    cmc.eval()
    out = cmc.training_step(batch, context())
    anchors = embeddings(cmc, batch)["rgb"]
    logits = anchors @ cmc.memory.rows("kp2d").T / 0.07  # K exceeds the memory: all rows, the own one once
    expected = torch.nn.functional.cross_entropy(logits, batch["sample_id"])
    torch.testing.assert_close(out.scalars["sample_rgb_kp2d"], expected)


@pytest.mark.parametrize("modalities", [("rgb", "depth"), ("rgb", "kp2d"), ("depth", "kp2d"), ALL])
@pytest.mark.parametrize("negatives", ["shared", "per_sample", "all"])
def test_any_modalities_and_negatives(make, encoders, batch, context, check_gradients, modalities, negatives):
    method = make(CMC, CMCConfig(dim=16, n_negatives=10, negatives=negatives), encoders(*modalities))
    out = check_gradients(method, batch)
    assert len(out.scalars) == len(modalities) * (len(modalities) - 1)
    method.after_step(context())
    assert set(method.export().encoders) == set(modalities)


def test_tokens_are_encoded_too(make, encoders, batch, check_gradients, vit_spec):
    check_gradients(make(CMC, CMCConfig(dim=16), encoders(*ALL, spec=vit_spec)), batch)


def test_memory_is_written_after_the_step_and_only_there(cmc, batch, context):
    cmc.eval()
    before = {m: cmc.memory.rows(m).clone() for m in ALL}
    cmc.training_step(batch, context())
    assert all(torch.equal(cmc.memory.rows(m), before[m]) for m in ALL)
    cmc.after_step(context())
    ids, others = batch["sample_id"], torch.ones(40, dtype=torch.bool)
    others[ids] = False
    for m, own in embeddings(cmc, batch).items():
        torch.testing.assert_close(cmc.memory.rows(m)[ids], l2_normalize(0.5 * before[m][ids] + 0.5 * own))
        assert torch.equal(cmc.memory.rows(m)[others], before[m][others])
    after = cmc.memory.rows("rgb").clone()
    cmc.after_step(context())
    assert torch.equal(cmc.memory.rows("rgb"), after)


def test_without_any_depth_nothing_of_depth_changes(cmc, batch, context, without_depth):
    before = {k: v.clone() for k, v in cmc.state_dict().items()}
    out = cmc.training_step(without_depth(batch, list(range(6))), context())
    assert torch.isfinite(out.terms["sample"])
    assert out.scalars["sample_rgb_depth"] == out.scalars["sample_depth_kp2d"] == 0
    out.terms["sample"].backward()
    for part in (cmc.encoders["depth"], cmc.global_mappers["depth"]):
        assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in part.parameters())
    cmc.after_step(context())
    assert torch.equal(cmc.memory.rows("depth"), before["memory.rows_depth"])
    depth = [k for k in before if k.startswith("encoders.depth.")]
    assert all(torch.equal(cmc.state_dict()[k], before[k]) for k in depth)
    assert cmc.memory.absent("depth")[batch["sample_id"]].all()


def test_taking_depth_from_one_sample_leaves_the_others_terms(cmc, batch, context, without_depth):
    cmc.eval()

    def term(rows):
        return cmc.training_step(without_depth(batch, rows), context()).scalars

    alone = torch.stack([term([i for i in range(6) if i != j])["sample_rgb_depth"] for j in range(6)])
    torch.testing.assert_close(term([])["sample_rgb_depth"], alone.mean())
    torch.testing.assert_close(term([2])["sample_rgb_depth"], alone[[0, 1, 3, 4, 5]].mean())
    assert torch.equal(term([2])["sample_rgb_kp2d"], term([])["sample_rgb_kp2d"])


def test_official_variant_remembers_empty_depth_and_drops_samples_without_colour(
    make, encoders, batch, context, without_depth
):
    stripped = without_depth(batch, [1])
    ids = batch["sample_id"]
    methods = {v: make(CMC, CMCConfig(dim=16, variant=v), encoders(*ALL)) for v in ("paper", "official")}
    for variant, method in methods.items():
        before = method.memory.rows("depth").clone()
        method.training_step(stripped, context())
        method.after_step(context())
        changed = (method.memory.rows("depth") != before).any(1)
        assert changed[ids[1]] == (variant == "official")
        assert method.memory.absent("depth").any() == (variant == "paper")
    blind = {**batch, "valid.rgb": torch.zeros(6, dtype=torch.bool)}
    for variant, method in methods.items():
        scalars = method.eval().training_step(blind, context()).scalars
        assert (scalars["sample_depth_kp2d"] == 0) == (variant == "official")


def test_resume_is_exact(make, encoders, check_resume):
    check_resume(lambda: make(CMC, CMCConfig(dim=16), encoders(*ALL)), torch.optim.SGD, lr=0.03, momentum=0.9)


def test_training_lowers_the_loss(make, encoders, batch, context):
    method = make(CMC, CMCConfig(dim=16), encoders(*ALL))
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(15):
        loss = method.training_step(batch, context(step)).terms["sample"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(context(step))
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_one_sample_and_one_modality(cmc, encoders, make, context, make_batch):
    out = cmc.eval().training_step(make_batch(1), context())
    assert torch.isfinite(out.terms["sample"])
    with pytest.raises(ConfigError, match="two modalities"):
        make(CMC, CMCConfig(), encoders("rgb"))
