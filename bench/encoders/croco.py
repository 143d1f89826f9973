"""Weights of CroCo from a user's file, encoder and decoder: the released ones, or those of a stage here."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from bench.encoders.pretrained import Source, check_pretrained, load_pretrained
from bench.encoders.state_dicts import load_layout, match, read_content
from bench.encoders.vit import ViT
from bench.errors import AssetError
from bench.files import sha256_file
from bench.grid.layouts import shipped_layouts

OWN = "encoders.rgb."  # begins names in the state of a stage here
FRESH = "keypoint_head."  # in no release, and not the point of a file from here


def load_croco(method: nn.Module, encoder: ViT, path: Path) -> dict[str, str]:
    """Fill encoder, decoder and the last layer with weights, all of them or none.

    Args:
        method: with the parts `encoders.rgb`, `decoder` (`bench.heads.pair_decoder`) and `predict`.
        encoder: of it.
        path: the released weights of CroCo (arXiv:2210.10716), or `state.safetensors` of a step here.

    Returns:
        Facts for the record: `weights`, the file's name, `weights_sha256`, and what the layout tells.

    Raises:
        AssetError: no file, an unreadable one, or one whose weights do not fit.
    """
    content = read_content(path)
    if isinstance(content, dict) and any(str(name).startswith(OWN) for name in content):
        _load_own(method, content, path)
        return {"weights": path.name, "weights_sha256": sha256_file(path)}
    source = Source(file=str(path), layout="croco_v1")
    check_pretrained(encoder, source)
    parts = nn.ModuleDict(
        {"decoder": method.get_submodule("decoder"), "predict": method.get_submodule("predict")}
    )
    load_layout(path, shipped_layouts()["croco_v1_decoder"], parts, "croco_v1_decoder")
    facts = load_pretrained(encoder, source)
    encoder.table.requires_grad_(False)  # trained in fine-tuning alone
    return facts


def _load_own(method: nn.Module, content: dict[str, Tensor], path: Path) -> None:
    wanted = {name: own for name, own in method.state_dict().items() if not name.startswith(FRESH)}
    state, rest = match(path, "the state of a stage", content, wanted)
    if unknown := [name for name in rest if not name.startswith(FRESH)]:
        raise AssetError(f"{path}: there is no place for {len(unknown)} tensors, e.g. {unknown[0]}")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(wanted[name].shape)}"
            raise AssetError(f"{path} does not fit this encoder and decoder: {name} has shape {shapes}")
    method.load_state_dict(state, strict=False)
