from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.adapter_kit.scaffold import write
from bench.errors import ConfigError
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
    with pytest.raises(ConfigError, match=r"skeleton:\w+: its class defines no metrics; see bench\.api"):
        ready("    metrics = ", "    metrcis = ")
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
