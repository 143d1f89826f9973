"""Data sets of a plan: which are needed, and rendering, checking and showing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.console import is_terminal, live_line, warn
from bench.errors import AssetError, ConfigError, nearest
from bench.files import canonical
from bench.grid.plan import Plan, Step
from bench.grid.resources import cores
from bench.records.store import Store

if TYPE_CHECKING:
    from bench.dataset import Found

DataSpec = Mapping[str, Any]


def specs_of_step(step: Step) -> list[DataSpec]:
    """Return the data specs that a step reads (a score step: those of its whole chain after pretraining)."""
    own = step.spec.get("data") or {}
    specs = [own] if "parts" in own else [spec for spec in own.values() if spec]
    if step.kind in ("predict", "score"):
        specs += specs_of_step(step.inputs[0])
    return specs


def specs_of(plan: Plan) -> list[DataSpec]:
    """Return all data specs of a plan, each once, pretraining first."""
    found = {canonical(spec): spec for step in plan.steps for spec in specs_of_step(step)}
    return list(found.values())


def prepare(
    specs: Iterable[DataSpec], root: Path, jobs: int | None = None, config_dirs: Sequence[str] = ()
) -> int:
    """Make what data specs lack, and show how far that is; several processes may do so at the same time.

    Args:
        specs: plain data specs.
        root: data folder.
        jobs: processes; None = one per core.
        config_dirs: where adapters are found besides.

    Returns:
        Samples that this call made.

    Raises:
        ConfigError: a spec is wrong.
        DataError: disk full, no permission, or a process that makes samples died.
        AssetError: a user's files are not where they were said to be.
    """
    from bench.data import opening

    line = live_line() if is_terminal() else None
    task = line.add_task("preparing data", visible=False) if line else None
    told = -1

    def tell(there: int, wanted: int) -> None:
        nonlocal told
        if line and task is not None:
            line.update(task, completed=there, total=wanted, visible=True)
        elif there * 10 // wanted != told:
            told = there * 10 // wanted
            warn(f"preparing data {there}/{wanted}")

    with line or nullcontext():
        return opening.prepare(specs, root, jobs or cores(), config_dirs, tell)


def verify_all(specs: Iterable[DataSpec], store: Store, config_dirs: Sequence[str] = ()) -> list[str]:
    """Check every checksum of the data sets; return one line per problem."""
    from bench.data.opening import adapter_of, typed

    problems = [p for spec in specs for p in adapter_of(spec, config_dirs).verify(typed(spec), store.data)]
    return list(dict.fromkeys(problems))


def show_all(specs: Sequence[DataSpec], store: Store, out: Path, config_dirs: Sequence[str] = ()) -> str:
    """Write a contact sheet of the first samples of each data set; those that are missing are made."""
    from bench import caches
    from bench.data.show import show

    caches.settle(store.root)
    return "\n".join(str(p) for p in show(specs, store.data, out, config_dirs))


def manifest_all(specs: Iterable[DataSpec], store: Store, split: str, config_dirs: Sequence[str] = ()) -> str:
    """Return a table of all splits (samples, SHA-256), or the ids of one split.

    Raises:
        ConfigError: no such split.
    """
    from bench.data import manifest
    from bench.data.opening import adapter_of, typed

    found: dict[str, list[str]] = {}
    for spec in map(typed, specs):
        for part in spec.parts:
            ids = adapter_of(spec, config_dirs).list_ids(replace(spec, parts=(part,)), store.data)
            name = f"{part.source}/{part.split}"
            if len(ids) > len(found.get(name, ())):
                found[name] = list(ids)
    if split:
        if split not in found:
            raise ConfigError(f'unknown split "{split}".{nearest(split, found)}')
        return "\n".join(found[split])
    return "\n".join(
        f"{name:<24} {len(ids):>7} samples  {manifest.sha256(ids)}" for name, ids in found.items()
    )


def add(name: str, root: Path, adapter: str, config_dirs: Sequence[str] = ()) -> str:
    """Look a user's files over and register where they lie; return what to tell.

    Raises:
        AssetError: something is wrong with the files; names the first problems.
    """
    from bench.grid import places

    found = look_over(adapter, root, config_dirs)
    if found.problems:
        more = f"; and {len(found.problems) - 3} more" if len(found.problems) > 3 else ""
        raise AssetError(f"{name}: {'; '.join(found.problems[:3])}{more}")
    entry = places.Registered(root=str(root.resolve()), digest=found.digest, counts=found.counts)
    return f"{found.text}\n{name} is registered in {places.add(name, entry)}"


def look_over(adapter: str, root: Path, config_dirs: Sequence[str] = ()) -> Found:
    """Look at a user's files, with a line now and then on how far that is.

    Raises:
        AssetError: there is no such folder.
        ConfigError: the data set needs no files.
    """
    from bench.adapters.loading import load_adapter

    if not root.is_dir():
        raise AssetError(f"there is no folder {root}")
    told = -1

    def tell(what: str, done: int, total: int) -> None:
        nonlocal told
        if done * 10 // total != told:
            told = done * 10 // total
            warn(f"looking at {what}: {done}/{total}")

    found: Found = load_adapter(adapter, config_dirs).look_over(root, tell)
    return found
