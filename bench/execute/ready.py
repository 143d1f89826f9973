"""Before the first step starts: every adapter that will be needed can be imported and takes its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.api import Encoder, Method, Task
from bench.console import warn
from bench.errors import BenchError
from bench.files import canonical
from bench.plan import Step
from bench.train.adapters import ImportFailure, load_configured


def check_adapters(steps: Iterable[Step], config_dirs: Sequence[str]) -> None:
    """Import the adapters of steps and of what these need, and build their configs.

    Code that fails while it is imported fails the steps that need it, no others; here it is only named.

    Raises:
        ConfigError: no such class, one of another kind, or a wrong value.
        AssetError: the code of one has changed since the grid was planned.
    """
    seen = set()
    for step in {s.key: s for top in steps for s in (*top.ancestors(), top)}.values():
        if step.kind not in ("pretrain", "finetune"):
            continue
        spec = step.spec
        name, base = (spec["task"], Task) if step.kind == "finetune" else (spec["name"], Method)
        for part, kind, where in ((spec, base, name), (spec["encoder"], Encoder, spec["encoder"]["name"])):
            what = canonical([part["adapter"], part.get("source"), part["config"], where])
            if what not in seen:
                seen.add(what)
                _load(part, kind, str(where), config_dirs)


def _load(spec: Mapping[str, Any], kind: type, where: str, config_dirs: Sequence[str]) -> None:
    try:
        load_configured(spec, kind, where, config_dirs)
    except ImportFailure as error:
        warn(f"{error}; its cells will fail")
    except BenchError:
        raise
    except Exception as error:  # whatever code of others raises when it is imported
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        warn(f"adapter {spec['adapter']} cannot be imported, its cells will fail: {said}")
