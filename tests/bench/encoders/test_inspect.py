import pytest
import timm
import torch

from bench.encoders.inspect import inspect_weights, report
from bench.errors import AssetError, BenchError


@pytest.fixture
def file(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    content = {f"module.encoder_q.{k}": v for k, v in state.items()} | {"module.queue": torch.ones(2)}
    torch.save({"state_dict": content, "epoch": 3}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_a_file_is_told_as_it_is(file):
    found = inspect_weights(str(file))
    assert (found["layout"], found["encoder"], found["registered"]) == ("moco", "resnet18", True)
    assert (found["kind"], found["channels"]) == ("pyramid", [64, 128, 256, 512])
    dropped = ["module.encoder_q.fc.weight", "module.encoder_q.fc.bias", "module.queue"]
    assert (found["dropped by the layout"], found["of later layers"]) == (dropped, [])
    assert found["used"] == len(timm.create_model("resnet18", features_only=True).state_dict())
    text = report(found)
    assert "11.2 M" in text and "3: module.encoder_q.fc.weight" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("module.encoder_q.layer2.0.bn1.bias"),
            r"1 of \d+ weights are missing .layer2\.0\.bn1\.bias",
        ),
        (
            lambda s: s.update({"module.encoder_q.layer2.0.bn1.bias": torch.ones(7)}),
            r"has shape \(7,\), the network's",
        ),
        (
            lambda s: s.update({"module.encoder_q.layer9.x": torch.ones(7)}),
            r"no place for 1 tensors .layer9\.x",
        ),
        (
            lambda s: s.update({"module.encoder_q.bn1.bias": torch.ones(64, dtype=torch.int8)}),
            "is int8, not floating",
        ),
    ],
)
def test_what_does_not_fit_is_named_without_reading_numbers(file, change, message):
    content = torch.load(file, weights_only=True)
    change(content["state_dict"])
    torch.save(content, file)
    with pytest.raises(AssetError, match=message):
        inspect_weights(str(file))


def test_a_layout_without_a_normalisation_leaves_the_encoders(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "w.pth")
    found = inspect_weights(str(tmp_path / "w.pth"))
    assert (found["mean"], found["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_the_grid_of_a_position_table_can_be_told(tmp_path):
    state = timm.create_model("vit_tiny_patch16_224", img_size=(256, 192)).state_dict()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(AssetError, match="no square"):
        inspect_weights(str(tmp_path / "w.pth"))
    assert inspect_weights(str(tmp_path / "w.pth"), grid="16x12")["encoder"] == "vit_tiny_p16_256x192"


def test_other_words_are_understood(file):
    with pytest.raises(BenchError, match="unknown encoder"):
        inspect_weights(str(file), encoder="resnet")
    with pytest.raises(AssetError, match="missing"):
        inspect_weights(str(file), encoder="resnet50")
    assert inspect_weights(str(file), encoder="timm:resnet18", layout="moco")["encoder"] == "resnet18"
