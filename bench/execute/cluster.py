"""Values of the user's cluster, from one YAML; nothing of it is part of a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bench import caches
from bench.errors import ConfigError
from bench.settings import Count, convert

EXAMPLE = "configs/site/example.yaml"


class Cluster(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How jobs are submitted here; `configs/site/example.yaml` says what each value means."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    setup: tuple[str, ...] = ()
    array_limit: Count = 1000
    at_once: Count = 256
    max_attempts: Count = 5
    signal_s: Count = 90
    sbatch: dict[str, Any] = field(default_factory=dict)


def load_cluster(file: str) -> Cluster:
    """Return the values of a site YAML.

    Args:
        file: its path; "" = the user's own (`~/.config/bodybench/site.yaml`) if there is one, else defaults.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, or a value of the wrong type.
    """
    from bench.grid.registry import load

    path = Path(file).expanduser() if file else own_file()
    if path is None or (not file and not path.exists()):
        return Cluster()
    if not path.is_file():
        raise ConfigError(f"--site {file}: no such file; {EXAMPLE} shows what it may hold")
    return convert(load(path, "site"), Cluster, str(path), ": ")


def own_file() -> Path | None:
    """Return where a user's site values lie when no file is named; None for a user without a home."""
    if named := os.environ.get("XDG_CONFIG_HOME"):
        return Path(named) / "bodybench" / "site.yaml"
    home = caches.home()
    return home / ".config" / "bodybench" / "site.yaml" if home else None
