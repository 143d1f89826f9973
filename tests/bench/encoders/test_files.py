import json

import pytest
import safetensors.torch
import timm
import torch

from bench.encoders import build_encoder, load_encoder, save_encoder
from bench.encoders.image import centre_depth
from bench.errors import DataError


@pytest.mark.parametrize("modality", ["rgb", "depth", "kp2d"])
def test_round_trip(spec, modality, colour, depth, tmp_path):
    graph = {"adapter": "bench.encoders.graph:SemGCN", "version": 1, "config": {"width": 16, "blocks": 1}}
    encoder = build_encoder(graph if modality == "kp2d" else spec, modality, "mpii16")
    x = {"rgb": colour, "depth": depth, "kp2d": torch.randn(2, 16, 2)}[modality]
    encoder(x)  # moves the statistics of batch norm
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert again.spec == encoder.spec
    assert torch.equal(again.eval()(x).pooled, encoder.eval()(x).pooled)


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_timm_alone_gives_the_same_features(spec, modality, colour, depth, tmp_path):
    encoder = build_encoder(spec, modality)
    encoder({"rgb": colour, "depth": depth}[modality])
    save_encoder(encoder, tmp_path)

    card = json.loads((tmp_path / "encoder.json").read_text())
    model = timm.create_model(card["timm"]["name"], **card["timm"]["options"])
    weights = safetensors.torch.load_file(tmp_path / "encoder.safetensors")
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    model.eval()
    encoder.eval()

    if modality == "rgb":
        mean, std = (torch.tensor(card["inputs"][k]).view(3, 1, 1) for k in ("mean", "std"))
        x, features = (colour - mean) / std, encoder(colour)
    else:
        x, features = centre_depth(depth).repeat(1, 3, 1, 1), encoder(depth)
    if encoder.feature_info.kind == "pyramid":
        for a, b in zip(model(x), features.maps, strict=True):
            torch.testing.assert_close(a, b)
    else:
        torch.testing.assert_close(model.forward_features(x)[:, 1:], features.tokens)


def test_colour_weights_can_read_depth(spec, depth, tmp_path):
    encoder = build_encoder(spec, "rgb").eval()
    save_encoder(encoder, tmp_path)
    reader = load_encoder(tmp_path, modality="depth").eval()
    assert reader.spec["modality"] == "depth"
    direct = build_encoder(spec, "depth").eval()
    direct.load_state_dict(encoder.state_dict())
    assert torch.equal(reader(depth).pooled, direct(depth).pooled)


def test_damage_is_noticed(spec, tmp_path):
    with pytest.raises(DataError, match="no encoder"):
        load_encoder(tmp_path)
    save_encoder(build_encoder(spec, "rgb"), tmp_path)
    weights = tmp_path / "encoder.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match="differs"):
        load_encoder(tmp_path)
    (tmp_path / "encoder.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        load_encoder(tmp_path)
    (tmp_path / "encoder.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="format 99"):
        load_encoder(tmp_path)
