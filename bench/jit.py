"""One way to compile kernels with numba.

Compiled code is cached (`bench.caches`) under a digest of all kernel sources: a kernel calls
functions of other modules, and numba alone would not notice when those change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from bench import caches
from bench.files import writing

F = TypeVar("F", bound=Callable[..., Any])


def kernel(*, fast: bool = False) -> Callable[[F], F]:
    """Decorate a function to be compiled with numba; without a writable cache it is compiled in memory.

    Args:
        fast: allow the compiler to reorder floating-point sums. For colours alone: labels and depth must
            not depend on the compiler.
    """

    def compile_(function: F) -> F:
        options: dict[str, Any] = {"nogil": True, "fastmath": fast, "error_model": "numpy", "_nrt": False}
        with caches.numba_cache(numba, _cache_folder()):
            return cast(F, numba.njit(cache=True, **options)(function))

    return compile_


def _cache_folder() -> Path:
    """Folder of these kernels in `NUMBA_CACHE_DIR`, or where caches are."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*_numba.py")):
        digest.update(source.read_bytes())
    root = os.environ.get("NUMBA_CACHE_DIR") or caches.folder()
    folder = Path(root) / f"kernels-{digest.hexdigest()[:12]}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
