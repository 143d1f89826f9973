"""What `bench plan` finds before anything runs, on the project's own adapters and on those of a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.adapters.config_class import config_class
from bench.adapters.loading import load_adapter
from bench.adapters.sources import ROOT, Place, place_of
from bench.errors import ConfigError
from bench.grid.checks import check_applies, check_plan
from bench.grid.plan import expand
from bench.grid.registry import BUILT_IN, load
from bench.grid.request import Words, resolve
from bench.synth.domains import DOMAINS

STAGE = "method.cmc.stages.contrast"
DATA = "from dataclasses import dataclass\n@dataclass\n"
DENSE = "method.hcmoco.stages.dense"


def check(*overrides: str, **words: str) -> None:
    request = resolve(Words(overrides=overrides, **words))  # type: ignore[arg-type]
    check_plan(request, expand(request))


def test_every_preset_passes() -> None:
    for path in sorted((BUILT_IN / "preset").glob("*.yaml")):
        check(preset=path.stem, fractions="0.1,1")


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
        (("preset.size=52",), r"MAE: image size 52 x 52 is no multiple of the patch 8"),
        (("encoder.vit_d96.config.heads=5",), "heads 5 and 4 must divide width 96"),
        (("encoder.resnet10_w24.config.bn_momentum=-1",), r"-1\.0 is not a number of at least 0"),
        (("encoder.semgcn.config.width=0",), r"config\.width: 0 is not a whole number of at least 1"),
        (("method.mae.stages.pixels.config.mask_ratio=0.999",), "leaves 0 of 36 patches"),
        (("method.mae.stages.pixels.config.mask_ratio=1.5",), r"mask_ratio: 1\.5 is not a number below 1"),
        (("task.parsing_rgb.config.class_weights=[1.0]",), "got 1 numbers, wanted 25"),
        (("task.densepose.config.gps_kappa=part",), r'gps_kappa: unknown "part"\. Did you mean "parts"'),
        (("task.densepose.data.people.source=d_densee",), r'no source "d_densee".*\. Did you mean "d_dense"'),
        (("+preset.pretrain.mixes.body.samples.lab=5",), r'no source "lab"\.'),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_found_by_the_plan(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check(*words)
    assert "\n" not in str(caught.value)


def test_what_the_switch_allows_passes(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    check(f"{STAGE}.config.init=imagenet", f"{STAGE}.config.file={tmp_path / 'w.pth'}", methods="cmc")
    check(f"{STAGE}.train.optimizer=sgd", f"{STAGE}.train.momentum=0.5", methods="cmc")
    check(f"{DENSE}.config.dense=off", methods="hcmoco")  # dense_points of the preset stay, unread


def test_a_fraction_that_leaves_no_sample_is_refused() -> None:
    check(methods="cmc", fractions="1/1280")
    with pytest.raises(ConfigError, match=r"of the 1280 samples of .* is less than one sample"):
        check(methods="cmc", fractions="1,1/1281")


def test_a_grid_without_a_cell_that_applies_is_refused() -> None:
    plan = expand(resolve(Words(methods="mae", encoders="resnet10_w24", tasks="densepose")))
    with pytest.raises(ConfigError, match=r"no cell .*: mae trains tokens encoders; .* Choose other --"):
        check_applies(plan)
    check_applies(expand(resolve(Words(methods="mae,cmc", encoders="resnet10_w24", tasks="densepose"))))


def test_the_data_set_lists_its_sources() -> None:
    body = load(BUILT_IN / "dataset" / "people.yaml", "dataset")
    assert body["sources"] == {name: list(domain.splits) for name, domain in DOMAINS.items()}
    assert load_adapter(body["adapter"]).__name__ == "People"


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
        ("import heavy\n" + DATA + "class C:\n    a: heavy.X\nclass A:\n    Config = C\n", None),
        (DATA + "class C:\n    a: Missing\nclass A:\n    Config = C\n", None),
        ("A = make()\n", None),
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
