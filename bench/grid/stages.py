"""Stages of methods: which other methods they reuse, and their resolved form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, nearest
from bench.grid.registry import load
from bench.grid.schema import check

_OF_OWNER: dict[str, Any] = {"encoders": {}, "optional": [], "mix": "", "resources": {}}  # of each stage


def load_methods(methods: Sequence[str], known: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Load the YAMLs of methods and of those whose stages they reuse, directly or in turn.

    Raises:
        ConfigError: a YAML is wrong, or reuses a method that is not registered.
    """
    found: dict[str, dict[str, Any]] = {}
    todo = list(methods)
    for name in todo:  # grows while it is walked
        found[name] = load(known[name], "method")
        check("method", found[name], str(known[name]))
        for stage in found[name]["stages"].values():
            owner = str(stage.get("use", name)).partition(".")[0]
            if owner not in known:
                raise ConfigError(f'{known[name]}: reuses unknown method "{owner}".{nearest(owner, known)}')
            if owner not in todo:
                todo.append(owner)
    return found


def resolve_stages(method: str, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Replace `use: other.stage` by that stage; add its name and what its method says of all stages.

    Raises:
        ConfigError: the reused stage does not exist, or stages reuse each other in a circle.
    """
    stages = {}
    for name in bodies[method]["stages"]:
        owner, source = _origin(method, name, bodies)
        stages[name] = {
            "augment": {},
            "train": {},
            **bodies[owner]["stages"][source],
            "name": f"{owner}.{source}",
            **{key: bodies[owner].get(key, empty) for key, empty in _OF_OWNER.items()},
        }
    return stages


def _origin(method: str, stage: str, bodies: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Follow `use` to the method and stage where the content stands."""
    seen = [(method, stage)]
    while use := bodies[seen[-1][0]]["stages"][seen[-1][1]].get("use"):
        owner, _, source = str(use).partition(".")
        known = bodies[owner]["stages"]
        if source not in known:
            raise ConfigError(f'method {method}: {owner} has no stage "{source}".{nearest(source, known)}')
        if (owner, source) in seen:
            raise ConfigError(f"method {method}: stage {stage} reuses itself, by way of {use}")
        seen.append((owner, source))
    return seen[-1]
