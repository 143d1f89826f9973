from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import ConfigError
from bench.grid.plan import expand
from bench.grid.request import (
    Words,
    from_json,
    parse_budgets,
    parse_protocols,
    parse_rates,
    parse_seeds,
    resolve,
    to_json,
)

ONE = Words(methods="cmc", tasks="densepose")


def edit(path: Path, change: Callable[[Any], object]) -> None:
    body = yaml.safe_load(path.read_text())
    change(body)
    path.write_text(yaml.safe_dump(body, sort_keys=False))


@pytest.mark.parametrize(
    ("fractions", "shots", "wanted"),
    [
        ("", "", ("fraction=1",)),
        ("0.1, 1.0,1", "", ("fraction=1/10", "fraction=1")),
        ("1/3,1e-2,0.10,.1", "", ("fraction=1/3", "fraction=1/100", "fraction=1/10")),
        ("", "16,032", ("shots=16", "shots=32")),
        ("1", "4", ("fraction=1", "shots=4")),
    ],
)
def test_budgets_have_one_spelling(fractions: str, shots: str, wanted: tuple[str, ...]) -> None:
    assert parse_budgets(fractions, shots) == wanted


@pytest.mark.parametrize(
    ("fractions", "shots", "message"),
    [
        ("0", "", r"0 is outside \(0, 1\]"),
        ("1.5", "", "1.5 is outside"),
        ("-0.1", "", "outside"),
        ("abc", "", '"abc" is not a number'),
        ("nan", "", '"nan" is not a number'),
        ("inf", "", '"inf" is not a number'),
        ("1/0", "", '"1/0" is not a number'),
        ("", "0", "whole number of at least 1"),
        ("", "1.5", "whole number"),
        ("", "²", "whole number"),
    ],
)
def test_budgets_out_of_range(fractions: str, shots: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_budgets(fractions, shots)


def test_seeds() -> None:
    assert parse_seeds("3x") == (0, 1, 2) and parse_seeds(" 2, 0,2") == (2, 0)
    for bad in ("0x", "", "x", "1-3", "-1", "1,", "1.0"):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(bad)


def test_protocols(configs: Path) -> None:
    assert parse_protocols("linear, finetune,linear") == ("linear", "finetune")
    with pytest.raises(ConfigError, match=r'--protocol: unknown "liner".*Did you mean "linear"'):
        resolve(dataclasses.replace(ONE, protocol="finetune,liner"))
    with pytest.raises(ConfigError, match="--protocol: names none; choose from finetune, linear,"):
        parse_protocols(" ,")
    edit(configs / "task/densepose.yaml", lambda b: b.update(probes={"linear": "maps"}))
    (cell,) = expand(resolve(dataclasses.replace(ONE, protocol="linear"))).cells
    assert cell.step is None and "preset tiny has no section probe" in cell.reason
    edit(configs / "task/densepose.yaml", lambda b: b.update(probes={"linea": "maps"}))
    with pytest.raises(
        ConfigError, match=r'densepose\.yaml: probes: unknown protocol "linea".*Did you mean "linear"'
    ):
        resolve(ONE)
    edit(
        configs / "task/densepose.yaml",
        lambda b: b.update(probes={"linear": "maps"}, inputs=["rgb", "depth"]),
    )
    with pytest.raises(ConfigError, match="frozen protocols read one encoder, inputs names several"):
        resolve(dataclasses.replace(ONE, protocol="linear"))


def test_rates(configs: Path) -> None:
    assert parse_rates("1e-2, 1e-3,0.01") == (1e-3, 1e-2) and parse_rates("") == ()
    for bad in ("0,1", "a,1", "-1,1", "inf,1", "nan,1"):
        with pytest.raises(ConfigError, match=r"--rates: .* is no number above 0"):
            parse_rates(bad)
    with pytest.raises(ConfigError, match=r"--rates: 0\.1 leaves no choice"):
        resolve(dataclasses.replace(ONE, rates="0.1"))
    with pytest.raises(ConfigError, match="--rates: only fine-tuning reads them"):
        resolve(dataclasses.replace(ONE, rates="0.1,0.2", protocol="linear"))


def test_a_request_holds_what_was_asked_for_in_that_order(configs: Path) -> None:
    found = resolve(
        Words(methods="scratch,hcmoco", tasks="parsing*,densepose", fractions="1,0.1", seeds="2x")
    )
    assert list(found.methods) == ["scratch", "hcmoco"]  # not cmc, though a stage of it is used
    assert list(found.tasks) == ["parsing_depth", "parsing_rgb", "densepose"]
    assert found.budgets == ("fraction=1", "fraction=1/10") and found.seeds == (0, 1)
    stages = found.methods["hcmoco"]["stages"]
    assert [(n, s["name"]) for n, s in stages.items()] == [
        ("first", "cmc.contrast"),
        ("dense", "hcmoco.dense"),
    ]
    assert (
        stages["first"]["encoders"] == {"rgb": "image", "depth": "image"}
        and stages["first"]["train"]["lr"] == 0.03
    )
    assert found.default_encoders == {"scratch": ("cnn",), "hcmoco": ("cnn",)}
    assert found.preset["name"] == "tiny"
    cells = expand(found).cells
    assert {(c.method, c.encoder) for c in cells} == {("scratch", "cnn"), ("hcmoco", "cnn")}


def test_a_task_on_its_usual_data_set_is_the_task_itself(configs: Path) -> None:
    body = yaml.safe_load((configs / "dataset/people.yaml").read_text())
    (configs / "dataset/crowd.yaml").write_text(yaml.safe_dump({**body, "default": "street"}))
    found = resolve(Words(methods="cmc", tasks="densepose@people,densepose,parsing_rgb@*"))
    assert list(found.tasks) == ["densepose", "parsing_rgb@crowd", "parsing_rgb"]
    assert found.tasks["parsing_rgb@crowd"]["source_name"] == "street"
    plan = expand(found)
    labels = {s.spec["task"] for s in plan.steps if s.kind == "finetune"}
    assert labels == {"densepose", "parsing_rgb"} and len(plan.cells) == 3
    assert plan.cells[0].step is not None
    assert [plan.cells[0].step.key] == keys()


def test_one_modality_can_have_an_encoder_of_its_own(configs: Path) -> None:
    body = yaml.safe_load((configs / "encoder/cnn.yaml").read_text())
    (configs / "encoder/wide.yaml").write_text(yaml.safe_dump({**body, "config": {"width": 16}}))
    found = resolve(dataclasses.replace(ONE, methods="cmc,scratch", encoders="cnn,depth=wide"))
    assert found.chosen_encoders == ("cnn",)  # an axis of the grid; the other is not
    assert found.methods["cmc"]["stages"]["again"]["encoders"] == {"rgb": "image", "depth": "wide"}
    assert found.methods["scratch"]["stages"]["weights"]["encoders"] == {"rgb": "image"}
    (spec, *_) = (s.spec for s in expand(found).steps if s.kind == "pretrain")
    assert spec["encoders"]["depth"]["config"] == {"width": 16}


def test_points_are_for_depth_alone_and_labels_tell_them() -> None:
    words = Words(methods="hcmoco,mmv", encoders="resnet10_w24,depth=pointnet2_small", tasks="parsing_depth")
    steps = expand(resolve(words)).steps
    pretraining = {s.spec["name"]: s.spec["encoders"] for s in steps if s.kind == "pretrain"}
    assert set(pretraining) == {"cmc.contrast", "hcmoco.dense", "mmv.contrast"}
    assert all(own["depth"]["kind"] == "points" for own in pretraining.values())
    labels = {s.spec["method"]: s.spec["variant"] for s in steps if s.kind == "finetune"}
    assert labels == dict.fromkeys(("hcmoco", "mmv"), "encoders.depth=pointnet2_small")
    for encoders in ("pointnet2_small,rgb=pointnet2_small", "rgb=pointnet2_small"):
        with pytest.raises(ConfigError, match="takes pyramid or tokens encoders for rgb"):
            resolve(dataclasses.replace(words, encoders=encoders))


def test_what_the_shipped_methods_do_not_give() -> None:
    words = Words(methods="mae_body,keypoints,scratch,cmc,hcmoco", tasks="parsing_missing,parsing_depth")
    reasons = {(c.method, c.task): c.reason for c in expand(resolve(words)).cells if c.reason}
    assert reasons == {
        (name, "parsing_missing"): f"parsing_missing needs depth, which {name} does not give"
        for name in ("mae_body", "keypoints")
    }


def test_reused_stages_are_trained_once(configs: Path) -> None:
    plan = expand(resolve(Words(methods="hcmoco,cmc", tasks="densepose")))
    assert [s.spec["name"] for s in plan.steps if s.kind == "pretrain"] == [
        "cmc.contrast", "hcmoco.dense", "cmc.again",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"methods": "hcmco"}, r'unknown method "hcmco"\. Did you mean "hcmoco"\?'),
        ({"tasks": "denspose"}, r'unknown task "denspose"\. Did you mean "densepose"\?'),
        ({"encoders": "resnet"}, r'unknown encoder "resnet"\. Known: cnn, vit'),
        ({"preset": "tinny"}, r'--preset: unknown "tinny"\. Did you mean "tiny"\?'),
        ({"track": "publish"}, r'--track: unknown "publish"\. Did you mean "published"\?'),
        ({"mode": "strct"}, r'--mode: unknown "strct"\. Did you mean "strict"\?'),
        ({"track": "published"}, "use --track controlled"),
        ({"mode": "parity"}, "none of the tasks"),
        ({"config_dirs": ("/nowhere",)}, "--config-dir /nowhere: no such folder"),
        ({"overrides": ("preset.sizee=3",)}, r'Did you mean "preset\.size"\?'),
        (
            {"overrides": ("method.scratch.stages.weights.config.x=3",)},
            "method scratch is not part of this grid",
        ),
        (
            {"overrides": ("preset.finetune.batch=0",)},
            "preset tiny: finetune.batch: 0 is not a whole number of",
        ),
        ({"overrides": ("preset.pretrain.seeds=two",)}, r'pretrain\.seeds: unknown "two"\. Known: each, one'),
        (
            {"overrides": ("preset.finetune.schedule=poli",)},
            r'schedule: unknown "poli"\. Did you mean "poly"',
        ),
        ({"overrides": ("preset.encoders.pyramid=cnm",)}, r'unknown encoder "cnm"\. Did you mean "cnn"'),
        (
            {"overrides": ("preset.pretrain.mixes.body.dataset=peple",)},
            r'unknown dataset "peple"\. Did you mean "people"',
        ),
        ({"tasks": "densepose@peple"}, r'unknown dataset "peple"\. Did you mean "people"'),
        ({"encoders": "dept=cnn"}, r'unknown modality "dept"\. Did you mean "depth"'),
        ({"encoders": "depth=cnm"}, r'unknown encoder "cnm"\. Did you mean "cnn"'),
        ({"encoders": "kp2d=cnn"}, "kp2d=cnn: no method of this grid has an encoder of kp2d"),
        ({"encoders": "depth=vit"}, "depth=vit: cmc takes pyramid encoders for depth; vit is of kind tokens"),
        (
            {"tasks": "densepose@people,densepos@people"},
            r'unknown task "densepos"\. Did you mean "densepose"',
        ),
        (
            {"overrides": ("+preset.pretrain.mixes.body.hide.lap=[depth]",)},
            r'mixes\.body\.hide: the mix has no source "lap"\. Did you mean "lab"',
        ),
        ({"overrides": ("preset.pretrain.mixes.body.samples.lab=7",)}, "7 samples do not fill a batch of 8"),
        (
            {"overrides": ("preset.pretrain.mixes.body.samples.lab=-7",)},
            r"samples\.lab: -7 is not a whole number of at least 0",
        ),
        ({"overrides": ("~preset.finetune.lr.pyramid",)}, "finetune.lr has no rate for pyramid encoders"),
        ({"overrides": ("preset.finetune.lr.pyramid=0",)}, r"lr\.pyramid: 0\.0 is not a number above 0"),
        ({"overrides": ("method.cmc.stages.contrast.train.optimizer=adamm",)}, r'unknown "adamm"'),
        ({"overrides": ("preset.finetune.warmup=2",)}, r"warmup: 2\.0 is not a number of at most 1"),
        ({"overrides": ("preset.finetune.betas=[0.9]",)}, r"betas: \[0\.9\] is not a list of 2 values"),
        ({"overrides": ("preset.finetune.betas=[0.9,1]",)}, r"betas: 1\.0 is not a number below 1"),
        ({"overrides": ("preset.finetune.clip=-1",)}, r"clip: -1\.0 is not a number of at least 0"),
        (
            {"overrides": ("method.cmc.stages.contrast.augment.zoom=[1.25,0.75]",)},
            r"method cmc: stages\.contrast\.augment: zoom: \[1\.25, 0\.75\] is not a range",
        ),
        ({"overrides": ("+preset.finetune.warm=1",)}, r'unknown key "warm"\. Did you mean "warmup"'),
        ({"overrides": ("+preset.sizee=1",)}, r'unknown key "sizee"\. Did you mean "size"'),
        ({"overrides": ("+task.densepose.augment.flop=true",)}, r'unknown key "flop"\. Did you mean "flip"'),
        ({"overrides": ("preset.size=8",)}, r"size: 8 is not a whole number of at least 16"),
        ({"seeds": "1000000x"}, "asks for more than 1000 seeds"),
    ],
)
def test_mistakes_are_one_line_with_the_nearest_name(
    words: dict[str, Any], message: str, configs: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(dataclasses.replace(ONE, **words))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("method/cmc", lambda b: b.pop("encoder_kinds"), r'cmc\.yaml: "encoder_kinds" is missing'),
        ("method/cmc", lambda b: b.update(mix="hands"), 'no mix "hands"'),
        (
            "method/cmc",
            lambda b: b.update(gives=[]),
            r"gives: \[\] is too short; at least 1 needed",
        ),
        ("method/cmc", lambda b: b.update(stages={}), r"stages: \{\} is too short; at least 1 needed"),
        ("method/cmc", lambda b: b["stages"].update(again=3), r"stages\.again: 3 is not a section"),
        ("method/cmc", lambda b: b["stages"]["again"].pop("train"), r'stages\.\w+: "train" is missing'),
        (
            "method/cmc",
            lambda b: b["stages"]["again"]["train"].pop("clip"),
            r'\.train: "clip" is missing',
        ),
        ("method/cmc", lambda b: b["stages"]["again"].update(version="1"), "version: '1' is not a whole"),
        ("method/cmc", lambda b: b["stages"].update(again={"use": "mea.x"}), r'unknown method "mea"'),
        (
            "method/cmc",
            lambda b: b["stages"].update(again={"use": "hcmoco.dence"}),
            r'no stage "dence".*"dense"',
        ),
        ("method/cmc", lambda b: b["stages"].update(again={"use": "cmc.again"}), "reuses itself"),
        ("method/cmc", lambda b: b["stages"].update(contrast={"use": "hcmoco.first"}), "reuses itself"),
        (
            "method/cmc",
            lambda b: b["stages"].update(again={"use": "cmc.contrast", "budget_share": 1}),
            "no other keys",
        ),
        (
            "task/densepose",
            lambda b: b["data"].update(people={"sorce": "x"}),
            r'densepose\.yaml: data\.people: unknown key "sorce"\. Did you mean "source"',
        ),
        ("task/densepose", lambda b: b.update(inputs=["audio"]), 'inputs: unknown "audio"'),
        ("encoder/cnn", lambda b: b.update(kind=""), r"cnn\.yaml: kind: "),
        ("dataset/people", lambda b: b.pop("version"), r'people\.yaml: "version" is missing'),
        ("preset/tiny", lambda b: b["preset"].pop("finetune"), r'tiny\.yaml: "finetune" is missing'),
        (
            "task/densepose",
            lambda b: b.update(minimum_efect=1),
            r'"minimum_efect"\. Did you mean "minimum_eff',
        ),
        ("method/cmc", lambda b: b.update(stage={}), r'unknown key "stage"\. Did you mean "stages"'),
        (
            "method/cmc",
            lambda b: b["stages"]["again"].update(budget_shere=1),
            r'stages\.\w+: unknown key "budget_shere"\. Did you mean "budget_share"',
        ),
        ("encoder/vit", lambda b: b.update(pretraind="x"), r'Did you mean "pretrained"'),
        (
            "preset/tiny",
            lambda b: b["preset"]["pretrain"].update(sample_seen=1),
            r'"sample_seen"\. Did you mean "samples_seen"',
        ),
        ("preset/tiny", lambda b: b["preset"].update(precision="16"), r'precision: unknown "16"'),
    ],
)
def test_wrong_yamls_are_named(
    name: str, change: Callable[[Any], object], message: str, configs: Path
) -> None:
    edit(configs / f"{name}.yaml", change)
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(Words(methods="cmc,hcmoco", tasks="densepose"))
    assert "\n" not in str(caught.value)


def test_reuse_goes_through_other_reuse(configs: Path) -> None:
    edit(configs / "method/cmc.yaml", lambda b: b["stages"].update(again={"use": "hcmoco.first"}))
    stages = resolve(ONE).methods["cmc"]["stages"]
    assert stages["again"] == stages["contrast"] and stages["again"]["name"] == "cmc.contrast"


def test_own_adapters_join_the_grid(configs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "method").mkdir(parents=True)
    body = yaml.safe_load((configs / "method/hcmoco.yaml").read_text())
    (own / "method" / "mine.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    found = resolve(Words(methods="mine", tasks="densepose", config_dirs=(str(own),)))
    assert found.config_dirs == (str(own),)
    assert [s["name"] for s in found.methods["mine"]["stages"].values()] == ["cmc.contrast", "mine.dense"]


def keys(*words: str) -> list[str]:
    return [c.step.key for c in expand(resolve(dataclasses.replace(ONE, overrides=words))).cells if c.step]


def test_overrides_reach_the_request_and_change_keys(configs: Path) -> None:
    base = keys()
    found = resolve(
        dataclasses.replace(ONE, overrides=("preset.size=32", "method.cmc.stages.contrast.config.dim=4"))
    )
    assert found.preset["size"] == [32, 32]
    stages = found.methods["cmc"]["stages"]
    assert (
        stages["contrast"]["config"]["dim"] == 4 and stages["again"]["config"]["dim"] == 8
    )  # one YAML anchor
    assert found.changes == {"preset.size": 32, "method.cmc.stages.contrast.config.dim": 4}
    words = (
        "preset.size=32", "method.cmc.stages.again.config.temperature=0.1", "task.densepose.config.width=3",
        "encoder.cnn.config.width=4", "dataset.people.config.seed=1", "+encoder.cnn.config.act=gelu",
    )  # fmt: skip
    assert len({tuple(keys(word)) for word in words} | {tuple(base)}) == len(words) + 1


def test_interpolations_are_resolved_and_checked(configs: Path) -> None:
    before = keys()
    path = configs / "preset/tiny.yaml"
    edit(path, lambda b: b["preset"]["finetune"].update(batch="${preset.finetune.evaluations}"))
    found = resolve(ONE)
    assert found.preset["finetune"]["batch"] == 2 and found.changes == {} and keys() != before
    edit(path, lambda b: b["preset"]["finetune"].update(batch="${preset.name}"))
    with pytest.raises(ConfigError, match=r"preset tiny: finetune\.batch: 'tiny' is not a whole number"):
        resolve(ONE)


def test_presets_of_adapters_and_resources(configs: Path) -> None:
    before = keys()
    edit(configs / "preset/tiny.yaml", lambda b: b["preset"].update(resources={"data_workers": 2}))
    assert keys() == before and keys("preset.resources.data_workers=3") == before  # in no key
    changed = resolve(dataclasses.replace(ONE, overrides=("preset.resources.data_workers=3",)))
    assert changed.resources["data_workers"] == 3 and not changed.changes

    def tune(kind: str, name: str, **presets: Any) -> None:
        edit(configs / kind / f"{name}.yaml", lambda b: b.update(presets=presets))

    tune("method", "hcmoco", tiny={"stages": {"dense": {"config": {"dim": 2}}}})
    assert keys() == before  # concerns another method
    tune("method", "cmc", tiny={"stages": {"contrast": {"config": {"dim": 2}}}})
    assert keys() != before
    assert resolve(Words(methods="hcmoco")).methods["hcmoco"]["stages"]["first"]["config"]["dim"] == 2
    tune("task", "densepose", tiny={"finetune": {"steps": 9}, "size": [32, 64]})
    found = resolve(ONE)
    assert found.tasks["densepose"]["finetune"]["steps"] == 9
    assert found.tasks["densepose"]["size"] == [32, 64] and found.preset["finetune"]["steps"] == 6
    assert not found.changes
    tune("task", "densepose", tinny={})
    with pytest.raises(ConfigError, match=r'densepose\.yaml: presets: unknown preset "tinny"\. Did you mean'):
        resolve(ONE)
    tune("task", "densepose", tiny={"finetune": {"stepps": 9}})
    with pytest.raises(ConfigError, match=r'"task densepose: finetune\.stepps"\. Did you mean "steps"'):
        resolve(ONE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("preset.size=64", "preset.size=64.0"),
        ("preset.finetune.weight_decay=1", "preset.finetune.weight_decay=1.0"),
        ("preset.finetune.lr.pyramid=1e-3", "preset.finetune.lr.pyramid=0.001"),
        ("task.densepose.config.weight=10", "task.densepose.config.weight=10.0"),
    ],
)
def test_one_and_one_point_zero_are_one_key(one: str, other: str, configs: Path) -> None:
    assert keys(one) == keys(other)


def test_whole_numbers_in_yamls_count_as_the_floats_they_are(configs: Path) -> None:
    before = keys()

    def whole(body: Any) -> None:
        body["stages"]["contrast"]["train"]["warmup"] = 0

    edit(configs / "method/cmc.yaml", whole)
    assert keys() == before


def test_json_round_trip_keeps_equality_and_order(configs: Path) -> None:
    found = resolve(Words(methods="scratch,hcmoco", overrides=("preset.size=32",)))
    again = from_json(json.loads(to_json(found)))
    assert again == found and list(again.methods) == list(found.methods)
    assert list(again.methods["hcmoco"]["stages"]) == ["first", "dense"]


def test_every_preset_of_the_project_resolves() -> None:
    for preset in sorted(p.stem for p in (Path(__file__).parents[2] / "configs" / "preset").glob("*.yaml")):
        found = resolve(Words(preset=preset, fractions="0.1,1", overrides=("preset.size=32",)))
        plan = expand(found)
        assert len(plan.cells) >= len(found.methods) * len(found.tasks) * 2
        assert {s.kind for s in plan.steps} == {"pretrain", "finetune", "predict", "score"}
