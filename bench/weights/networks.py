"""For which network weights are, read off the names and shapes of their tensors: an encoder as plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import AssetError
from bench.weights.layout import Layout

Shapes = Mapping[str, tuple[int, ...]]

PYRAMID = "bench.encoders.timm_pyramid:TimmPyramid"
PLAIN_VIT = "bench.encoders.vit:ViT"
TOKENS = "bench.encoders.timm_tokens:TimmTokens"
VIT_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}  # timm's, by width
_SIZES = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}
_VIT_DEPTHS = {192: 12, 384: 12, 768: 12, 1024: 24, 1280: 32}
_RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {  # bottleneck, blocks per stage -> timm's name
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
_SWINS: dict[tuple[int, tuple[int, ...]], str] = {  # width, blocks per stage -> timm's name
    (96, (2, 2, 6, 2)): "swin_tiny_patch4_window7_224",
    (96, (2, 2, 18, 2)): "swin_small_patch4_window7_224",
    (128, (2, 2, 18, 2)): "swin_base_patch4_window7_224",
    (192, (2, 2, 18, 2)): "swin_large_patch4_window7_224",
}
_HRNETS: dict[
    tuple[int, ...], str
] = {  # modules of stages 3 and 4, blocks of a branch -> timm's name; the first small one has width 16
    (4, 3, 4): "hrnet_w{}",
    (1, 1, 2): "hrnet_w18_small",
    (3, 2, 2): "hrnet_w18_small_v2",
}
TOKEN_NETWORKS = ("vit_", "deit", "eva", "beit", "flexivit")  # beginnings of timm names


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """An encoder that weights are for: what a YAML of `encoder/` says, and a name for it."""

    name: str
    body: Mapping[str, Any]  # adapter, version, kind, config, pretrained


def guess(shapes: Shapes, layout: Layout, path: Path) -> Guess:
    """Return the encoder for tensors with timm's names.

    Args:
        shapes: of the tensors, as the layout names them.
        layout: that they came by.
        path: of the file, for messages.

    Raises:
        AssetError: no known network has such tensors.
    """
    if layout.network.timm:
        return of_timm(layout.network.timm, layout)
    for family, read in (
        ("dinov3", _dinov3),
        ("vit", _vit),
        ("swin", _swin),
        ("hrnet", _hrnet),
        ("resnet", _resnet),
    ):
        if layout.network.family in ("", family) and (found := read(shapes, layout, path)):
            return found
    raise AssetError(
        f'{path}: its {len(shapes)} tensors, such as "{next(iter(shapes))}", do not tell for which network '
        "they are; name an encoder, --weights NAME=FILE,encoder=ENCODER (bench list encoders, or timm:NAME), "
        "or a layout that strips a prefix from the names"
    )


def of_timm(name: str, layout: Layout | None = None) -> Guess:
    """Return the encoder around a network that timm knows."""
    network = layout.network if layout else None
    more = dict(network.config) if network else {}
    if name.startswith(TOKEN_NETWORKS):
        patch = re.search(r"patch(\d+)", name)
        return _guess(
            name, TOKENS, "tokens", {"model": name, "patch": int(patch[1]) if patch else 16, **more}, layout
        )
    if name.startswith("hrnet"):
        more = {"options": {"feature_location": ""}, **more}
    if name.startswith("swin_"):  # takes images of any size, with the windows of the weights
        more = {"options": {"always_partition": True, "strict_img_size": False}, **more}
    return _guess(name, PYRAMID, "pyramid", {"model": name, "out_indices": [-4, -3, -2, -1], **more}, layout)


def _guess(
    name: str, adapter: str, kind: str, config: Mapping[str, Any], layout: Layout | None = None
) -> Guess:
    more = dict(config)
    if layout and layout.upsample:
        more["upsample"] = layout.upsample
        name = f"{name}_{layout.upsample}"
    adapter = layout.network.adapter or adapter if layout else adapter
    body = {
        "summary": f"{name}, as told by weights",
        "adapter": adapter, "version": 1, "kind": kind, "config": more, "pretrained": None,
    }  # fmt: skip
    return Guess(name=name, body=body)


_DINOV3 = {  # width, blocks, gated -> timm's name
    (384, 12, False): "vit_small_patch16_dinov3_qkvb",
    (384, 12, True): "vit_small_plus_patch16_dinov3_qkvb",
    (768, 12, False): "vit_base_patch16_dinov3_qkvb",
    (1024, 24, False): "vit_large_patch16_dinov3_qkvb",
    (1280, 32, True): "vit_huge_plus_patch16_dinov3_qkvb",
    (4096, 40, True): "vit_7b_patch16_dinov3",
}


def _dinov3(shapes: Shapes, layout: Layout, path: Path) -> Guess | None:
    """A transformer with rotary positions, four registers and layer scale, as timm names its parts."""
    if "blocks.0.gamma_1" not in shapes or "pos_embed" in shapes or "reg_token" not in shapes:
        return None
    width, blocks = shapes["reg_token"][2], _count(shapes, r"blocks\.(\d+)\.attn\.qkv\.weight")
    name = _DINOV3.get((width, blocks, "blocks.0.mlp.fc1_g.weight" in shapes))
    if name and "blocks.0.attn.q_bias" not in shapes:
        name = name.removesuffix("_qkvb")
    return of_timm(name, layout) if name else None


def _vit(shapes: Shapes, layout: Layout, path: Path) -> Guess | None:
    """A plain vision transformer, as timm names its parts."""
    blocks = _count(shapes, r"blocks\.(\d+)\.attn\.qkv\.weight")
    patches = shapes.get("patch_embed.proj.weight", ())
    if not blocks or len(patches) != 4 or any(name.startswith("layers.") for name in shapes):
        return None
    network = layout.network
    width, patch = patches[0], network.patch or patches[2]
    heads = {**VIT_HEADS, **{int(k): v for k, v in network.heads.items()}}
    unknown = [
        n
        for n in shapes
        if re.search(r"norm_pre|gamma_\d|rope|rel_pos|q_norm|k_norm|w12|w3\.|experts|dist_token", n)
    ]
    if width not in heads or unknown:
        why = f"parts such as {unknown[0]}" if unknown else f"a width of {width}, for any number of heads"
        raise AssetError(
            f"{path}: holds a transformer with {why}, which its tensors do not explain; name an encoder: "
            "--weights NAME=FILE,encoder=ENCODER"
        )
    prefixes = registers = 0
    options: dict[str, Any] = {}
    if "cls_token" in shapes:
        prefixes = 1
    else:
        options |= {"class_token": False, "global_pool": ""}
    if "reg_token" in shapes:
        registers = shapes["reg_token"][1]
        options["reg_tokens"] = registers
    if "blocks.0.ls1.gamma" in shapes:
        options["init_values"] = 1e-5
    if "blocks.0.attn.qkv.bias" not in shapes:
        options["qkv_bias"] = False
    if "pos_embed" not in shapes:
        raise AssetError(
            f"{path}: holds a transformer without a position table (pos_embed), so its positions are of "
            "another kind, e.g. rotary; name an encoder that has them: --weights NAME=FILE,encoder=ENCODER"
        )
    table = shapes["pos_embed"]
    rows = table[1] if len(table) == 3 else 0
    grid, embedded = table_grid(rows, layout.grid)
    if registers and embedded < prefixes + registers:
        options["no_embed_class"] = True
    mlp = shapes.get("blocks.0.mlp.fc1.weight", (0,))[0]
    size = [side * patch for side in grid]
    if not all(size):
        declared = f"grid of {layout.grid[0]} x {layout.grid[1]}" if layout.grid else "square of"
        raise AssetError(
            f"{path}: its position table of {rows} rows is no {declared} patches; give its height and width "
            "in patches: --weights NAME=FILE,grid=16x12"
        )
    gated = mlp and shapes["blocks.0.mlp.fc2.weight"][1] != mlp
    config = {
        "model": "vit_giant_patch14_dinov2" if gated else "vit_base_patch16_224",
        "image_size": size[0] if size[0] == size[1] else size,
        "patch": patch,
        "width": width,
        "blocks": blocks,
        "heads": heads[width],
        "mlp_ratio": mlp / width,
        "out_indices": out_indices(blocks),
        "pool": "mean",
        "options": options,
        **({"patch_padding": network.patch_padding} if network.patch_padding else {}),
        **network.config,
    }
    usual = _SIZES.get(width) if _VIT_DEPTHS.get(width) == blocks else None
    words = [f"vit_{usual}" if usual else f"vit_d{width}_b{blocks}", f"p{patch}"]
    words += ["x".join(map(str, size))] if size != [224, 224] else []
    words += ["nocls"] * (not prefixes) + [f"reg{registers}"] * bool(registers)
    words += [f"h{heads[width]}"] if heads[width] != VIT_HEADS.get(width, heads[width]) else []
    words += ["ls"] * ("init_values" in options) + [f"pad{network.patch_padding}"] * bool(
        network.patch_padding
    )
    return _guess("_".join(words), PLAIN_VIT, "tokens", config, layout)


def out_indices(blocks: int) -> list[int]:
    """Return the blocks whose outputs become maps: the last of each quarter of the depth."""
    return sorted({max(0, round(blocks * part / 4) - 1) for part in (1, 2, 3, 4)})


def table_grid(rows: int, grid: list[int]) -> tuple[tuple[int, int], int]:
    """Return height and width of a position table and its rows for prefix tokens; (0, 0) where none fits.

    Args:
        rows: of the table.
        grid: as declared; empty takes a square.
    """
    for prefix in (1, 0, 5):
        patches = rows - prefix
        if patches <= 0:
            continue
        if grid and math.prod(grid) == patches:
            return (grid[0], grid[1]), prefix
        if not grid and math.isqrt(patches) ** 2 == patches:
            return (math.isqrt(patches), math.isqrt(patches)), prefix
    return (0, 0), 0


def _resnet(shapes: Shapes, layout: Layout, path: Path) -> Guess | None:
    """A ResNet, as torchvision names its parts, and timm."""
    if shapes.get("conv1.weight") != (64, 3, 7, 7) or "layer1.0.conv1.weight" not in shapes:
        return None
    depths = tuple(_count(shapes, rf"layer{i}\.(\d+)\.conv1\.weight") for i in (1, 2, 3, 4))
    bottleneck = "layer1.0.conv3.weight" in shapes
    name = _RESNETS.get((bottleneck, depths))
    inner = shapes.get("layer1.0.conv2.weight", ())
    if bottleneck and inner == (128, 128, 3, 3) and name in ("resnet50", "resnet101"):
        name = f"wide_{name}_2"
    elif inner != (64, 64, 3, 3) or any(".se." in n or ".attn" in n for n in shapes):
        return None  # groups, attention: relatives with the same names
    return of_timm(name, layout) if name else None


def _hrnet(shapes: Shapes, layout: Layout, path: Path) -> Guess | None:
    width = shapes.get("stage4.0.branches.0.0.conv1.weight", (0,))[0]
    stages = [_count(shapes, rf"stage{i}\.(\d+)\.branches\.0\.0\.conv1\.weight") for i in (3, 4)]
    modules = (*stages, _count(shapes, r"stage4\.0\.branches\.0\.(\d+)\.conv1\.weight"))
    pattern = _HRNETS.get(modules)
    return of_timm(pattern.format(width), layout) if width and pattern else None


def _swin(shapes: Shapes, layout: Layout, path: Path) -> Guess | None:
    width = shapes.get("patch_embed.proj.weight", (0,))[0]
    depths = tuple(_count(shapes, rf"layers\.{i}\.blocks\.(\d+)\.attn\.qkv\.weight") for i in range(4))
    window = shapes.get("layers.0.blocks.0.attn.relative_position_bias_table", (0,))[0]
    name = _SWINS.get((width, depths))
    if name is None or window != 169:
        return None
    if not layout.network.adapter:
        return of_timm(name, layout)
    short = name.removesuffix("_patch4_window7_224")
    return _guess(f"{short}_semantic", "", "pyramid", {"model": name, **layout.network.config}, layout)


def _count(shapes: Shapes, pattern: str) -> int:
    """Return how many numbers, from 0 on, a pattern finds in the names."""
    found = {int(m[1]) for name in shapes if (m := re.fullmatch(pattern, name))}
    return max(found, default=-1) + 1
