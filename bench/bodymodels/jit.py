"""One way to compile numba kernels: strict floating point, cached on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from bench import caches

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function with numba: no fast-math, lock released, machine code cached.

    The cache lies in the folder of `bench.caches`; `NUMBA_CACHE_DIR` overrides it.
    """
    place = os.environ.get("NUMBA_CACHE_DIR") or caches.folder() / "kernels"
    with caches.numba_cache(numba, place):
        return cast(F, numba.njit(cache=True, nogil=True, fastmath=False)(function))
