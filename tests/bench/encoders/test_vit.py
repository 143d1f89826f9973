import pytest
import timm
import torch

from bench.encoders import build_encoder
from bench.encoders.positions import sincos_positions
from bench.errors import ConfigError


def test_shapes_and_agreement_with_timm(vit_spec, colour):
    encoder = build_encoder(vit_spec, "rgb").eval()
    features = encoder(colour)
    assert [tuple(m.shape) for m in features.maps] == [(2, 32, 4, 4)] * 2
    assert encoder.feature_info.strides == (8, 8)
    expected = encoder.model.forward_features(encoder.preprocess(colour))[:, 1:]
    torch.testing.assert_close(features.tokens, expected)
    torch.testing.assert_close(features.maps[-1].flatten(2).mT, features.tokens)
    torch.testing.assert_close(features.pooled, expected.mean(1))
    hooked = encoder.model.get_intermediate_layers(encoder.preprocess(colour), n=[0], norm=True, reshape=True)
    torch.testing.assert_close(features.maps[0], hooked[0])


def test_visible_patches_alone_decide(vit_spec, colour):
    encoder = build_encoder(vit_spec, "rgb").eval()
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(encoder.encode_visible(colour, everything)[:, 1:], encoder(colour).tokens)
    keep = torch.tensor([[3, 0, 9], [15, 4, 5]])
    before = encoder.encode_visible(colour, keep)
    assert before.shape == (2, 4, 32)
    changed = torch.rand_like(colour)
    for i, kept in enumerate(keep):
        for patch in kept.tolist():
            where = (
                slice(8 * (patch // 4), 8 * (patch // 4) + 8),
                slice(8 * (patch % 4), 8 * (patch % 4) + 8),
            )
            changed[i, :, *where] = colour[i, :, *where]
    assert torch.equal(encoder.encode_visible(changed, keep), before)


def test_positions_are_fixed_and_resized_for_other_images(vit_spec):
    encoder = build_encoder(vit_spec, "rgb").eval()
    assert torch.equal(encoder.model.pos_embed, sincos_positions(4, 4, 32))
    assert not encoder.model.pos_embed.requires_grad
    larger = torch.rand(1, 3, 48, 64)
    features = encoder(larger)
    assert features.maps[0].shape == (1, 32, 6, 8)
    expected = encoder.model.forward_features(encoder.preprocess(larger))[:, 1:]
    torch.testing.assert_close(features.tokens, expected)


def test_weights_start_as_in_mae(vit_spec):
    model = build_encoder(vit_spec, "rgb").model
    bound = (6 / (32 + 96)) ** 0.5
    assert 0.9 * bound < model.blocks[0].attn.qkv.weight.abs().max() <= bound
    assert 0.9 < model.patch_embed.proj.weight.abs().max() / (6 / (3 * 64 + 32)) ** 0.5 <= 1
    assert torch.equal(model.blocks[0].mlp.fc1.bias, torch.zeros(128))


def test_vit_b_is_that_of_timm():
    with torch.device("meta"):
        encoder = build_encoder({"adapter": "bench.encoders.vit:ViT", "version": 1, "config": {}}, "rgb")
        reference = timm.create_model("vit_base_patch16_224", num_classes=0)
    shapes = {k: v.shape for k, v in encoder.model.state_dict().items()}
    assert shapes == {k: v.shape for k, v in reference.state_dict().items()}


@pytest.mark.parametrize(
    "change", [{"patch": 7}, {"heads": 5}, {"out_indices": [3]}, {"out_indices": [2, 0]}, {"out_indices": []}]
)
def test_sizes_that_do_not_fit_are_refused(vit_spec, change):
    with pytest.raises(ConfigError, match="ViT"):
        build_encoder({**vit_spec, "config": {**vit_spec["config"], **change}}, "rgb")
