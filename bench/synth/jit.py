"""Compiled kernels, and the switch to the numpy renderer.

Compiled code is cached (`bench.caches`) under a digest of all kernel sources: a kernel calls
functions of other modules, and numba alone would not notice when those change.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from bench import caches
from bench.files import writing

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
        options: dict[str, Any] = {"nogil": True, "fastmath": fast, "error_model": "numpy", "_nrt": False}
        with caches.numba_cache(numba, _cache_folder()):
            return cast(F, numba.njit(cache=True, **options)(function))

    return compile_


def _cache_folder() -> Path:
    """Folder of these kernels in `NUMBA_CACHE_DIR`, or where caches are."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*_numba.py")):
        digest.update(source.read_bytes())
    root = os.environ.get("NUMBA_CACHE_DIR") or caches.folder()
    folder = Path(root) / f"kernels-{digest.hexdigest()[:12]}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
