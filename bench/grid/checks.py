"""Checks of a plan before anything runs: settings of adapters, what switches them off, sizes. No torch."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from bench.adapters.config_class import config_class, constant
from bench.adapters.loading import build_config
from bench.adapters.sources import Place, place_of
from bench.errors import AssetError, BenchError, ConfigError, nearest, told
from bench.grid import augment_spec
from bench.grid.plan import Plan, Step
from bench.grid.request import Request
from bench.grid.schema import Finetune, Probe, Train
from bench.grid.supervision import absent
from bench.grid.weights import placed
from bench.modalities import MODALITIES, there
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
    _check_published(request)
    _check_weights(request, plan)
    read = cache(config_class)
    for name, body in request.datasets.items():
        _settings(read, request, body, f"dataset.{name}.config")
    for step in _different(plan):
        spec = step.spec
        encoders = spec.get("encoders", {"": spec["encoder"]})
        own = {**spec, "config": placed(spec["config"], step.resources)}
        adapters = [(_section(spec), own, spec["encoder"])]
        adapters += [(f"encoder.{e['name']}.config", e, e) for e in encoders.values()]
        height, width = spec["size"] if step.kind == "pretrain" else spec["data"]["train"]["size"]
        known = {"size": (int(height), int(width)), "encoders": encoders, **_data(request, step)}
        known["augment"] = asdict(augment_spec.parse(spec.get("augment", {})))
        settings = [_settings(read, request, adapter, where) for where, adapter, _ in adapters]
        if step.kind == "pretrain" and spec["data"]:
            _check_unread(request, spec)
            _check_data(request, step)
        for found, (where, adapter, encoder) in zip(settings, adapters, strict=True):
            if hasattr(found, "check"):
                _ask(found.check, {**known, "encoder": encoder, "where": where}, str(adapter["adapter"]))
        _check_recipe(request, step)
        if step.kind != "pretrain":
            _check_own(request, spec, step.kind)
            _check_fields(request, spec)
            _check_budget(request, spec)


def _ask(check: Callable[..., None], known: Mapping[str, Any], address: str) -> None:
    """Let a `Config` check itself against the parts of the grid that its `check` names.

    What it refuses without saying whose it is gets its key and the address of its adapter in front.

    Raises:
        ConfigError: it refuses, or names something else.
    """
    wanted = list(inspect.signature(check).parameters)
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f'{known["where"]}: check() asks for "{name}", which the plan does not know.'
                f"{nearest(name, known)}"
            )
    try:
        check(**{name: known[name] for name in wanted})
    except BenchError as error:
        if known["where"].removesuffix(".config") in str(error):
            raise
        raise type(error)(f"{known['where']} ({address}): {error}") from error
    except Exception as error:  # of code of others
        raise ConfigError(f"{known['where']}: its check() failed: {told(error)}") from error


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
        if step.kind in ("pretrain", "finetune", "probe"):
            spec = step.spec
            what = (
                step.kind,
                spec.get("name"),
                spec.get("task"),
                spec["encoder"]["name"],
                spec.get("budget"),
                spec.get("head"),
            )
            if what not in seen:
                seen.add(what)
                yield step


def _data(request: Request, step: Step) -> dict[str, Any]:
    """Return what `Config.check` may ask of the training data; see `bench.api`."""
    spec = step.spec
    data = spec["data"] if step.kind == "pretrain" else spec["data"]["train"]
    if not data:
        empty: dict[str, Any] = {"joint_set": "", "pairs": [], "fields": [], "wanted": []}
        return {"samples": 0, "batch": 0, "groups": 1, "views": 1, **empty}
    body = request.datasets[data["name"]]
    lacks = set.intersection(*absent(body, data["parts"]))
    return {
        "samples": sum(part["samples"] for part in data["parts"]),
        "batch": spec["train"].get("batch", 0),  # neighbours train nothing
        "groups": spec["train"].get("batch_groups", 1),
        "views": spec.get("views", 1),
        "wanted": [*spec.get("fields", ()), *spec.get("pairs", ())],
        "joint_set": body["joint_set"],
        "pairs": [kind for kind in body["pairs"] if kind not in lacks],
        "fields": [name for name in body["fields"] if name not in lacks],
    }


def untrained(request: Request, plan: Plan) -> list[str]:
    """Say which encoders no sample of the pretraining data reaches, one line each."""
    lines: dict[str, None] = {}
    for step in _different(plan):
        if step.kind == "pretrain" and step.spec["data"]:
            left = there(step.spec["encoders"], _data(request, step)["fields"])
            lost = ", ".join(m for m in step.spec["encoders"] if m not in left)
            method, data = step.spec["name"].partition(".")[0], step.spec["data"]["name"]
            if lost:
                lines[f"method {method}: {data} has no {lost} here; the encoder of it stays untrained"] = None
    return list(lines)


def _check_unread(request: Request, spec: Mapping[str, Any]) -> None:
    """Refuse what the class of a stage says of its batches otherwise than its YAML, which alone is read."""
    address, owner = str(spec["adapter"]), str(spec["name"]).partition(".")[0]
    place = place_of(address, Path(request.folders.get(f"method.{owner}", "")))
    for name in ("fields", "views", "pairs"):
        said, read = constant(address, place, name), spec.get(name)
        if isinstance(said, tuple | list | int | str) and said != (
            tuple(read) if isinstance(read, list) else read
        ):
            raise ConfigError(
                f"method {owner}: its class says {name} = {said!r}, which nothing reads; "
                f"write {name} in the stage of its YAML, which says {read!r}"
            )


def _check_data(request: Request, step: Step) -> None:
    """Check that the data of a stage have what it reads, and that its processes can share a batch."""
    spec, data = step.spec, step.spec["data"]
    body, stage = request.datasets[data["name"]], f"method {spec['name'].partition('.')[0]}"
    lacks = absent(body, data["parts"])
    if spec["views"] > 1 and spec["pairs"]:
        raise ConfigError(
            f"{stage}: rows of stage {spec['name']} cannot be both pairs and two views of one picture; "
            "set pairs=[] or views=1"
        )
    _check_pairs(body, spec["pairs"], data, stage)
    wanted = {MODALITIES[m]: m in spec["optional"] for m in spec["encoders"]}
    for name, optional in {**dict.fromkeys(spec["fields"], True), **wanted}.items():
        if body["fields"] and name not in body["fields"]:
            raise ConfigError(
                f'{stage}: {data["name"]} has no field "{name}"; choose another mix, or correct the name.'
                f"{nearest(name, body['fields'])}"
            )
        without = [part["source"] for part, names in zip(data["parts"], lacks, strict=True) if name in names]
        never = all(name in body["lacks"].get(part["source"], ()) for part in data["parts"])
        hidden = len(without) == len(lacks) and name in spec["fields"]
        if never or hidden or (without and not optional):
            raise ConfigError(
                f"{stage}: needs {name}, which {', '.join(without)} of {data['name']} "
                "lacks; choose another mix"
            )
    processes = step.resources["nodes"] * max(1, step.resources["gpus"])
    parts = max(spec["train"]["batch_groups"], processes)
    if spec["train"]["batch"] % parts or parts % processes:
        groups = f" in {spec['train']['batch_groups']} groups" if spec["train"]["batch_groups"] > 1 else ""
        raise ConfigError(
            f"{stage}: {processes} processes (resources.nodes x resources.gpus) cannot share a batch of "
            f"{spec['train']['batch']}{groups} evenly; change these, preset.pretrain.batch or "
            "train.batch_groups"
        )


def _check_pairs(body: Mapping[str, Any], kinds: Sequence[str], data: Mapping[str, Any], where: str) -> None:
    """Check that some part of the data has each kind of pairs that is asked for."""
    lacks = absent(body, data["parts"])
    sources = ", ".join(part["source"] for part in data["parts"])
    for kind in kinds:
        if kind not in body["pairs"] or all(kind in names for names in lacks):
            raise ConfigError(
                f"{where}: {data['name']} has no pairs of kind {kind} in {sources}; choose another mix"
            )


def _check_weights(request: Request, plan: Plan) -> None:
    """Refuse methods that were asked for by name and whose weights are not here."""
    for cell in plan.cells:
        if cell.method in request.named and cell.reason in request.absent.values():
            raise AssetError(f"method {cell.method}, encoder {cell.encoder}: {cell.reason}")


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
    found = build_config(kind, spec["config"], where)
    _check_read(request, found, where)
    return found


def _check_read(request: Request, found: Any, where: str) -> None:
    for key in request.changes:
        if key.startswith(f"{where}."):
            check_read(key.removeprefix(f"{where}.").partition(".")[0], found, where)


def _check_recipe(request: Request, step: Step) -> None:
    """Check that changed settings of recipe and augmentation are read."""
    section = _section(step.spec).removesuffix(".config")
    if step.kind == "probe":
        if step.spec["train"]:
            _check_read(request, convert(request.preset["probe"], Probe, ""), "preset.probe")
        return
    _check_read(request, augment_spec.parse(step.spec["augment"]), f"{section}.augment")
    if step.kind == "finetune":
        _check_read(request, convert(request.preset["finetune"], Finetune, ""), "preset.finetune")
        _check_layers(step.spec)
    elif step.spec["train"]:
        given = {k: v for k, v in step.spec["train"].items() if k not in ("batch", "steps")}
        _check_read(request, convert(given, Train, ""), f"{section}.train")


def _check_own(request: Request, spec: Mapping[str, Any], kind: str) -> None:
    """Refuse changes of the preset in the place of which a task has values of its own."""
    name, dataset = spec["task"], spec["data"]["train"]["name"]
    task = next(t for t in request.tasks.values() if (t["name"], t["dataset"]) == (name, dataset))
    own = f"task.{name}"
    at = f"{own}.data.{task['dataset']}.samples"
    for key, value in request.changes.items():
        owner, _, place = key.partition(".")
        section = place.partition(".")[0]
        if owner != "preset" or not (section == kind or place.startswith("finetune.samples")):
            continue
        used: Any = task
        for word in place.split("."):
            used = used.get(word) if isinstance(used, Mapping) else None
        read = f"{own}.{place}"
        if place.startswith("finetune.samples") and task["data"].get(task["dataset"], {}).get("samples"):
            raise ConfigError(f"{key}: is not read by task {name}, which has {at}; set that, or leave it out")
        if not _same(value, used) and not any(k == read or k.startswith(f"{read}.") for k in request.changes):
            raise ConfigError(
                f"{key}: is not read by task {name}, which has a value of its own; set {read}, or both"
            )


def _same(wanted: Any, used: Any) -> bool:
    """Say whether a change has reached what is used; of a section, all that it names."""
    if isinstance(wanted, Mapping) and isinstance(used, Mapping):
        return all(_same(value, used.get(key)) for key, value in wanted.items())
    return bool(wanted == used)


def _check_layers(spec: Mapping[str, Any]) -> None:
    """Refuse what fine-tuning cannot do to the layers of an encoder; `bench run` asks timm itself."""
    train, encoder = spec["train"], spec["encoder"]
    tokens = encoder["kind"] == "tokens"
    told = tokens or str(encoder["config"].get("model", "")).startswith("hrnet")  # timm tells their layers
    where = f"task {spec['task']}, encoder {encoder['name']}: finetune"
    if train.get("layer_decay", 1.0) != 1.0 and not told:
        raise ConfigError(
            f"{where}.layer_decay={train['layer_decay']:g} needs layers told apart by timm, those of "
            f"tokens encoders and HRNet; this one is of kind {encoder['kind']}: set layer_decay=1.0"
        )
    if train.get("drop_path") and not tokens:
        raise ConfigError(
            f"{where}.drop_path={train['drop_path']:g} skips blocks of tokens encoders; this one is of kind "
            f"{encoder['kind']}: set drop_path=0.0"
        )


def _check_fields(request: Request, spec: Mapping[str, Any]) -> None:
    """Check that the samples on which a task is tested hold what it reads: inputs, labels, pairs.

    They are of the source of its first training samples. Labels that a class says by other means than a
    constant are checked when the data are opened.
    """
    data, address = spec["data"]["train"], str(spec["adapter"])
    body, source = request.datasets[data["name"]], data["parts"][0]["source"]
    place = place_of(address, Path(request.folders.get(f"task.{spec['task']}", "")))
    told = {name: constant(address, place, name) for name in ("targets", "extras")}
    for name, said in told.items():
        if isinstance(said, str):
            raise ConfigError(
                f'task {spec["task"]}: {name} is the text "{said}", not a tuple of names; write ("{said}",)'
            )
    labels = [name for names in told.values() if isinstance(names, tuple | list) for name in names]
    fields = dict.fromkeys([*(MODALITIES[modality] for modality in spec["inputs"]), *labels])
    pairs = {f"pairs of kind {kind}": kind for kind in spec.get("pairs", ())}

    def lacking(source: str) -> list[str]:
        (lacks,) = absent(body, [{"source": source, "hide": ()}])
        found = [n for n in fields if n in lacks or (body["fields"] and n not in body["fields"])]
        return found + [text for text, kind in pairs.items() if kind in lacks or kind not in body["pairs"]]

    if missing := lacking(source):
        splits = set(body["sources"].get(source, ()))
        others = [n for n, own in body["sources"].items() if splits <= set(own) and not lacking(n)]
        raise ConfigError(
            f"task {spec['task']}: reads {', '.join(missing)}, which {source} of {data['name']} lacks; "
            f"choose " + (f"source {' or '.join(others)}" if others else "other data (task@dataset)")
        )


def _check_budget(request: Request, spec: Mapping[str, Any]) -> None:
    """Refuse budgets that the training data cannot fill, as far as their YAML tells."""
    name, _, value = str(spec["budget"]).partition("=")
    data = spec["data"]["train"]
    samples = sum(part["samples"] for part in data["parts"])
    told = request.datasets[data["name"]]["classes"]
    each = [part["samples"] // told[part["source"]] for part in data["parts"] if part["source"] in told]
    if name == "shots" and each and int(value) > sum(each):
        raise ConfigError(
            f"--shots: {value} samples of each class are more than the {sum(each)} that the {samples} "
            f"training samples of task {spec['task']} hold"
        )
    if name == "fraction" and samples and samples * Fraction(value) < 1:
        raise ConfigError(
            f"--fractions: {float(Fraction(value)):g} of the {samples} samples of the "
            "training split is less than one sample"
        )


def _check_published(request: Request) -> None:
    """Check that what tasks name as their published numbers is among them."""
    known = _published()
    for task in request.tasks.values():
        if task["published"] and task["published"] not in known:
            raise ConfigError(
                f"task {task['name']}: published: leaderboards/paper_results.csv has no task "
                f'"{task["published"]}"; leave it empty where there are no numbers.'
                f"{nearest(task['published'], known)}"
            )


@cache
def _published() -> frozenset[str]:
    place = resources.files("leaderboards").joinpath("paper_results.csv")
    with place.open(encoding="utf-8") as file:
        return frozenset(row["task"] for row in csv.DictReader(file))


def _check_sources(request: Request) -> None:
    """Check the names of sources, and of what they hide, where the data set lists its own."""
    hidden: list[tuple[str, str, Sequence[str]]] = []
    wanted: list[tuple[str, str, str, str]] = []
    foreign = {}
    for mix, body in request.preset["pretrain"]["mixes"].items():
        if body["dataset"] in request.datasets:
            for source, names in body["hide"].items():
                hidden.append((f"preset.pretrain.mixes.{mix}.hide.{source}", body["dataset"], names))
            for source in body["samples"]:
                wanted.append((f"preset.pretrain.mixes.{mix}.samples.{source}", body["dataset"], source, ""))
    for task in request.tasks.values():
        key = f"task.{task['name']}.data.{task['dataset']}.source"
        if task["dataset"] not in task["data"]:
            foreign[key] = (
                f"task {task['name']} is not set up for {task['dataset']} (only {', '.join(task['data'])}): "
            )
        wanted += [(key, task["dataset"], task["source_name"], s) for s in task["splits"].values() if s]
        for number, part in enumerate(task["extra"]):
            own = f"task.{task['name']}.data.{task['dataset']}.extra.{number}"
            split = part["split"] or task["splits"]["train"]
            wanted.append((f"{own}.source", task["dataset"], part["source"], split))
            hidden.append((f"{own}.hide", task["dataset"], part["hide"]))
    for key, dataset, source, split in wanted:
        known = request.datasets[dataset]["sources"]
        fit = [name for name, splits in known.items() if not split or split in splits]
        if known and source not in fit:
            with_split = f" with a split {split}" if split else ""
            said = f'{key}: there is no source "{source}"{with_split}.{nearest(source, fit)}'
            if key in foreign:
                said = (
                    f'{foreign[key]}the default source "{source}" is not there{with_split}; choose other '
                    f"data, or write ++{key}=NAME, one of {', '.join(fit)}"
                )
            raise ConfigError(said)
    for key, dataset, names in hidden:
        fields = request.datasets[dataset]["fields"]
        for name in names:
            if fields and name not in fields and name not in MODALITIES:
                raise ConfigError(
                    f'{key}: {dataset} has no field "{name}".{nearest(name, [*fields, *MODALITIES])}'
                )
