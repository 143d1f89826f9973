from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import ConfigError
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.grid.resources import DEFAULTS, check_resources, is_resource


def steps(*overrides: str) -> list[Step]:
    words = Words(methods="hcmoco", tasks="densepose,parsing_rgb", overrides=overrides)
    return list(expand(resolve(words)).steps)


def test_steps_ask_for_what_their_owner_says_and_keys_stay(configs: Path) -> None:
    before = [step.key for step in steps()]
    for name, resources in (("method/cmc", {"gpus": 2}), ("task/densepose", {"hours": 3.5})):
        path = configs / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "resources": resources}))
    found = steps("preset.resources.mem=7", "method.cmc.resources.gpus=4")
    assert [step.key for step in found] == before
    asked = {
        step.spec.get("name") or step.slug: (step.resources["gpus"], step.resources["hours"])
        for step in found
    }
    default = DEFAULTS["hours"]
    assert asked["cmc.contrast"] == (4, default) and asked["hcmoco.dense"] == (0, default)
    assert {v for k, v in asked.items() if "densepose" in k} == {(0, 3.5)}
    assert {v for k, v in asked.items() if "parsing" in k} == {(0, default)}
    assert {step.resources["mem"] for step in found} == {7}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"gpu": 1}, r'here: resources: unknown key "gpu"\. Did you mean "gpus"'),
        ({"gpus": 0.5}, r"here: resources\.gpus: 0\.5 is not a whole number"),
        ({"hours": 0}, r"here: resources\.hours: 0 is not a number above 0"),
        ({"mem": "16G"}, r"here: resources\.mem: '16G' is not a number"),
        ([1], "here: resources: .1. is not a section"),
    ],
)
def test_mistakes_are_named(section: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_resources(section, "here")


def test_resources_are_told_from_configs_of_that_name() -> None:
    assert is_resource("preset.resources.mem") and is_resource("method.x.resources.gpus")
    assert not is_resource("method.x.stages.y.config.resources.gpus") and not is_resource(
        "task.resources.version"
    )
