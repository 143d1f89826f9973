import pytest
import safetensors.torch
import torch

from bench.api import DataInfo, Draws
from bench.encoders.positions import sincos_positions
from bench.errors import ConfigError, StepError
from bench.losses.reconstruction import normalised_patches, patch_loss, patchify
from methods.mae_body import MAEBody, MAEBodyConfig, draw_mask

SMALL = {"decoder_width": 24, "decoder_blocks": 1, "decoder_heads": 2}


@pytest.fixture
def mae(make, encoders, vit_spec):
    return make(MAEBody, MAEBodyConfig(**SMALL), encoders("rgb", spec=vit_spec))


def test_a_quarter_of_196_patches_is_visible():
    keep, hidden = draw_mask(50, 196, 49, Draws(generator=torch.Generator().manual_seed(0)))
    assert keep.shape == (50, 49)
    assert (hidden.sum(1) == 147).all()
    for kept, mask in zip(keep, hidden, strict=True):
        both = torch.cat([kept, mask.nonzero().flatten()])
        assert torch.equal(both.sort().values, torch.arange(196))
    assert 0.5 < hidden.float().mean(0).min() <= hidden.float().mean(0).max() <= 1


def test_paper_sizes():
    from bench.encoders import build_encoder

    with torch.device("meta"):
        encoder = build_encoder({"adapter": "bench.encoders.vit:ViT", "version": 1, "config": {}}, "rgb")
        method = MAEBody(
            MAEBodyConfig(), {"rgb": encoder}, DataInfo(n_samples=1, size=(224, 224), joint_set="mpii16")
        )
    assert method.n_visible == 49
    assert sum(p.numel() for p in method.decoder.blocks.parameters()) / 1e6 == pytest.approx(25.2, abs=0.05)
    assert method.decoder.predict.out_features == 768
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(85.8, abs=0.1)


def test_loss_is_that_of_hidden_patches(mae, batch, context, check_gradients):
    out = check_gradients(mae, batch)
    keep, hidden = draw_mask(6, 16, 4, context().draws)
    encoder = mae.encoders["rgb"]
    predicted = mae.decoder(encoder.encode_visible(batch["rgb"], keep), keep)
    target = normalised_patches(patchify(encoder.preprocess(batch["rgb"]), 8))
    torch.testing.assert_close(out.terms["pixels"], patch_loss(predicted, target, hidden))
    assert 0.9 < out.terms["pixels"] < 3


def test_loss_is_float32_under_autocast(mae, batch, check_gradients):
    exact = check_gradients(mae, batch).terms["pixels"].item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = check_gradients(mae, batch).terms["pixels"].item()
    assert rounded == pytest.approx(exact, rel=0.05)


def test_decoder_sees_visible_patches_at_their_places(mae):
    decoder = mae.decoder
    assert torch.equal(decoder.positions, sincos_positions(4, 4, 24))
    seen = []
    decoder.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoded, keep = torch.randn(2, 4, 32), torch.tensor([[5, 0, 11], [2, 3, 15]])
    assert decoder(encoded, keep).shape == (2, 16, 192)
    tokens = seen[0] - decoder.positions
    embedded = decoder.embed(encoded)
    torch.testing.assert_close(tokens[:, 0], embedded[:, 0])
    for i in range(2):
        torch.testing.assert_close(tokens[i, 1 + keep[i]], embedded[i, 1:])
    torch.testing.assert_close(tokens[0, 2], decoder.mask_token[0, 0])


def test_hidden_pixels_never_reach_the_encoder(mae, batch, context):
    mae.eval()
    _, hidden = draw_mask(6, 16, 4, context().draws)
    seen = []
    mae.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    changed = batch["rgb"].clone()
    mask = hidden.view(6, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)
    changed[mask] = torch.rand(int(mask.sum()))
    for rgb in (batch["rgb"], changed):
        mae.training_step({**batch, "rgb": rgb}, context())
    assert torch.equal(seen[0], seen[1])


def test_training_lowers_the_loss(mae, batch, context):
    optimizer = torch.optim.AdamW(mae.parameters(), lr=3e-3)
    smooth = torch.linspace(0, 1, 32).view(1, 1, 1, 32) * torch.linspace(0.2, 1, 6).view(6, 1, 1, 1)
    smooth = smooth.expand(6, 3, 32, 32)
    losses = []
    for step in range(40):
        loss = mae.training_step({**batch, "rgb": smooth}, context(step)).terms["pixels"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6


def test_only_matrices_decay(mae):
    named = dict(mae.named_parameters())
    kept = {n for n, p in named.items() if mae.group(n, p)}
    assert "decoder.norm.weight" in kept
    assert "decoder.embed.bias" in kept
    assert "decoder.embed.weight" not in kept


def test_resume_is_exact(make, encoders, check_resume, vit_spec):
    build = lambda: make(MAEBody, MAEBodyConfig(**SMALL), encoders("rgb", spec=vit_spec))  # noqa: E731
    check_resume(build, torch.optim.AdamW, lr=1e-3)


def test_published_weights_fill_the_encoder_alone(make, encoders, vit_spec, tmp_path):
    source = encoders("rgb", spec=vit_spec, seed=5)["rgb"]
    state = {k: v.contiguous() for k, v in source.model.state_dict().items()}
    safetensors.torch.save_file(
        {**state, "decoder_embed.weight": torch.ones(2)}, tmp_path / "mae.safetensors"
    )
    cfg = MAEBodyConfig(**SMALL, init="published", file=str(tmp_path / "mae.safetensors"))
    method = make(MAEBody, cfg, encoders("rgb", spec=vit_spec))
    assert method.initialise()["weights"] == "mae.safetensors"
    loaded = method.encoders["rgb"].model.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in state.items())


def test_unusable_encoders_and_sizes_are_refused(make, encoders, mae, batch, context, vit_spec):
    with pytest.raises(ConfigError, match="tokens"):
        make(MAEBody, MAEBodyConfig(**SMALL), encoders("rgb"))
    with pytest.raises(ConfigError, match="mask_ratio"):
        make(MAEBody, MAEBodyConfig(**SMALL, mask_ratio=0.99), encoders("rgb", spec=vit_spec))
    with pytest.raises(ConfigError, match="36"):
        odd = DataInfo(n_samples=1, size=(36, 36), joint_set="mpii16")
        make(MAEBody, MAEBodyConfig(**SMALL), encoders("rgb", spec=vit_spec), data=odd)
    with pytest.raises(StepError, match=r"expected \(32, 32\)"):
        mae.training_step({**batch, "rgb": torch.rand(2, 3, 64, 64)}, context())
