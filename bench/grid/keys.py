"""Keys and folder names of steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bench.files import canonical, sha256_text


def step_key(kind: str, spec: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """Return 16 hex digits of the SHA-256 over kind, spec and the keys of the inputs."""
    return sha256_text(canonical({"kind": kind, "spec": spec, "inputs": list(inputs)}))[:16]


def step_slug(words: Sequence[str], seed: int) -> str:
    """Return a name that is readable and fit for a folder."""
    return re.sub(r"[^A-Za-z0-9.=_-]+", "-", "-".join(words))[:76] + f"-s{seed}"
