from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.adapter_kit.scaffold import write
from bench.encoders import build_encoder
from bench.errors import AssetError, ConfigError
from bench.execute.ready import check_adapters
from bench.grid.plan import expand
from bench.grid.request import Words, resolve


def test_data_that_cannot_be_are_named_before_the_first_step(small: Any) -> None:
    wrong = "+preset.pretrain.mixes.body.hide.lab_rgbd=[dpeth]"
    plan = expand(resolve(Words(methods="mae_body", tasks="parsing_rgb", overrides=(*small, wrong))))
    with pytest.raises(ConfigError) as caught:
        check_adapters(plan.steps, ())
    assert str(caught.value) == (
        'data set people: data.parts.hide: there is no "dpeth". Did you mean "depth"?'
    )


def test_a_task_without_what_it_trains_is_named_before_the_first_step(small: Any, tmp_path: Path) -> None:
    write("task", "skeleton", tmp_path)
    path, yaml = tmp_path / "skeleton.py", tmp_path / "task" / "skeleton.yaml"
    yaml.write_text(yaml.read_text().replace("probes: {}", "probes: {linear: maps, knn: pooled}"))
    code = path.read_text()

    def ready(old: str, new: str, protocol: str = "finetune") -> None:
        assert old in code
        path.write_text(code.replace(old, new))
        words = {"methods": "scratch", "tasks": "skeleton", "protocol": protocol}
        request = resolve(Words(**words, config_dirs=(str(tmp_path),), overrides=small))  # type: ignore[arg-type]
        check_adapters(expand(request).steps, (str(tmp_path),))

    ready("def head(", "def head(")
    with pytest.raises(
        ConfigError, match=r"skeleton:\w+: its class defines neither head\(\) nor network\(\)"
    ):
        ready("def head(", "def haed(")
    ready("def head(", "def head(", "knn")
    with pytest.raises(ConfigError, match=r"no probe_head\(\), which the protocol linear of its probes"):
        ready("def head(", "def head(", "knn,linear")


def test_encoders_of_all_modalities_are_checked(small: Any) -> None:
    plan = expand(resolve(Words(methods="cmc", tasks="parsing_rgb", overrides=small)))
    check_adapters(plan.steps, ())
    step = next(s for s in plan.steps if s.kind == "pretrain")
    step.spec["encoders"]["kp2d"]["config"] = {"width": "wide", "blocks": 4}
    with pytest.raises(ConfigError, match=r"semgcn\.width: 'wide' is not a whole number"):
        check_adapters([step], ())


@pytest.mark.parametrize("damage", ["NaN", "cut", "none"])
def test_damaged_numbers_of_weights_are_found_before_the_first_step(
    damage: str, small: Any, tmp_path: Path
) -> None:
    scratch = expand(resolve(Words(methods="scratch", tasks="densepose", overrides=small)))
    spec = next(s for s in scratch.steps if s.kind == "pretrain").spec["encoder"]
    state = dict(build_encoder(spec, "rgb").model.state_dict())  # type: ignore[arg-type, operator, union-attr]
    if damage == "NaN":
        state["layer1.0.conv1.weight"] = torch.full_like(state["layer1.0.conv1.weight"], float("nan"))
    file = tmp_path / "w.pth"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    if damage == "cut":  # names and shapes stand before the numbers
        file.write_bytes(file.read_bytes()[:-100])
    word = f"ours={file},encoder={spec['name']}"
    plan = expand(resolve(Words(methods="scratch", tasks="densepose", weights=(word,), overrides=small)))
    if damage == "none":
        assert check_adapters(plan.steps, ()) == []
        return
    message = {"NaN": r"layer1\.0\.conv1\.weight holds NaN", "cut": "cannot be read as weights"}[damage]
    with pytest.raises(AssetError, match=message) as caught:
        check_adapters(plan.steps, ())
    assert "\n" not in str(caught.value)
