import dataclasses

import pytest
import yaml

from bench.adapters.loading import build_config, load_adapter
from bench.grid.request import BUILT_IN

NAMES = sorted(path.stem for path in (BUILT_IN / "method").glob("*.yaml"))


def load(name):
    return yaml.safe_load((BUILT_IN / "method" / f"{name}.yaml").read_text())


def stages(name):
    for stage in load(name)["stages"].values():
        if "use" in stage:
            other, _, used = stage["use"].partition(".")
            yield load(other)["stages"][used]
        else:
            yield stage


@pytest.mark.parametrize("name", NAMES)
def test_yaml_and_code_agree(name):
    """Values that stand in both are the same; shares of the budget add up."""
    shares = 0.0
    own = "published" not in next(stages(name))["adapter"]  # else one class, many YAMLs
    for stage in stages(name):
        schema = load_adapter(stage["adapter"]).Config
        assert set(stage["config"]) == {f.name for f in dataclasses.fields(schema)}
        assert not own or build_config(schema, stage["config"], name) == schema()
        shares += stage["budget_share"]
    assert shares in (0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_numbers(name):
    for stage in stages(name):
        for key in ("lr", "weight_decay", "warmup", "clip"):
            assert isinstance(stage.get("train", {}).get(key, 0.0), float)


def test_both_methods_share_their_first_stage_and_their_budget():
    cmc, hcmoco = load("cmc")["stages"], load("hcmoco")["stages"]
    assert cmc["contrast"] == cmc["contrast_2"]
    assert hcmoco["contrast"] == {"use": "cmc.contrast"}
    assert cmc["contrast_2"]["train"] == hcmoco["dense"]["train"]
    assert cmc["contrast_2"]["budget_share"] == hcmoco["dense"]["budget_share"]


@pytest.mark.parametrize(
    ("hand", "body"),
    [("croco_hand", "croco_body"), ("mae_hand", "mae_body"), ("keypoints_hand", "keypoints")],
)
def test_hand_methods_are_body_methods_with_other_pictures(hand, body):
    own, other = load(hand), load(body)
    assert (own.pop("mix"), other.pop("mix")) == ("hand", "body")
    assert own.pop("summary") != other.pop("summary")
    assert own == other
