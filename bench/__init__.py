"""Benchmark harness for human-centric vision pretraining.

For notebooks and scripts:

    import bench

    plan = bench.plan(methods="scratch,cmc", tasks="densepose", fractions="0.1,1.0")
    scores = bench.run(methods="scratch,cmc", tasks="densepose", fractions="0.1,1.0", store="bench-store")
    tables = bench.leaderboard("bench-store")
    encoder = bench.load_encoder(scores.key[0], store="bench-store")
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.notebook import leaderboard, load_encoder, plan, run

__all__ = ["leaderboard", "load_encoder", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from bench import notebook  # imported where used: commands must start quickly

    return getattr(notebook, name)


class _Package(ModuleType):
    """Keeps `bench.grid.plan` the function: importing `bench/grid/plan.py` would put the module there."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
