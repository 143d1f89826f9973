"""Before the first step starts: all adapters and data sets that are needed take their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from bench.adapters.loading import ImportFailure, load_configured
from bench.api import Encoder, Method, Task
from bench.data.opening import adapter_of, typed
from bench.errors import BenchError, ConfigError
from bench.execute.data_jobs import specs_of_step
from bench.files import canonical
from bench.grid.plan import Step
from bench.grid.weights import located


def check_adapters(steps: Iterable[Step], config_dirs: Sequence[str]) -> list[str]:
    """Import the adapters of steps and of what these need, build their configs, check what data they ask for.

    Returns:
        Lines about code that fails while it is imported; it fails the steps that need it, no others.

    Raises:
        ConfigError: no such class, one of another kind, a wrong value, or data that cannot be.
        AssetError: the code of one has changed since the grid was planned; or weights do not fit an encoder.
    """
    needed = {s.key: s for top in steps for s in (*top.ancestors(), top)}.values()
    seen = set()
    said: list[str] = []
    for step in needed:
        if step.kind not in ("pretrain", "finetune", "probe"):
            continue
        spec = step.spec
        name, base = (spec["task"], Task) if "task" in spec else (spec["name"], Method)
        encoders = [spec["encoder"], *spec.get("encoders", {}).values()]
        parts = [(spec, base, name), *((encoder, Encoder, encoder["name"]) for encoder in encoders)]
        for part, kind, where in parts:
            what = canonical([part["adapter"], part.get("source"), part["config"], part.get("head"), where])
            if what not in seen:
                seen.add(what)
                said += _guarded(part, partial(_check_part, part, kind, str(where), config_dirs))
        if step.kind == "pretrain" and spec["config"].get("file") and "layout" in spec["config"]:
            _check_weights(step, config_dirs)
    for data in {canonical(data): data for step in needed for data in specs_of_step(step)}.values():
        said += _guarded(data, partial(_check_data, data, config_dirs))
    return said


def _check_part(part: Mapping[str, Any], kind: type, where: str, config_dirs: Sequence[str]) -> None:
    adapter, _ = load_configured(part, kind, where, config_dirs)
    head = part.get("head", "knn")  # neighbours need none
    if head != "knn" and adapter.probe_head is Task.probe_head:
        raise ConfigError(
            f"task {where}: adapter {part['adapter']}: its class defines no probe_head(), which the protocol "
            f"{head} of its probes trains"
        )


def _check_weights(step: Step, config_dirs: Sequence[str]) -> None:
    """Check the header of a file of weights against the encoders that it shall fill, without its numbers."""
    import torch

    from bench.encoders.build import build_encoder
    from bench.encoders.image import ImageEncoder
    from bench.encoders.pretrained import Source, check_pretrained

    config = located(step.spec["config"], step.resources)
    names = {f.name for f in fields(Source)}
    source = Source(**{key: value for key, value in config.items() if key in names})
    for modality, chosen in step.spec["encoders"].items():
        with torch.device("meta"):
            encoder = build_encoder(chosen, modality, None, config_dirs)
        if isinstance(encoder, ImageEncoder):
            check_pretrained(encoder, source)


def _check_data(spec: Mapping[str, Any], config_dirs: Sequence[str]) -> None:
    try:
        adapter_of(spec, config_dirs).check(typed(spec))
    except ImportFailure:
        raise
    except ConfigError as error:
        raise ConfigError(f"data set {spec['name']}: {error}") from error


def _guarded(part: Mapping[str, Any], load: Callable[[], object]) -> list[str]:
    try:
        load()
    except ImportFailure as error:
        return [f"{error}; its cells will fail"]
    except BenchError:
        raise
    except Exception as error:  # whatever code of others raises when it is imported
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return [f"adapter {part['adapter']} cannot be imported, its cells will fail: {said}"]
    return []
