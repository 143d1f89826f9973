"""Rows of given weights: `--weights NAME=FILE`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bench import notebook
from bench.errors import AssetError, BenchError
from bench.grid.checks import check_plan
from bench.grid.plan import Plan, expand
from bench.grid.request import Words, resolve

RESNET18 = {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv2.weight": (64, 64, 3, 3)} | {
    f"layer{stage}.{block}.conv1.weight": (1,) for stage in (1, 2, 3, 4) for block in (0, 1)
}
WIDTH = 192
BLOCK = {
    "attn.qkv.weight": (3 * WIDTH, WIDTH), "attn.qkv.bias": (3 * WIDTH,),
    "mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
}  # fmt: skip
VIT = {
    "cls_token": (1, 1, WIDTH), "pos_embed": (1, 197, WIDTH), "patch_embed.proj.weight": (WIDTH, 3, 16, 16),
    "norm.weight": (WIDTH,),
} | {f"blocks.{i}.{name}": shape for i in range(12) for name, shape in BLOCK.items()}  # fmt: skip


def write(path: Path, shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> Path:
    save_file({prefix + name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, path)
    return path


def planned(*weights: str, methods: str = "scratch", **more: Any) -> Plan:
    return expand(resolve(Words(methods=methods, tasks="densepose", weights=weights, **more)))


def pairs(plan: Plan) -> list[tuple[str, str]]:
    return [(cell.method, cell.encoder) for cell in plan.cells if cell.step]


def config(plan: Plan, method: str) -> Mapping[str, Any]:
    (found,) = [s for s in plan.steps if s.kind == "pretrain" and s.spec["name"].startswith(f"{method}.")]
    return found.spec["config"]


def test_weights_bring_their_encoder_and_scratch_joins_them_there(tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", RESNET18)
    assert pairs(planned(f"ours={file}")) == [("scratch", "resnet18"), ("ours", "resnet18")]
    both = [
        ("scratch", "resnet10_w24"),
        ("scratch", "resnet18"),
        ("hcmoco", "resnet10_w24"),
        ("ours", "resnet18"),
    ]
    assert pairs(planned(f"ours={file}", methods="scratch,hcmoco")) == both
    asked = planned(f"ours={file}", methods="hcmoco", encoders="resnet18")
    assert pairs(asked) == [("hcmoco", "resnet18"), ("ours", "resnet18")]


def test_networks_without_a_yaml_get_a_name_and_can_be_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", VIT)
    plan = planned(f"ours={file}", methods="mae_body", encoders="vit_tiny_p16", overrides=("preset.size=48",))
    assert pairs(plan) == [("mae_body", "vit_tiny_p16"), ("ours", "vit_tiny_p16")]
    encoder = next(s.spec["encoder"]["config"] for s in plan.steps if s.spec.get("name") == "mae_body.pixels")
    assert (encoder["width"], encoder["heads"], encoder["blocks"], encoder["patch"]) == (WIDTH, 3, 12, 16)


def test_a_grid_tells_a_position_table_that_is_no_square(tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", {**VIT, "pos_embed": (1, 193, WIDTH)})
    with pytest.raises(AssetError, match=r"no square of patches.*,grid=16x12"):
        planned(f"ours={file}")
    with pytest.raises(AssetError, match=r"193 rows is no grid of 5 x 5 patches"):
        planned(f"ours={file},grid=5x5")
    plan = planned(f"ours={file},grid=16x12")
    assert pairs(plan)[-1] == ("ours", "vit_tiny_p16_256x192")
    assert config(plan, "ours")["grid"] == [16, 12]


@pytest.mark.parametrize("told", ["mean=[.5,.5]", "mean=[.5,.5,.5]", "grid=[16]"])
def test_what_is_told_of_weights_is_checked_at_planning(told: str, tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", RESNET18)
    override = f"method.ours.stages.weights.config.{told}"
    request = resolve(Words(tasks="densepose", weights=(f"ours={file}",), overrides=(override,)))
    with pytest.raises(BenchError, match=r"method\.ours\.stages\.weights\.config: .*of weights"):
        check_plan(request, expand(request))


def test_keys_hold_content_and_layout_never_the_place(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    files = [write(tmp_path / name, RESNET18) for name in ("a.safetensors", "deep/b.safetensors")]
    first, second = (planned(f"ours={file}") for file in files)
    assert first.keys == second.keys
    assert str(tmp_path) not in json.dumps([dict(s.spec) for s in first.steps])
    assert config(first, "ours")["layout"]["name"] == "timm"
    assert planned(f"ours={files[0]},layout=torchvision").keys != first.keys


def test_licence_and_data_are_told_where_the_layout_is_named_not_where_it_is_detected(tmp_path: Path) -> None:
    queue = {"encoder_q." + name: shape for name, shape in RESNET18.items()}
    file = tmp_path / "w.pth"
    torch.save({"state_dict": {k: torch.zeros(s) for k, s in {**queue, "queue": (1,)}.items()}}, file)
    found = config(planned(f"ours={file}"), "ours")
    assert (found["layout"]["name"], found["licence"], found["trained_on"]) == ("moco", "", [])
    found = config(planned(f"ours={file},layout=moco"), "ours")
    assert (found["licence"], found["trained_on"]) == ("CC-BY-NC-4.0", ["ImageNet-1k"])
    found = config(planned(f"ours={file},licence=MIT,trained_on=LUPerson+COCO"), "ours")
    assert (found["licence"], found["trained_on"]) == ("MIT", ["LUPerson", "COCO"])


def test_a_registered_method_takes_its_file_by_its_name(tmp_path: Path) -> None:
    base = {
        name: tuple(768 * (n // WIDTH) if n % WIDTH == 0 else n for n in shape) for name, shape in VIT.items()
    }
    base["pos_embed"] = (1, 197, 768)
    file = write(tmp_path / "w.safetensors", base)
    assert pairs(planned(f"mae_in1k={file}")) == [("scratch", "vit_base_p16"), ("mae_in1k", "vit_base_p16")]
    plan = planned(methods="mae_in1k,scratch")
    assert pairs(plan) == [("scratch", "resnet10_w24")]  # without its file it brings nothing
    assert "--weights mae_in1k=FILE" in plan.cells[0].reason


def test_weights_of_the_hub_bring_what_it_says_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    word = "other=hf:timm/lcnet_050.ra2_in1k"
    with pytest.raises(AssetError, match=r"HF_HUB_OFFLINE is set: run `hf download timm/lcnet_050\.ra2_in1k"):
        planned(word)
    place = tmp_path / "models--timm--lcnet_050.ra2_in1k"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    there = place / "snapshots" / "abc"
    there.mkdir(parents=True)
    write(there / "model.safetensors", {"conv_stem.weight": (8, 3, 3, 3), "classifier.weight": (1000, 1280)})
    cfg = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "license": "apache-2.0"}
    (there / "config.json").write_text(json.dumps({"architecture": "lcnet_050", "pretrained_cfg": cfg}))
    plan = planned(word)
    assert pairs(plan) == [("scratch", "lcnet_050"), ("other", "lcnet_050")]
    assert (config(plan, "other")["mean"], config(plan, "other")["licence"]) == (
        [0.5, 0.5, 0.5],
        "apache-2.0",
    )


def test_a_folder_of_ones_own_adds_layouts(tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "mine.yaml").write_text(
        "strip: ['net.']\ndrop: ['aux.*']\nmarks: ['net\\.conv1\\.weight']\n"
    )
    file = write(tmp_path / "w.safetensors", {**{f"net.{k}": v for k, v in RESNET18.items()}, "aux": (1,)})
    with pytest.raises(AssetError, match="do not tell for which network"):
        planned(f"ours={file}")
    plan = planned(f"ours={file}", config_dirs=(str(tmp_path),))
    assert config(plan, "ours")["layout"]["name"] == "mine"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{file}", "is not NAME=FILE"),
        ("ours=", "is not NAME=FILE"),
        ("1x={file}", "begins with a letter"),
        ("cmc={file}", "method cmc takes no file of weights"),
        ("ours={file},encoder=resnet19", 'unknown encoder "resnet19".*encoder=timm:resnet19'),
        ("ours={file},layout=moca", 'unknown layout "moca".*"moco"'),
        ("ours={file},layout=moco", 'expected "state_dict"'),
        ("ours={folder}/absent.pth", r"no weights file .*absent\.pth"),
        ("ours=hf:timm", "is not hf:OWNER/REPOSITORY"),
        ("ours=pkg:nothing_of_this_name/w.pth", "package nothing_of_this_name is not installed"),
        ("ours={folder}/text.pth", "cannot be read as weights"),
        ("ours={odd}", "do not tell for which network"),
        ("mae_in1k={file}", "do not tell for which network"),
        ("ours={odd}", 'such as "x".*timm:NAME.*strips a prefix'),
        ("ours={file},license=MIT", 'unknown option "license".*"licence"'),
        ("ours={file},licence=MIT,licence=GPL", "licence= is given twice"),
        ("ours={file},encoder=", "encoder= is empty"),
        ("ours={file},encoder=timm:", "names no network"),
        ("ours={file},grid=16,12", "grid=16,12 is not HEIGHTxWIDTH"),
        ("ours={folder}", "is a folder; name the file"),
        ("ours=~nobody_of_this_name/w.pth", "there is no weights file"),
        ("ours=https://example.org/w.pth", "is an address; download the file"),
        ("ours=hf:timm/no such name", "hf:timm/no such name/.*alphanumeric"),
        ("ours=hf:timm/x/../../w.pth", r"hf:timm/x/\.\./\.\./w\.pth: "),
        ("ours={file},encoder=semgcn", "encoder semgcn reads no images"),
        ("ours={file},grid=16x12", "has no position table; leave out grid=16x12"),
        ("{long}={file}", "at most 64 letters"),
        ("ours={nested}", 'save its "model_state_dict" alone'),
    ],
)
def test_bad_words_are_one_line_at_planning(word: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", RESNET18)
    odd = write(tmp_path / "odd.safetensors", {"x": (1,)})
    (tmp_path / "text.pth").write_text("hello")
    nested = tmp_path / "nested.pth"
    torch.save({"model_state_dict": {"conv1.weight": torch.zeros(1)}, "epoch": 1}, nested)
    with pytest.raises(BenchError, match=message) as caught:
        planned(word.format(file=file, odd=odd, folder=tmp_path, nested=nested, long="x" * 65))
    assert "\n" not in str(caught.value)


def test_notebooks_name_weights_by_row(tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", RESNET18)
    found = notebook.plan(tmp_path / "store", tasks="densepose", weights={"ours": file})
    assert list(zip(found.method, found.encoder, strict=True)) == [
        ("scratch", "resnet18"),
        ("ours", "resnet18"),
    ]


def test_different_networks_of_one_name_do_not_share_a_grid(tmp_path: Path) -> None:
    first = write(tmp_path / "a.safetensors", VIT)
    second = write(tmp_path / "b.safetensors", {k: s for k, s in VIT.items() if not k.endswith("qkv.bias")})
    with pytest.raises(BenchError, match=r"one and two are for different networks .* called vit_tiny_p16"):
        planned(f"one={first}", f"two={second}", overrides=("preset.size=48",))
    assert len(planned(f"one={first}", f"two={first}", overrides=("preset.size=48",)).cells) == 3


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "w.safetensors", RESNET18)
    with pytest.raises(BenchError, match="ours is given twice"):
        planned(f"ours={file}", f"ours={file}")
