import dataclasses
import math

import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from bench.api import DataInfo
from bench.encoders import build_encoder
from bench.errors import AssetError, ConfigError, StepError
from bench.grid.plan import expand
from bench.grid.request import Words, resolve
from bench.losses.heatmaps import gaussian_targets
from bench.losses.masking import draw_visible, human_patches
from methods.croco_body import CroCoBody, CroCoBodyConfig

SMALL = {"decoder_width": 24, "decoder_blocks": 1, "decoder_heads": 2, "length_multiple": 1}


@pytest.fixture
def pairs(make_batch):
    """A batch of pairs; the person is a block of patches, larger from sample to sample."""
    first, second = make_batch(seed=0), make_batch(seed=1)
    mask = torch.zeros(6, 32, 32, dtype=torch.bool)
    for k in range(6):
        mask[k, : 8 + 4 * k, 8:24] = True
    joints = torch.cat([first["keypoints_pixels"], torch.ones(6, 16, 2)], -1)
    return {
        "rgb": first["rgb"],
        "rgb2": second["rgb"],
        "mask": mask,
        "keypoints": joints,
        "keypoints2": joints.flip(0),
        "pair_kind": torch.arange(6) % 2,
    }


@pytest.fixture
def build(make, encoders, vit_spec):
    def built(**settings):
        return make(CroCoBody, CroCoBodyConfig(**SMALL, **settings), encoders("rgb", spec=vit_spec))

    return built


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 49), (0.9, 20)])
def test_paper_sizes(ratio, visible, context):
    with torch.device("meta"):
        encoder = build_encoder({"adapter": "bench.encoders.vit:ViT", "version": 1, "config": {}}, "rgb")
        cfg = CroCoBodyConfig(mask_ratio=ratio, masking="uniform")
        method = CroCoBody(cfg, {"rgb": encoder}, DataInfo(n_samples=1, size=(224, 224), joint_set="smpl24"))
    seen, counted = method.masks({"rgb": torch.empty(3, 3, 224, 224)}, context())
    assert (seen.sum(1) == visible).all() and (counted.sum(1) == 196 - visible).all()
    assert sum(p.numel() for p in method.decoder.blocks.parameters()) / 1e6 == pytest.approx(33.6, abs=0.05)
    assert method.predict.out_features == 768


def test_loss_is_that_of_the_hidden_patches(build, pairs, context, check_gradients):
    method = build()
    out = check_gradients(method, pairs)
    visible = draw_visible(human_patches(pairs["mask"], 8), 0.75, context().draws)
    assert 1 < out.scalars["visible_patches"] == visible[0].sum() < 4  # fewer than of all sixteen
    encoder = method.encoders["rgb"]
    x = encoder.preprocess(pairs["rgb"])
    predicted = method.complete(pairs["rgb"], visible, encoder(pairs["rgb2"]))
    errors = []
    for i in range(6):
        for p in (~visible[i]).nonzero().flatten().tolist():
            row, column = 8 * (p // 4), 8 * (p % 4)
            block = x[i, :, row : row + 8, column : column + 8].permute(1, 2, 0).flatten()
            errors.append((predicted[i, p] - (block - block.mean()) / block.std()).square().mean())
    torch.testing.assert_close(out.terms["pixels"], torch.stack(errors).mean(), rtol=1e-4, atol=1e-5)


def test_the_second_image_changes_the_loss_until_cross_attention_is_cut(build, pairs, context):
    method = build(decoder_positions="rope100")
    black = {**pairs, "rgb2": torch.zeros_like(pairs["rgb2"])}

    def losses():
        with torch.no_grad():
            return [method.training_step(b, context()).terms["pixels"] for b in (pairs, black)]

    true, without = losses()
    assert abs(true - without) > 1e-5
    for block in method.decoder.blocks:
        torch.nn.init.zeros_(block.cross_attn.proj.weight)
    true, without = losses()
    assert torch.equal(true, without)


def ramps(seed, n=32):
    """Return images whose patches are ramps in directions that nothing else in the image tells."""
    direction = torch.randn(n, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
    down, right = (0.3 * direction / direction.norm(dim=1, keepdim=True)).unbind(1)
    ramp = torch.linspace(-1, 1, 8)
    patches = down[:, :, None, :, None] * ramp[:, None, None] + right[:, :, None, :, None] * ramp
    return (0.5 + patches.reshape(n, 1, 32, 32)).expand(-1, 3, -1, -1)


def test_it_learns_to_look_at_the_second_image(build, context):
    method, steps = build(masking="uniform", decoder_positions="rope100"), 80
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for step in range(steps):
        images = ramps(step)
        loss = method.training_step({"rgb": images, "rgb2": images}, context(step)).terms["pixels"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        fresh = method.eval().illustrate({"rgb": ramps(steps), "rgb2": ramps(steps)}, context()).scalars
    assert fresh["pixels_true_reference"] < 0.3
    assert fresh["pixels_black_reference"] > 0.9 and fresh["pixels_wrong_reference"] > 0.9


def test_hidden_pixels_never_reach_the_network(build, pairs, context):
    method = build()
    visible, _ = method.masks(pairs, context())
    hidden = (~visible).view(6, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    changed = torch.where(hidden, torch.rand_like(pairs["rgb"]), pairs["rgb"])
    reference = method.encoder(pairs["rgb2"])
    predicted = [method.complete(rgb, visible, reference) for rgb in (pairs["rgb"], changed)]
    assert torch.equal(*predicted) and not torch.equal(changed, pairs["rgb"])


@pytest.mark.parametrize("positions", ["sincos", "rope100"])
def test_loss_is_float32_under_autocast(positions, build, pairs, check_gradients):
    method = build(decoder_positions=positions, keypoints=True)
    exact = check_gradients(method, pairs).terms
    with torch.autocast("cpu", torch.bfloat16):
        rounded = check_gradients(method, pairs).terms
    for name, value in exact.items():
        assert rounded[name].item() == pytest.approx(value.item(), rel=0.05)


def test_one_encoder_learns_from_both_images(build, pairs, context):
    method = build()
    weight = method.encoder.vit.blocks[0].mlp.fc1.weight
    visible, counted = method.masks(pairs, context())
    targets = method.targets(pairs["rgb"])

    def gradient(first, second):
        """Let one of the two images send a gradient, or both."""
        method.zero_grad()
        reference = method.encoder(pairs["rgb2"])
        if not second:
            reference = dataclasses.replace(reference, tokens=reference.tokens.detach())
        encode = method.encoder.encode_visible
        if not first:
            method.encoder.encode_visible = lambda *args: encode(*args).detach()
        predicted = method.complete(pairs["rgb"], visible, reference)
        method.encoder.__dict__.pop("encode_visible", None)
        F.mse_loss(predicted[counted], targets[counted]).backward()
        return weight.grad.clone()

    both, one, other = gradient(True, True), gradient(True, False), gradient(False, True)
    assert one.abs().max() > 0 and other.abs().max() > 0
    torch.testing.assert_close(both, one + other, rtol=1e-4, atol=1e-7)


def test_the_loss_may_count_the_person_alone(build, pairs, context):
    method = build(loss_on="human")
    human = human_patches(pairs["mask"], 8)
    visible, counted = method.masks(pairs, context())
    assert torch.equal(counted, ~visible & human)
    nobody = {**pairs, "mask": torch.zeros_like(pairs["mask"])}
    loss = method.training_step(nobody, context()).terms["pixels"]
    assert loss == 0 and loss.requires_grad
    unknown = {**nobody, "valid.mask": torch.tensor([False, *[True] * 5])}
    visible, counted = method.masks(unknown, context())
    assert (visible.sum(1) == 4).all()  # of sixteen: the one without silhouette counts as all person
    assert counted[0].sum() == 12 and not counted[1:].any()


def test_joints_of_the_second_image_are_a_second_loss(build, pairs, check_gradients, context):
    method = build(keypoints=True, keypoints_weight=0.5)
    plain = build()
    terms = check_gradients(method, pairs).terms
    assert set(terms) == {"pixels", "keypoints"}
    torch.testing.assert_close(terms["pixels"], plain.training_step(pairs, context()).terms["pixels"])
    covered = gaussian_targets(pairs["keypoints2"][..., :2], (8, 8), (32, 32)).mean()
    expected = 0.5 * -(covered * math.log(0.01) + (1 - covered) * math.log(0.99))
    assert terms["keypoints"].item() == pytest.approx(expected.item(), rel=0.01)
    other = method.training_step({**pairs, "keypoints": pairs["keypoints"] + 5}, context()).terms
    assert torch.equal(other["keypoints"], terms["keypoints"])
    hidden = pairs["keypoints2"].clone()
    hidden[..., -1] = 0
    assert method.training_step({**pairs, "keypoints2": hidden}, context()).terms["keypoints"] == 0

    def one(*weights):
        hidden[0, : len(weights), -1] = torch.tensor(weights)
        return method.training_step({**pairs, "keypoints2": hidden}, context()).terms["keypoints"]

    first, second = one(1.0, 0.0), one(0.0, 1.0)
    torch.testing.assert_close(one(0.5, 1.0), (0.5 * first + second) / 1.5)  # joints count by confidence


def test_images_show_the_gaps_filled_with_each_reference(build, pairs, context):
    method = build()
    found = method.eval().illustrate(pairs, context())
    assert list(found.images)[:3] == ["target", "masked", "reference"] and len(found.images) == 6
    visible, _ = method.masks(pairs, context())
    shown = visible.view(6, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)
    torch.testing.assert_close(found.images["target"], pairs["rgb"], rtol=0, atol=1e-5)
    for name, images in found.images.items():
        if name != "reference":
            torch.testing.assert_close(images[shown], pairs["rgb"][shown], rtol=0, atol=1e-5)
    true = method.training_step(pairs, context()).terms["pixels"]
    torch.testing.assert_close(found.scalars["pixels_true_reference"], true)
    rolled = {**pairs, "rgb2": pairs["rgb2"].roll(1, 0)}
    wrong = method.training_step(rolled, context()).terms["pixels"]
    torch.testing.assert_close(found.scalars["pixels_wrong_reference"], wrong)


def test_what_is_exported_decodes_features_of_whole_images(build, pairs):
    method = build()
    exported = method.export()
    decoder, encoder = exported.modules["decoder"], exported.encoders["rgb"]
    a, b = encoder(pairs["rgb"]).tokens, encoder(pairs["rgb2"]).tokens
    everything = torch.arange(16).expand(6, -1)
    torch.testing.assert_close(decoder(a, b), decoder(a, b, everything))
    assert set(exported.encoders) == {"rgb"} and decoder(a, b).shape == (6, 16, 24)


def test_weights_of_another_run_are_taken_over_but_for_the_joints(build, pairs, tmp_path, context):
    source = build(keypoints=True)
    torch.nn.init.normal_(source.predict.bias)
    file = tmp_path / "state.safetensors"
    safetensors.torch.save_file(source.state_dict(), file)
    method = build(init="file", file=str(file))
    torch.nn.init.ones_(method.encoder.vit.norm.weight)
    facts = method.initialise()
    assert facts["weights"] == "state.safetensors" and len(facts["weights_sha256"]) == 64
    for name, value in method.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


RELEASED = (  # beginnings of names in the released weights, and in a method here
    ("patch_embed.", "encoders.rgb.model.patch_embed."),
    ("enc_blocks.", "encoders.rgb.model.blocks."),
    ("enc_norm.", "encoders.rgb.model.norm."),
    ("decoder_embed.", "decoder.embed."),
    ("mask_token", "decoder.mask_token"),
    ("dec_blocks.", "decoder.blocks."),
    ("dec_norm.", "decoder.norm."),
    ("prediction_head.", "predict."),
)


def released(method):
    """Return the state of a method under the names of the released weights of CroCo."""
    state = {}
    for name, value in method.state_dict().items():
        for theirs, ours in RELEASED:
            if name.startswith(ours):
                state[theirs + name.removeprefix(ours)] = value
    return state


def test_released_weights_are_read_or_refused(make, encoders, vit_spec, pairs, tmp_path, check_gradients):
    file = tmp_path / "CroCo.pth"

    def build(seed, **more):
        spec = {**vit_spec, "config": {**vit_spec["config"], **more}}
        cfg = CroCoBodyConfig(**SMALL, init="file", file=str(file))
        return make(CroCoBody, cfg, encoders("rgb", spec=spec), seed=seed)

    without = {"pool": "mean", "options": {"class_token": False, "global_pool": ""}}
    source, method = build(0, **without), build(1, **without)
    with pytest.raises(AssetError, match="no weights file"):
        method.initialise()
    with torch.no_grad():
        for value in source.parameters():
            value.add_(torch.rand_like(value))
    state = released(source)
    state["enc_pos_embed"], state["dec_pos_embed"] = source.encoder.table[0].detach(), torch.zeros(16, 24)
    torch.save({"model": state}, file)
    assert method.initialise()["weights_layout"] == "croco_v1"
    for name, value in source.state_dict().items():
        assert torch.equal(method.state_dict()[name], value), name
    check_gradients(method, pairs)
    with pytest.raises(AssetError, match="cls_token"):
        build(0).initialise()
    torch.save({"model": {k: v for k, v in state.items() if k != "enc_pos_embed"}}, file)  # as CroCo v2
    with pytest.raises(AssetError, match="pos_embed"):
        method.initialise()
    torch.save({"model": {**state, "spare": torch.ones(2)}}, file)
    with pytest.raises(AssetError, match="spare"):
        method.initialise()


def test_impossible_settings_and_batches_are_refused(build, make, encoders, vit_spec, pairs, context):
    for settings, said in (
        ({"mask_ratio": 0.99}, "leaves 0 of 16"),
        ({"init": "file"}, "file=PATH"),
        ({"decoder_positions": "rope100", "decoder_width": 12}, "rope100"),
    ):
        with pytest.raises(ConfigError, match=said):
            make(CroCoBody, CroCoBodyConfig(**{**SMALL, **settings}), encoders("rgb", spec=vit_spec))
    with pytest.raises(ConfigError, match="tokens"):
        make(CroCoBody, CroCoBodyConfig(**SMALL), encoders("rgb"))
    method = build()
    with pytest.raises(StepError, match="`mask` under `fields`"):
        method.training_step({k: v for k, v in pairs.items() if k != "mask"}, context())
    with pytest.raises(StepError, match=r"expected \(32, 32\)"):
        method.training_step({**pairs, "rgb": torch.rand(6, 3, 64, 64)}, context())


def planned(*overrides):
    words = Words(methods="croco_body", tasks="densepose", overrides=overrides)
    return next(step for step in expand(resolve(words)).steps if step.kind == "pretrain")


def test_a_pair_counts_as_two_images_and_kinds_of_pairs_can_be_chosen():
    step = planned("preset.pretrain.samples_seen=6400", "preset.pretrain.batch=32")
    assert step.spec["train"]["steps"] == 100 and step.spec["pairs"] == ["view", "pose"]
    assert planned("method.croco_body.stages.complete.pairs=[view]").spec["pairs"] == ["view"]
    with pytest.raises(ConfigError, match="data set coco has no pairs of kind view"):
        planned("preset.pretrain.mixes.body.dataset=coco")
