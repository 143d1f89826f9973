"""Values of the user's cluster, from one YAML; nothing of it is part of a key."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import caches
from bench.errors import ConfigError, nearest

EXAMPLE = "configs/site/example.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How jobs are submitted here; `configs/site/example.yaml` says what each value means."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    setup: tuple[str, ...] = ()
    array_limit: int = 1000
    at_once: int = 256
    max_attempts: int = 5
    signal_s: int = 90
    sbatch: dict[str, Any] = field(default_factory=dict)


def load_cluster(file: str) -> Cluster:
    """Return the values of a site YAML.

    Args:
        file: its path; "" = the user's own (`~/.config/bodybench/site.yaml`) if there is one, else defaults.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, or a value of the wrong type.
    """
    from bench.registry import load

    path = Path(file).expanduser() if file else own_file()
    if path is None or (not file and not path.exists()):
        return Cluster()
    if not path.is_file():
        raise ConfigError(f"--site {file}: no such file; {EXAMPLE} shows what it may hold")
    body = load(path, "site")
    known = {f.name: f for f in dataclasses.fields(Cluster)}
    for name, value in body.items():
        if name not in known:
            raise ConfigError(f'{path}: unknown key "{name}".{nearest(name, known)}')
        if wanted := _wrong(value, known[name].type):
            raise ConfigError(f"{path}: {name}: {value!r} is not {wanted}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in body.items()}
    return Cluster(**values)


def own_file() -> Path | None:
    """Return where a user's site values lie when no file is named; None for a user without a home."""
    if named := os.environ.get("XDG_CONFIG_HOME"):
        return Path(named) / "bodybench" / "site.yaml"
    home = caches.home()
    return home / ".config" / "bodybench" / "site.yaml" if home else None


def _wrong(value: object, kind: object) -> str:
    """Return what a value should be, "" where it is that."""
    match kind:
        case "str":
            return "" if isinstance(value, str) else "text; quote it"
        case "int":
            right = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            return "" if right else "a whole number of at least 1"
        case "tuple[str, ...]":
            right = isinstance(value, list) and all(isinstance(item, str) for item in value)
            return "" if right else "a list of text"
        case _:
            return "" if isinstance(value, dict) else "a section"
