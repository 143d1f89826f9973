import pytest
import torch
import yaml

from bench.encoders import build_encoder
from bench.errors import ConfigError
from bench.grid.request import BUILT_IN

GRAPH = {"adapter": "bench.encoders.graph:SemGCN", "version": 1, "config": {"width": 16, "blocks": 1}}
NAMES = sorted(path.stem for path in (BUILT_IN / "encoder").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_encoder_is_what_its_yaml_says(name):
    import timm

    spec = yaml.safe_load((BUILT_IN / "encoder" / f"{name}.yaml").read_text())
    joints = spec["kind"] == "graph"
    modality = {"graph": "kp2d", "points": "depth"}.get(spec["kind"], "rgb")
    with torch.device("cpu" if joints else "meta"):
        encoder = build_encoder(spec, modality, "mpii16")
    assert encoder.feature_info.kind == spec["kind"]
    if spec["kind"] == "points":
        assert len(encoder.feature_info.channels) == len(encoder.feature_info.strides)
        return
    assert len(encoder.feature_info.channels) == (1 if joints else 4)
    assert len(encoder.feature_info.strides) == (0 if joints else 4)
    if spec["pretrained"] and not spec["pretrained"].startswith("pkg:"):
        published = timm.get_pretrained_cfg(spec["pretrained"])
        assert published.hf_hub_id
        assert spec["config"]["mean"] == list(published.mean)
        assert spec["config"]["std"] == list(published.std)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("hrnet_w18", (18, 36, 72, 144), 9.56),
        ("hrnet_w32", (32, 64, 128, 256), 29.3),
        ("resnet50", (256, 512, 1024, 2048), 23.5),
    ],
)
def test_published_backbones_have_their_sizes(name, channels, millions):
    spec = yaml.safe_load((BUILT_IN / "encoder" / f"{name}.yaml").read_text())
    with torch.device("meta"):
        encoder = build_encoder(spec, "rgb")
    assert encoder.feature_info.channels == channels
    assert encoder.feature_info.strides == (4, 8, 16, 32)
    assert encoder.feature_info.pooled == sum(channels)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_spec_of_an_encoder_rebuilds_it(spec):
    for modality, own in (("rgb", spec), ("depth", spec), ("kp2d", GRAPH)):
        encoder = build_encoder(own, modality, "mpii16")
        again = build_encoder(encoder.spec, modality, encoder.spec["joint_set"])
        assert again.spec == encoder.spec
        assert again.feature_info == encoder.feature_info
        assert again.state_dict().keys() == encoder.state_dict().keys()


def test_wrong_requests_are_named(spec):
    with pytest.raises(ConfigError, match="sound"):
        build_encoder(spec, "sound")
    with pytest.raises(ConfigError, match=r"widht.*width"):
        build_encoder({**GRAPH, "config": {"widht": 1}}, "kp2d", "mpii16")
    with pytest.raises(ConfigError, match=r"mpi16.*mpii16"):
        build_encoder(GRAPH, "kp2d", "mpi16")
    with pytest.raises(ConfigError, match="resnet10x"):
        build_encoder({**spec, "config": {**spec["config"], "model": "resnet10x"}}, "rgb")


def test_the_kind_of_the_yaml_is_that_of_the_encoder(monkeypatch):
    spec = {**GRAPH, "kind": "graph"}
    build_encoder(spec, "kp2d", "mpii16")
    with pytest.raises(ConfigError, match="its YAML says kind pyramid, its feature_info graph"):
        build_encoder({**spec, "kind": "pyramid"}, "kp2d", "mpii16")
    monkeypatch.setattr("bench.encoders.graph.FeatureInfo", lambda **_: None)
    with pytest.raises(ConfigError, match="its __init__ sets no feature_info"):
        build_encoder(spec, "kp2d", "mpii16")
