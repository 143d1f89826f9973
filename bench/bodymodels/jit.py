"""One way to compile numba kernels: strict floating point, cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function with numba: no fast-math, lock released, machine code cached.

    The cache lies beside the source, or in the user's cache folder where the source is read-only
    (`NUMBA_CACHE_DIR` overrides both). Without any writable place the function is compiled in memory.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True, fastmath=False)(function)
    except RuntimeError:  # numba finds no writable cache folder
        compiled = numba.njit(nogil=True, fastmath=False)(function)
    return cast(F, compiled)
