"""Where a number comes from: code revision, versions, device. No paths, no user or host names."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.adapters.sources import ROOT, shipped_digest
from bench.files import canonical, sha256_file, sha256_text

SOURCES = ("bench", "methods", "tasks", "configs", "pyproject.toml")  # what can change a number
PACKAGES = ("bodybench", "torch", "timm", "numpy", "numba", "scipy", "lightning-fabric")


@functools.cache
def revision() -> dict[str, str]:
    """Return the git commit and a digest of what is not committed ("" = nothing).

    Outside a checkout the version of the package and a digest of its sources stand in for the commit.
    """
    top, _, commit = _git("rev-parse", "--show-toplevel", "HEAD").partition("\n")
    if not commit or Path(top).resolve() != ROOT:  # no checkout, or installed inside somebody else's
        return {"commit": f"{_version('bodybench') or '0'}+{_sources_sha256()[:16]}", "dirty_sha256": ""}
    changes = _git("diff", "--no-ext-diff", "--binary", "HEAD", "--", *SOURCES)
    changes += _git("ls-files", "--others", "--exclude-standard", "--", *SOURCES)
    return {"commit": commit, "dirty_sha256": sha256_text(changes)[:16] if changes else ""}


def _sources_sha256() -> str:
    """Return a digest of all files that can change a number."""
    files = [p for name in SOURCES for p in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else ())]
    named = {str(p.relative_to(ROOT)): sha256_file(p) for p in files if p.suffix in (".py", ".yaml", ".npz")}
    return sha256_text(canonical(named))


def is_dirty(made: Mapping[str, Any]) -> bool:
    """Say whether a provenance entry tells of uncommitted changes."""
    return made.get("dirty_sha256") not in (None, "", "unknown")


def _git(*words: str) -> str:
    """Return what git prints about the project's folder, "" where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@functools.cache
def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def provenance(device: str, adapters: Iterable[str] = ()) -> dict[str, Any]:
    """Return the provenance entry of a record.

    Args:
        device: name of what computed it, e.g. "NVIDIA H200" or the processor's name.
        adapters: addresses of those involved; the code of the project's is told by a digest, that of others
            by the key.
    """
    return {
        **revision(),
        "source_sha256": shipped_digest(adapters),
        "versions": {name: _version(name) for name in PACKAGES},
        "python": ".".join(map(str, sys.version_info[:3])),
        "device": device,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
