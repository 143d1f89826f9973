import pytest
import safetensors.torch
import torch

from bench.errors import AssetError, ConfigError, StepError
from methods.published import Published, PublishedConfig


def test_colour_and_depth_encoder_get_the_same_weights(make, encoders, batch, context, tmp_path):
    source = encoders("rgb", seed=7)["rgb"].model.state_dict()
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in source.items()}, path)
    method = make(Published, PublishedConfig(file=str(path)), encoders("rgb", "depth"))
    facts = method.initialise()
    assert facts["weights"] == "w.safetensors"
    assert len(facts["weights_sha256"]) == 64
    for encoder in method.export().encoders.values():
        assert all(torch.equal(v, source[k]) for k, v in encoder.model.state_dict().items())
    with pytest.raises(StepError, match="budget_share 0"):
        method.training_step(batch, context())


def test_missing_weights_are_an_error_never_a_fallback(make, encoders, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="no published weights"):
        make(Published, PublishedConfig(), encoders("rgb")).initialise()
    with pytest.raises(AssetError, match=r"resnet50\.tv_in1k"):
        make(Published, PublishedConfig(tag="resnet50.tv_in1k"), encoders("rgb")).initialise()
    with pytest.raises(AssetError, match="no weights file"):
        make(Published, PublishedConfig(file="absent.pth"), encoders("rgb")).initialise()
