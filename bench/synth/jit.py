"""Compiled kernels, and the switch to the numpy renderer.

Compiled code is cached in the user's cache folder under a digest of all kernel sources: a kernel calls
functions of other modules, and numba alone would not notice when those change.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_forced_lite = False


def shading() -> Literal["full", "lite"]:
    """Which renderer is in use: compiled, or the plainer numpy one where numba is missing.

    Labels are the same; pictures are not, so results must not be mixed.
    """
    if _forced_lite or importlib.util.find_spec("numba") is None:
        return "lite"
    return "full"


@contextmanager
def lite_shading() -> Iterator[None]:
    """Use the numpy renderer inside the block, as if numba were missing."""
    global _forced_lite
    before, _forced_lite = _forced_lite, True
    try:
        yield
    finally:
        _forced_lite = before


def kernel(*, fast: bool = False) -> Callable[[F], F]:
    """Decorate a function to be compiled with numba.

    Args:
        fast: allow the compiler to reorder floating-point sums. For colours alone: labels and depth must
            not depend on the compiler.
    """

    def compile_(function: F) -> F:
        numba: Any = importlib.import_module("numba")
        folder = _cache_folder()
        options: dict[str, Any] = {"nogil": True, "fastmath": fast, "error_model": "numpy", "_nrt": False}
        if folder is None:
            return cast(F, numba.njit(**options)(function))
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)
        try:
            return cast(F, numba.njit(cache=True, **options)(function))
        finally:
            numba.config.CACHE_DIR = before

    return compile_


def _cache_folder() -> Path | None:
    """First writable of `NUMBA_CACHE_DIR`, the user's cache and the temporary folder, or None."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*_numba.py")):
        digest.update(source.read_bytes())
    roots = [
        os.environ.get("NUMBA_CACHE_DIR"),
        os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        tempfile.gettempdir(),
    ]
    for root in roots:
        if not root:
            continue
        folder = Path(root) / "bodybench" / f"kernels-{digest.hexdigest()[:12]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None
