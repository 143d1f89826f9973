import os
import pickle

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch

from bench.encoders import build_encoder
from bench.encoders.pretrained import load_pretrained
from bench.errors import AssetError, ConfigError
from bench.files import sha256_file


def weights_of(encoder):
    return {k: v.clone().contiguous() for k, v in encoder.model.state_dict().items()}


@pytest.fixture
def source(spec):
    return build_encoder(spec, "rgb")


@pytest.mark.parametrize("form", ["safetensors", "pth", "wrapped"])
def test_file_fills_every_weight_and_ignores_the_classifier(spec, source, form, tmp_path):
    state = {**weights_of(source), "head.weight": torch.ones(3), "fc.bias": torch.ones(2)}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        wrapped = {"epoch": torch.tensor(3), "model": {f"module.{k}": v for k, v in state.items()}}
        torch.save(wrapped if form == "wrapped" else state, path)
    encoder = build_encoder(spec, "depth")
    facts = load_pretrained(encoder, None, str(path))
    assert facts == {"weights": path.name, "weights_sha256": sha256_file(path)}
    loaded = encoder.model.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in source.model.state_dict().items())


def test_incomplete_or_wrong_weights_change_nothing(spec, source, tmp_path):
    encoder = build_encoder(spec, "rgb")
    before = weights_of(encoder)
    state = weights_of(source)
    name = next(k for k in state if k.endswith("weight"))
    safetensors.torch.save_file({k: v for k, v in state.items() if k != name}, tmp_path / "a.safetensors")
    with pytest.raises(AssetError, match=f"1 of .* missing .{name}"):
        load_pretrained(encoder, None, str(tmp_path / "a.safetensors"))
    assert all(torch.equal(v, before[k]) for k, v in encoder.model.state_dict().items())
    safetensors.torch.save_file({**state, name: torch.ones(1, 2)}, tmp_path / "b.safetensors")
    with pytest.raises(AssetError, match="does not fit"):
        load_pretrained(encoder, None, str(tmp_path / "b.safetensors"))


def test_code_in_a_pickle_is_not_run(pyramid_spec, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": Bomb()}, protocol=2))
    with pytest.raises(AssetError, match="safetensors"):
        load_pretrained(build_encoder(pyramid_spec, "rgb"), None, str(tmp_path / "w.pth"))
    assert not (tmp_path / "ran").exists()


def test_cache_is_used_and_its_absence_explained(pyramid_spec, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    encoder, source = (build_encoder(pyramid_spec, "rgb") for _ in range(2))
    with pytest.raises(AssetError, match=r"resnet18\.tv_in1k .*hf download timm/resnet18\.tv_in1k .* `file`"):
        load_pretrained(encoder, "resnet18.tv_in1k")
    folder = tmp_path / "models--timm--resnet18.tv_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    path = folder / "snapshots" / "abc" / "model.safetensors"
    safetensors.torch.save_file(weights_of(source), path)
    facts = load_pretrained(encoder, "resnet18.tv_in1k")
    assert facts == {"weights": "resnet18.tv_in1k", "weights_sha256": sha256_file(path)}
    assert torch.equal(
        encoder.state_dict()["model.conv1.0.weight"], source.state_dict()["model.conv1.0.weight"]
    )


def test_unknown_sources_are_named(pyramid_spec):
    encoder = build_encoder(pyramid_spec, "rgb")
    with pytest.raises(ConfigError, match="no published weights"):
        load_pretrained(encoder, None)
    with pytest.raises(ConfigError, match="nonsense"):
        load_pretrained(encoder, "resnet18.nonsense")
    with pytest.raises(AssetError, match="no weights file"):
        load_pretrained(encoder, None, "absent.safetensors")


def test_position_table_is_resized(vit_spec, tmp_path):
    large = {**vit_spec, "config": {**vit_spec["config"], "image_size": 64}}
    source = build_encoder(large, "rgb")
    safetensors.torch.save_file(weights_of(source), tmp_path / "w.safetensors")
    encoder = build_encoder(vit_spec, "rgb")
    load_pretrained(encoder, None, str(tmp_path / "w.safetensors"))
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(encoder(x).tokens, source(x).tokens)
