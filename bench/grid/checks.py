"""Checks of a plan before anything runs: settings of adapters, what switches them off, sizes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from bench.adapters.config_class import config_class
from bench.adapters.sources import Place, place_of
from bench.errors import ConfigError, nearest
from bench.grid import augment_spec
from bench.grid.plan import Plan, Step
from bench.grid.request import Request
from bench.grid.schema import Finetune, Train
from bench.settings import check_read, convert

Read = Callable[[str, Place], type | None]  # of a `Config`


def check_plan(request: Request, plan: Plan) -> None:
    """Check the settings of all adapters of a plan.

    A `Config` that cannot be read without importing its module is checked by `bench run`, before the first
    step starts.

    Raises:
        ConfigError: a setting is unknown, of another type, out of range, or not read because of another one;
            or sizes do not go together.
    """
    _check_sources(request)
    read = cache(config_class)
    for step in _different(plan):
        spec = step.spec
        encoders = spec.get("encoders", {"": spec["encoder"]})
        settings = [(_settings(read, request, spec, _section(spec)), spec["encoder"])]
        for encoder in encoders.values():
            where = f"encoder.{encoder['name']}.config"
            settings.append((_settings(read, request, encoder, where), encoder))
        height, width = spec["size"] if step.kind == "pretrain" else spec["data"]["train"]["size"]
        for found, encoder in settings:
            if hasattr(found, "check"):
                found.check(size=(int(height), int(width)), encoder=encoder, encoders=encoders)
        _check_recipe(request, step)
        if step.kind == "finetune":
            _check_budget(spec)


def check_applies(plan: Plan) -> None:
    """Make sure that at least one cell of a grid can be run.

    Raises:
        ConfigError: none can; why, and what to do.
    """
    reasons = list(dict.fromkeys(cell.reason for cell in plan.cells if cell.step is None))
    if len(reasons) and all(cell.step is None for cell in plan.cells):
        raise ConfigError(
            f"no cell of this grid can be run: {'; '.join(reasons)}. Choose other --encoders, --methods, "
            "--tasks or budgets, or name published weights: --weights NAME=FILE"
        )


def _different(plan: Plan) -> Iterator[Step]:
    """Yield the trainings of a plan that differ in more than seeds; budgets count."""
    seen = set()
    for step in plan.steps:
        if step.kind in ("pretrain", "finetune"):
            spec = step.spec
            what = (
                step.kind,
                spec.get("name"),
                spec.get("task"),
                spec["encoder"]["name"],
                spec.get("budget"),
            )
            if what not in seen:
                seen.add(what)
                yield step


def _section(spec: Mapping[str, Any]) -> str:
    """Return the dotted key of an adapter's config."""
    if "task" in spec:
        return f"task.{spec['task']}.config"
    owner, _, stage = str(spec["name"]).partition(".")
    return f"method.{owner}.stages.{stage}.config"


def _settings(read: Read, request: Request, spec: Mapping[str, Any], where: str) -> Any:
    """Check a `config` section; return it as the adapter will get it, None where that needs an import."""
    folder = request.folders.get(".".join(where.split(".")[:2]), "")
    kind = read(str(spec["adapter"]), place_of(str(spec["adapter"]), Path(folder)))
    if kind is None:
        return None
    found: Any = convert(spec["config"], kind, where)
    _check_read(request, found, where)
    return found


def _check_read(request: Request, found: Any, where: str) -> None:
    for key in request.changes:
        if key.startswith(f"{where}."):
            check_read(key.removeprefix(f"{where}.").partition(".")[0], found, where)


def _check_recipe(request: Request, step: Step) -> None:
    """Check that changed settings of recipe and augmentation are read."""
    section = _section(step.spec).removesuffix(".config")
    _check_read(request, augment_spec.parse(step.spec["augment"]), f"{section}.augment")
    if step.kind == "finetune":
        _check_read(request, convert(request.preset["finetune"], Finetune, ""), "preset.finetune")
    elif step.spec["train"]:
        given = {k: v for k, v in step.spec["train"].items() if k not in ("batch", "steps")}
        _check_read(request, convert(given, Train, ""), f"{section}.train")


def _check_budget(spec: Mapping[str, Any]) -> None:
    name, _, value = str(spec["budget"]).partition("=")
    samples = sum(part["samples"] for part in spec["data"]["train"]["parts"])
    if name == "fraction" and samples and samples * Fraction(value) < 1:
        raise ConfigError(
            f"--fractions: {float(Fraction(value)):g} of the {samples} samples of the "
            "training split is less than one sample"
        )


def _check_sources(request: Request) -> None:
    """Check the names of sources, where the data set lists its own."""
    wanted: list[tuple[str, str, str, str]] = []
    for mix, body in request.preset["pretrain"]["mixes"].items():
        if body["dataset"] in request.datasets:
            for source in body["samples"]:
                wanted.append((f"preset.pretrain.mixes.{mix}.samples.{source}", body["dataset"], source, ""))
    for task in request.tasks.values():
        key = f"task.{task['name']}.data.{task['dataset']}.source"
        wanted += [(key, task["dataset"], task["source_name"], s) for s in task["splits"].values() if s]
    for key, dataset, source, split in wanted:
        known = request.datasets[dataset]["sources"]
        fit = [name for name, splits in known.items() if not split or split in splits]
        if known and source not in fit:
            with_split = f" with a split {split}" if split else ""
            raise ConfigError(f'{key}: there is no source "{source}"{with_split}.{nearest(source, fit)}')
