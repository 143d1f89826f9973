"""Encoders on disk: `encoder.json` says how to rebuild it, `encoder.safetensors` holds the weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from bench.api import Encoder
from bench.encoders.build import build_encoder
from bench.encoders.image import ImageEncoder
from bench.errors import DataError
from bench.files import sha256_file, write_atomic

WEIGHTS = "encoder.safetensors"
CARD = "encoder.json"
FORMAT = 1


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder; the JSON comes last, so a folder that has it is whole.

    The weights of image encoders carry the prefix `model.`; without it they load into the timm model that the
    entry `timm` of the JSON describes.

    Args:
        encoder: built by `build_encoder`.
        folder: made if missing; an older encoder in it is replaced.

    Raises:
        DataError: the files cannot be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    content = safetensors.torch.save(state)
    card: dict[str, Any] = {
        "format": FORMAT,
        "spec": dict(encoder.spec),
        "feature_info": asdict(encoder.feature_info),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    if isinstance(encoder, ImageEncoder):
        card |= {"timm": encoder.timm_recipe, "inputs": encoder.describe_inputs()}
    (folder / CARD).unlink(missing_ok=True)
    write_atomic(folder / WEIGHTS, content)
    write_atomic(folder / CARD, json.dumps(card, indent=1, sort_keys=True) + "\n")


def load_encoder(folder: Path, modality: str | None = None, config_dirs: Sequence[str] = ()) -> Encoder:
    """Read an encoder that `save_encoder` wrote.

    Args:
        folder: where it lies.
        modality: what it shall read, if not what it was trained on: a colour encoder asked for `depth` gets
            the depth preprocessing and keeps its weights.
        config_dirs: where adapters are found besides.

    Raises:
        DataError: a file is missing or damaged, or weights and description do not fit together.
    """
    card = _read_card(folder)
    path = folder / WEIGHTS
    if not path.exists() or sha256_file(path) != card["weights_sha256"]:
        raise DataError(f"{path} is missing or differs from its description; run the pretraining step again")
    spec = card["spec"]
    encoder = build_encoder(spec, modality or spec["modality"], spec["joint_set"], config_dirs)
    try:
        encoder.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} does not fit the encoder that {CARD} describes: {error}") from error
    return encoder


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"there is no encoder in {folder}: {CARD} is missing") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON; run the pretraining step again") from error
    if card.get("format") != FORMAT:
        raise DataError(f"{path} has format {card.get('format')}, this version reads format {FORMAT}")
    return card
