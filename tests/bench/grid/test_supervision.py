"""What methods use beyond colour pictures, as planned from the project's YAMLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import ConfigError
from bench.grid.plan import expand
from bench.grid.registry import BUILT_IN, load
from bench.grid.request import Words, resolve
from bench.grid.schema import check
from bench.grid.supervision import used

CMC, HIDE = "method.cmc.stages.contrast.config", "preset.pretrain.mixes.body.hide"


def uses(method: str, *overrides: str) -> str:
    request = resolve(Words(methods=method, tasks="densepose", encoders="", overrides=overrides))
    (said,) = {c.step.spec["uses"] for c in expand(request).cells if c.step}
    return str(said)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("scratch", "none"), ("mae_body", "none"), ("keypoints", "2D joints"), ("cmc", "depth, 2D joints"),
        ("hcmoco", "depth, 2D joints"),
    ],
)  # fmt: skip
def test_what_a_method_uses_follows_from_its_inputs(method: str, said: str) -> None:
    assert uses(method) == said


def test_weights_are_told_by_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    file, mae = f"file={tmp_path / 'w.pth'}", "method.mae_body.stages.pixels.config"
    assert uses("mae_body", f"{mae}.init=published", f"{mae}.{file}") == "weights of a file"
    assert uses("cmc", f"{CMC}.init=imagenet", f"{CMC}.{file}") == "depth, 2D joints, weights of a file"


def test_overrides_and_hidden_modalities_switch_it_off() -> None:
    assert uses("cmc", f"{HIDE}={{lab_rgbd: [depth]}}") == "2D joints"  # the other source has none
    assert uses("cmc", f"{HIDE}={{lab_rgbd: [kp2d], wild_rgb: [keypoints_detected]}}") == "depth"
    stage = "method.keypoints.stages.joints"
    assert uses("keypoints", f"{stage}.fields=[keypoints,mask]") == "2D joints, silhouettes"
    assert uses("keypoints", f"{stage}.uses=[skeletons]") == "2D joints, skeletons"
    body = load(BUILT_IN / "method" / "imagenet.yaml", "method")
    body["stages"]["weights"]["uses"] = {"ImageNet labels": {"filee": ""}}
    with pytest.raises(ConfigError, match=r'uses.ImageNet labels: there is no "filee".*"file"'):
        check("method", body, "here")
    with pytest.raises(ConfigError, match="uses"):
        uses("keypoints", f"{stage}.uses=[skeleton]")


def test_a_condition_decides_for_its_stage_also_against_what_is_read() -> None:
    stage = {
        "config": {"mask": "off"},
        "budget_share": 1.0,
        "encoders": {"rgb": "image"},
        "fields": ["mask", "own"],
    }
    stage |= {"mix": "body", "pairs": ["view"], "uses": {"silhouettes": {"mask": "on"}, "skeletons": {}}}
    assert used([stage], {"body": ()}) == "skeletons, view pairs, own"
    on = {**stage, "config": {"mask": "on"}}
    assert used([stage, on], {"body": ()}) == "skeletons, silhouettes, view pairs, own"
