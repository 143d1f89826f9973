"""Checks of a plan before anything runs: settings of adapters, what switches them off, sizes. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from bench.config_class import config_class
from bench.data import augment_spec
from bench.errors import ConfigError, nearest
from bench.plan import Plan, Step
from bench.request import Request
from bench.schema import Finetune, Train
from bench.settings import check_read, convert
from bench.sources import Place, place_of

GRAPH_ADAPTER = "bench.encoders.graph:SemGCN"

Read = Callable[[str, Place], type | None]  # of a `Config`


def check_plan(request: Request, plan: Plan) -> None:
    """Check the settings of all adapters of a plan.

    A `Config` that cannot be read without importing its module is checked by `bench run`, before the first
    step starts.

    Raises:
        ConfigError: a setting is unknown, of another type, out of range, or not read because of another one;
            or sizes do not go together.
    """
    _check_domains(request)
    read = cache(config_class)
    for step in _different(plan):
        spec = step.spec
        configs = [
            _settings(read, request, spec, _section(spec)),
            _settings(read, request, spec["encoder"], f"encoder.{spec['encoder']['name']}.config"),
        ]
        for found in filter(None, configs):
            if hasattr(found, "check"):
                found.check(size=int(request.preset["size"]), encoder=spec["encoder"])
        graph = {"adapter": GRAPH_ADAPTER, "config": spec["encoder"]["graph"]}
        _settings(read, request, graph, f"encoder.{spec['encoder']['name']}.graph")
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
            "--tasks or budgets, or name published weights: method.NAME.stages.STAGE.config.file=PATH"
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
    if name == "fraction" and samples * Fraction(value) < 1:
        raise ConfigError(
            f"--fractions: {float(Fraction(value)):g} of the {samples} samples of "
            "preset.finetune.samples.train is less than one sample"
        )


def _check_domains(request: Request) -> None:
    """Check the names of domains, where the data set lists its own."""
    known = request.dataset.get("domains", {})
    wanted = {f"preset.pretrain.samples.{d}": (d, "pretrain") for d in request.preset["pretrain"]["samples"]}
    wanted |= {f"task.{name}.domain": (str(task["domain"]), "train") for name, task in request.tasks.items()}
    for key, (domain, split) in wanted.items():
        fit = [name for name, splits in known.items() if split in splits]
        if known and domain not in fit:
            raise ConfigError(
                f'{key}: there is no domain "{domain}" with a split {split}.{nearest(domain, fit)}'
            )
