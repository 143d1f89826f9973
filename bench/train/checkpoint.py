"""Checkpoints that are whole or absent: the file name carries step and digest, so damage is noticed."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bench.console import warn
from bench.files import quarantine, sha256_file, write_atomic

_NAME = re.compile(r"checkpoint-(\d{9})-([0-9a-f]{16})\.pt")


def save_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint after `step` steps, then remove older ones.

    Raises:
        DataError: disk full, no permission, read-only.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:16]
    path = folder / f"checkpoint-{step:09d}-{digest}.pt"
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))
    for old in folder.glob("checkpoint-*.pt"):
        if old != path:
            old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Return (steps done, state) of the newest undamaged checkpoint, None where there is none.

    Damaged ones are moved aside and named; what a killed process left half written is removed.
    """
    for rest in folder.glob(".checkpoint-*"):
        rest.unlink(missing_ok=True)
    for path in sorted(folder.glob("checkpoint-*.pt"), reverse=True):
        match = _NAME.fullmatch(path.name)
        if match and sha256_file(path).startswith(match[2]):
            with suppress(RuntimeError, pickle.UnpicklingError):  # written by another version of torch
                return int(match[1]), torch.load(path, map_location="cpu", weights_only=True)
        _set_aside(path, "is damaged")
    return None


def reject_checkpoints(folder: Path) -> None:
    """Move the checkpoints of a step aside because its code does not fit them any more."""
    for path in folder.glob("checkpoint-*.pt"):
        _set_aside(path, "was written by other code")


def _set_aside(path: Path, why: str) -> None:
    with suppress(FileNotFoundError):
        warn(f"checkpoint {path} {why}; moved to {quarantine(path).name}, training goes on without it")
