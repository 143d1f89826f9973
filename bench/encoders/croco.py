"""Weights of CroCo from a user's file, encoder and decoder: the released ones, or those of a stage here."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bench.encoders.state_dicts import StateDict, match, read_state_dict
from bench.encoders.vit import ViT
from bench.errors import AssetError
from bench.files import sha256_file

ENCODER = "encoders.rgb.model."
TABLE = f"{ENCODER}pos_embed"
FRESH = "keypoint_head."  # in no release, and not the point of a file from here
RELEASED = {  # beginnings of names in the released weights, and in a method here
    "patch_embed.": f"{ENCODER}patch_embed.",
    "enc_blocks.": f"{ENCODER}blocks.",
    "enc_norm.": f"{ENCODER}norm.",
    "decoder_embed.": "decoder.embed.",
    "mask_token": "decoder.mask_token",
    "dec_blocks.": "decoder.blocks.",
    "dec_norm.": "decoder.norm.",
    "prediction_head.": "predict.",
}
RELEASED_TABLES = ("enc_pos_embed", "dec_pos_embed")  # of positions, which follow from the size


def load_croco(method: nn.Module, encoder: ViT, path: Path) -> dict[str, str]:
    """Fill encoder, decoder and the last layer with weights, all of them or none.

    Args:
        method: with the parts `encoders.rgb`, `decoder` (`bench.heads.pair_decoder`) and `predict`.
        encoder: of it.
        path: the released weights of CroCo (arXiv:2210.10716), or `state.safetensors` of a step here.

    Returns:
        Facts for the record: `weights`, the file's name, and `weights_sha256`.

    Raises:
        AssetError: no file, an unreadable one, or one whose weights do not fit.
    """
    if not path.is_file():
        raise AssetError(f"there is no weights file {path.absolute()}; correct the config key `file`")
    found = read_state_dict(path)
    if any(name.startswith("enc_blocks.") for name in found.tensors):
        found = _renamed(found, encoder)
    fresh = (FRESH,) if TABLE in found.tensors else (FRESH, TABLE)
    wanted = {name: own for name, own in method.state_dict().items() if not name.startswith(fresh)}
    state, rest = match(found, wanted)
    if unknown := [name for name in rest if not name.startswith(FRESH)]:
        raise AssetError(f"{path}: there is no place for {len(unknown)} tensors, e.g. {unknown[0]}")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(wanted[name].shape)}"
            raise AssetError(f"{path} does not fit this encoder and decoder: {name} has shape {shapes}")
    method.load_state_dict(state, strict=False)
    return {"weights": path.name, "weights_sha256": sha256_file(path)}


def _renamed(found: StateDict, encoder: ViT) -> StateDict:
    """Return released weights under the names that they have here.

    Raises:
        AssetError: they are of another kind of network.
    """
    if encoder.vit.cls_token is not None:
        raise AssetError(
            f"{found.path}: the encoder in these weights has no class token, the chosen one has; choose one "
            "without (--encoders), or set init=random"
        )
    own, table = encoder.table[0], found.tensors.get("enc_pos_embed")
    if table is None:
        raise AssetError(
            f"{found.path}: has no enc_pos_embed, so its encoder has rotary positions as that of CroCo v2, "
            "which is not there; give weights of CroCo v1"
        )
    if table.shape != own.shape or not torch.allclose(table.float(), own.cpu(), atol=1e-4):
        shapes = f"{tuple(table.shape)}, the encoder's {tuple(own.shape)}"
        raise AssetError(
            f"{found.path}: enc_pos_embed is of shape {shapes}, or of another kind; choose encoder and image "
            "size of the weights"
        )
    tensors = {}
    for name, value in found.tensors.items():
        begin = next((b for b in RELEASED if name.startswith(b)), "")
        if name not in RELEASED_TABLES:
            tensors[RELEASED.get(begin, "") + name.removeprefix(begin)] = value
    return StateDict(path=found.path, tensors=tensors, told=found.told)
