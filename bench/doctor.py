"""`bench doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from bench import caches
from bench.errors import BenchError
from bench.grid.resources import cores
from bench.records.provenance import revision
from bench.records.store import Store

LOW_DISK_GB = 5.0


def examine(store: Path) -> tuple[str, bool]:
    """Return a report, and whether nothing needs attention."""
    lines: list[str] = []
    healthy = True
    for name, check in _CHECKS.items():
        fine, text = check(store)
        healthy &= fine
        lines.append(f"{'ok  ' if fine else 'BAD '} {name:<10} {text}")
    return "\n".join(lines), healthy


def _python(store: Path) -> tuple[bool, str]:
    found = ".".join(map(str, sys.version_info[:3]))
    return (3, 11) <= sys.version_info[:2] <= (3, 13), f"{found} (supported: 3.11 to 3.13)"


def _packages(store: Path) -> tuple[bool, str]:
    wanted = [r for r in requires("bodybench") or [] if "extra ==" not in r]
    names = [r.split(">")[0].split("<")[0].split("=")[0].strip() for r in wanted]
    missing = []
    for name in names:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return False, f"missing: {', '.join(missing)}; run pip install -e ."
    return True, ", ".join(f"{n} {version(n)}" for n in ("torch", "timm", "numpy") if n in names)


def _device(store: Path) -> tuple[bool, str]:
    import torch

    if torch.cuda.is_available():
        return True, f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}), {cores()} cores"
    if Path("/dev/nvidia0").exists():
        return False, "there is a GPU, but torch cannot use it; install a torch build that fits its driver"
    return True, f"CPU, {cores()} cores (presets beyond tiny want a GPU)"


def _store(store: Path) -> tuple[bool, str]:
    try:
        Store(store).prepare()
    except BenchError as error:
        return False, str(error)
    return _room(store)


def _data(store: Path) -> tuple[bool, str]:
    place = Store(store).data
    if caches.is_writable(place):
        return _room(place)
    if place.is_dir():
        return True, f"{place}: read-only, what it lacks cannot be rendered (BENCH_DATA=DIR)"
    return False, f"{place} cannot be made or written; choose another folder (BENCH_DATA=DIR)"


def _cache(store: Path) -> tuple[bool, str]:
    try:
        return _room(caches.folder())
    except BenchError as error:
        return False, str(error)


def _room(place: Path) -> tuple[bool, str]:
    free = shutil.disk_usage(place).free / 1e9
    if free < LOW_DISK_GB:
        return False, f"{place}: writable, but only {free:.1f} GB free"
    return True, f"{place}: writable, {free:.0f} GB free"


def _weights(store: Path) -> tuple[bool, str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    hub = Path(HF_HUB_CACHE)
    found = sorted(hub.glob("models--timm--*")) if hub.is_dir() else []
    if found:
        return True, f"{len(found)} timm checkpoints in {hub}"
    return (
        True,
        "no timm checkpoint in the hub cache; method imagenet fetches one, or takes --weights imagenet=FILE",
    )


def _revision(store: Path) -> tuple[bool, str]:
    found = revision()
    dirty = " with uncommitted changes" if found["dirty_sha256"] not in ("", "unknown") else ""
    return True, f"commit {found['commit'][:12]}{dirty}"


_CHECKS: dict[str, Callable[[Path], tuple[bool, str]]] = {
    "python": _python,
    "packages": _packages,
    "device": _device,
    "store": _store,
    "data": _data,
    "cache": _cache,
    "weights": _weights,
    "revision": _revision,
}
