"""Data sets of a plan: which are needed, and rendering, checking and showing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bench.console import is_terminal, live_line, warn
from bench.errors import ConfigError, nearest
from bench.files import canonical
from bench.plan import Plan, Step
from bench.resources import cores
from bench.store import Store

DataSpec = Mapping[str, Any]


def specs_of_step(step: Step) -> list[DataSpec]:
    """Return the data specs that a step reads (a score step: those of its whole chain after pretraining)."""
    own = step.spec.get("data") or {}
    specs = [own] if "parts" in own else list(own.values())
    if step.kind in ("predict", "score"):
        specs += specs_of_step(step.inputs[0])
    return specs


def specs_of(plan: Plan) -> list[DataSpec]:
    """Return all data specs of a plan, each once, pretraining first."""
    found = {canonical(spec): spec for step in plan.steps for spec in specs_of_step(step)}
    return list(found.values())


def prepare(specs: Iterable[DataSpec], root: Path, jobs: int | None = None) -> int:
    """Render what data specs lack, and show how far that is; several processes may do so at the same time.

    Args:
        specs: plain data specs.
        root: data folder.
        jobs: processes; None = one per core.

    Returns:
        Samples that this call rendered.

    Raises:
        ConfigError: a spec is wrong.
        DataError: disk full, no permission, or a rendering process died.
    """
    from bench.data.build import build
    from bench.data.synthetic import Synthetic

    line = live_line() if is_terminal() else None
    task = line.add_task("rendering", visible=False) if line else None
    told = -1

    def tell(there: int, wanted: int) -> None:
        nonlocal told
        if line and task is not None:
            line.update(task, completed=there, total=wanted, visible=True)
        elif there * 10 // wanted != told:
            told = there * 10 // wanted
            warn(f"rendering {there}/{wanted}")

    with line or nullcontext():
        return build(specs, root, Synthetic(), jobs=jobs or cores(), on_progress=tell)


def verify_all(specs: Iterable[DataSpec], store: Store) -> list[str]:
    """Check every checksum of the data sets; return one line per problem."""
    from bench.data.build import verify
    from bench.data.synthetic import Synthetic

    problems = [p for spec in specs for p in verify(spec, store.data, Synthetic())]
    return list(dict.fromkeys(problems))


def show_all(specs: Sequence[DataSpec], store: Store, out: Path) -> str:
    """Write a contact sheet of the first samples of each data set."""
    from bench import caches
    from bench.data.show import show

    caches.settle(store.root)
    return "\n".join(str(p) for p in show(specs, store.data, out))


def manifest_all(specs: Iterable[DataSpec], store: Store, split: str) -> str:
    """Return a table of all splits (samples, people, SHA-256), or the ids of one split.

    Raises:
        ConfigError: no such split.
    """
    from bench.data import manifest
    from bench.data.people import part_ids

    found = {
        f"{p['domain']}/{p['split']}": part_ids(spec, i)
        for spec in specs
        for i, p in enumerate(spec["parts"])
    }
    if split:
        if split not in found:
            raise ConfigError(f'unknown split "{split}".{nearest(split, found)}')
        return "\n".join(found[split])
    return "\n".join(
        f"{name:<24} {len(ids):>7} samples  {manifest.sha256(ids)}" for name, ids in found.items()
    )
