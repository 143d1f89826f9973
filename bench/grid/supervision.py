"""What a method uses beyond colour pictures, as far as its YAML, the overrides and the data tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from bench.grid.schema import Supervision, conditions
from bench.grid.weights import KEY
from bench.modalities import MODALITIES

ORDER: tuple[str, ...] = get_args(Supervision)
OF_FIELD = {  # of the data; others stand for themselves
    "depth": "depth", "keypoints": "2D joints", "keypoints_detected": "2D joints", "joints3d": "3D joints",
    "mask": "silhouettes", "parts": "part labels", "garments": "part labels", "betas": "body parameters",
    "rotations": "body parameters", "vertices": "body parameters",
    **dict.fromkeys(("chart", "uv", "points", "point_chart", "point_uv"), "surface labels"),
}  # fmt: skip


def absent(dataset: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> list[set[str]]:
    """Return for each part of some data which fields, modalities and pairs it lacks or hides."""
    found = [{*dataset["lacks"].get(part["source"], ()), *part["hide"]} for part in parts]
    for modality, name in MODALITIES.items():
        for names in found:
            if names & {modality, name}:
                names |= {modality, name}
    return found


def used(stages: Iterable[Mapping[str, Any]], lacks: Mapping[str, Iterable[str]]) -> str:
    """Return what the stages of a method use, "none" where that is colour pictures alone.

    Encoders, `fields` and `pairs` tell of stages that train; a condition in `uses` decides for its stage.

    Args:
        stages: resolved.
        lacks: by mix, what none of its samples have.
    """
    found: set[str] = set()
    for stage in stages:
        own = {"weights of a file"} if stage["config"].get(KEY) else set()
        if stage["budget_share"]:
            read = [*(MODALITIES[m] for m in stage["encoders"]), *stage["fields"]]
            there = [name for name in read if name != "rgb" and name not in lacks[stage["mix"]]]
            own |= {OF_FIELD.get(name, name) for name in there} | {f"{kind} pairs" for kind in stage["pairs"]}
        for name, when in conditions(stage["uses"]).items():
            holds = all(stage["config"][key] == value for key, value in when.items())
            own = own | {name} if holds else own - {name}
        found |= own
    return ", ".join(sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))) or "none"
