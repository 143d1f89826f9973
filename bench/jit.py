"""One way to compile kernels with numba.

Compiled code is cached in the user's cache folder under a digest of all kernel sources: a kernel calls
functions of other modules, and numba alone would not notice when those change.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(*, fast: bool = False) -> Callable[[F], F]:
    """Decorate a function to be compiled with numba; without a writable cache it is compiled in memory.

    Args:
        fast: allow the compiler to reorder floating-point sums. For colours alone: labels and depth must
            not depend on the compiler.
    """

    def compile_(function: F) -> F:
        folder = _cache_folder()
        options: dict[str, Any] = {"nogil": True, "fastmath": fast, "error_model": "numpy", "_nrt": False}
        if folder is None:
            return cast(F, numba.njit(**options)(function))
        config: Any = numba.config
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            return cast(F, numba.njit(cache=True, **options)(function))
        finally:
            config.CACHE_DIR = before

    return compile_


def _cache_folder() -> Path | None:
    """First writable of `NUMBA_CACHE_DIR`, the user's cache and the temporary folder, or None."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*_numba.py")):
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
