"""From a request to a plan: steps with keys, and the cells of the grid. Pure; no torch, no disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, cached_property, partial
from itertools import product
from typing import Any, Literal

from bench.errors import ConfigError
from bench.grid.keys import step_key, step_slug
from bench.grid.overrides import describe
from bench.grid.request import IMAGE, Request
from bench.grid.resources import on_one_device
from bench.grid.supervision import absent, used
from bench.grid.weights import tag_of

PROTOCOL = 2  # raise when a change of the harness moves numbers: older records then stop matching

REPLICATES = 1000  # of the bootstrap over clusters of the test data
WITHOUT_MAPS = ("graph",)  # kinds of encoders whose features have no place in an image
FEATURES_VERSION = 1  # raise when a change moves frozen features: they are then computed again
NO_ENCODER = "-"  # of a cell whose method has no encoder in the preset

StepKind = Literal["pretrain", "finetune", "features", "probe", "predict", "score"]
BEST_OF = "best of"  # begins the protocol of cells that choose among several rates
FINETUNE = "finetune"  # the protocol that trains the encoder too; all others probe frozen features


@dataclass(frozen=True, eq=False)
class Step:
    """One unit of work with an artifact folder of its own; equal content means equal key."""

    kind: StepKind
    spec: Mapping[str, Any]  # resolved; all that can change the numbers, nothing else
    inputs: tuple[Step, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)  # never hashed

    @cached_property
    def key(self) -> str:
        """Return 16 hex digits of the SHA-256 over kind, spec and the keys of the inputs."""
        return step_key(self.kind, self.spec, [step.key for step in self.inputs])

    @cached_property
    def slug(self) -> str:
        """Return a readable name made from hashed content alone."""
        if self.kind in ("predict", "score"):
            return self.inputs[0].slug
        spec = self.spec
        if self.kind == "features":
            names = [f"{part['source']}-{part['split']}" for part in spec["data"]["parts"]]
            before = self.inputs[0].spec
            words = [before["name"], spec["encoder"]["name"], *names, spec["modality"], spec["layers"]]
            return step_slug(words, before["seed"])
        words = [spec["name"]] if self.kind == "pretrain" else [spec["method"], spec["task"], spec["budget"]]
        words.insert(1, spec["encoder"]["name"])
        if self.kind == "probe":
            words.append(spec["head"])
        return step_slug(words, spec["seed"])

    def ancestors(self) -> Iterator[Step]:
        """Yield the steps this one needs, first things first (duplicates possible)."""
        for step in self.inputs:
            yield from step.ancestors()
            yield step


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of the leaderboard: method x encoder x task x protocol x budget x seed."""

    method: str
    encoder: str
    task: str
    protocol: str  # "finetune", or that of a frozen probe
    budget: str  # "fraction=1/10" or "shots=16"
    seed: int
    step: Step | None  # None = not applicable
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cells, and their steps in an order in which they can run."""

    cells: tuple[Cell, ...]
    steps: tuple[Step, ...]

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of all steps."""
        return frozenset(step.key for step in self.steps)


def expand(request: Request) -> Plan:
    """Expand a request into cells and shared steps (methods, encoders, tasks, protocols, budgets, seeds).

    Raises:
        ConfigError: the shares of a method's stages do not add up, or a stage is too short for one step.
    """
    found: dict[str, Step] = {}

    def once(
        kind: StepKind, spec: Mapping[str, Any], inputs: tuple[Step, ...], owner: Mapping[str, Any]
    ) -> Step:
        resources = {**request.resources, **owner.get("resources", {})}
        if kind != "pretrain":
            resources = on_one_device(resources)
        step = Step(kind, spec, inputs, resources)
        return found.setdefault(step.key, step)

    cells = []
    for method, encoder in _pairs(request):
        encoder_unfit = _not_applicable(request, method, encoder)
        chain = cache(partial(_pretraining, request, method, encoder, once=once))
        for task in request.tasks:
            task_unfit = encoder_unfit or _lacks(request, method, task)
            row = None if task_unfit else _Row(request, method, encoder, task, once)
            for protocol in request.protocols:
                unfit = task_unfit or _no_probe(request, encoder, task, protocol)
                for budget, seed in product(request.budgets, request.seeds):
                    reason = unfit or _no_classes(request, task, budget)
                    step = None
                    if row and not reason:
                        before = chain(_pretrain_seed(request, method, seed))
                        step = row.cell(protocol, budget, seed, before)
                    names = {"method": method, "encoder": encoder, "task": task, "protocol": protocol}
                    cells.append(Cell(**names, budget=budget, seed=seed, step=step, reason=reason))
    return Plan(cells=tuple(cells), steps=tuple(found.values()))


# makes a step, or finds it made before: kind, spec, inputs, and the stage or task with its resources
Once = Callable[[StepKind, Mapping[str, Any], tuple[Step, ...], Mapping[str, Any]], Step]


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Pair methods with encoders: those asked for, or each method's default of the preset.

    A method without an encoder of its own (scratch, imagenet) runs on every encoder of the grid. One that
    brings its encoder runs there alone, and beside it what neither trains nor loads anything.
    """
    defaults, chosen = request.default_encoders, list(request.chosen_encoders)
    others = {m: spec for m, spec in request.methods.items() if not spec.get("brings")}
    trained = [m for m, spec in others.items() if not _zero_steps(spec)]
    grid = chosen or list(dict.fromkeys(e for m in trained for e in defaults[m]))
    brought = [
        str(spec["brings"])
        for m, spec in request.methods.items()
        if m not in others and not _not_applicable(request, m, spec["brings"])
    ]
    pairs: list[tuple[str, str]] = []
    for method, spec in request.methods.items():
        if method not in others:
            pairs.append((method, spec["brings"]))
            continue
        untrained = _zero_steps(spec)
        own = list(chosen or (grid if untrained and grid else defaults[method]))
        if untrained and not spec.get("needs_pretrained_tag"):
            own = list(dict.fromkeys([*own, *brought] if chosen or trained or not brought else brought))
        pairs += [(method, name) for name in own or [NO_ENCODER]]
    return pairs


def _zero_steps(method: Mapping[str, Any]) -> bool:
    return all(stage["budget_share"] == 0 for stage in method["stages"].values())


def _not_applicable(request: Request, method: str, encoder: str) -> str:
    """Return why a method cannot be run on an encoder, "" where it can."""
    spec = request.methods[method]
    kinds = " or ".join(spec["encoder_kinds"])
    if encoder == NO_ENCODER:
        return f"{method} trains {kinds} encoders, of which preset {request.preset['name']} names none"
    kind, tag = (request.encoders[encoder][name] for name in ("kind", "pretrained"))
    if kind not in spec["encoder_kinds"]:
        return f"{method} trains {kinds} encoders; {encoder} is of kind {kind}"
    given = any(s["config"].get("file") or s["config"].get("tag") for s in spec["stages"].values())
    if spec.get("brings") and not given and spec.get("needs_pretrained_tag"):
        return f"{method} needs its file: --weights {method}=FILE"
    if spec.get("needs_pretrained_tag") and not (tag or given):
        return f"{encoder} has no published weights"
    return request.absent.get(tag_of(spec, tag), "")


def _lacks(request: Request, method: str, task: str) -> str:
    """Return what a task needs and a method does not give, "" where it gives all.

    A depth encoder may be replaced by the one of colour, which reports mark.
    """
    gives, spec = request.methods[method]["gives"], request.tasks[task]
    for need in (*spec["inputs"], *spec["needs"]):
        if need not in gives and not (need == "depth" and "rgb" in gives and spec["inputs"] == ["depth"]):
            return f"{task} needs {need}, which {method} does not give"
    return ""


def _no_probe(request: Request, encoder: str, task: str, protocol: str) -> str:
    """Return why a task cannot be done by a protocol on an encoder, "" where it can."""
    if protocol == FINETUNE:
        return ""
    probes, kind = request.tasks[task]["probes"], request.encoders[encoder]["kind"]
    if protocol not in probes:
        known = ", ".join((FINETUNE, *probes))
        return f"{task} has no protocol {protocol}, only {known}"
    if request.preset["probe"] is None:
        return (
            f"preset {request.preset['name']} has no section probe, which says how frozen probes are trained"
        )
    if probes[protocol] != "pooled" and kind in WITHOUT_MAPS:
        return f"the protocol {protocol} of {task} reads maps, which {encoder} of kind {kind} does not return"
    return ""


def _no_classes(request: Request, task: str, budget: str) -> str:
    if budget.startswith("shots=") and not request.tasks[task].get("shots"):
        return f"{task} takes no shots (no class per sample: its YAML lacks `shots: true`); use --fractions"
    return ""


def _common(request: Request) -> dict[str, Any]:
    preset = request.preset
    return {
        "protocol": PROTOCOL,
        "preset": preset["name"],
        "track": request.track,
        "mode": request.mode,
        "precision": preset["precision"],
        "cpu_threads": preset["cpu_threads"],
    }


def _preset(request: Request, encoder: str, task: str, unread: Sequence[str]) -> str:
    """Return the preset's name with what was overridden in it, so that no table mixes the two.

    Args:
        request: the grid.
        encoder: of the cell.
        task: of the cell.
        unread: sections of preset and task that its protocol does not read.
    """
    name = request.tasks[task]["name"]
    own = {"preset.": "", "dataset.": "dataset.", f"task.{name}.": "", f"encoder.{encoder}.": ""}
    owners = ("preset", f"task.{name}")
    off = tuple(f"{owner}.{section}." for owner in owners for section in unread)
    read = tuple(f"{owner}.finetune.samples" for owner in owners)  # by all protocols
    changes = {k: v for k, v in request.changes.items() if k.startswith(read) or not k.startswith(off)}
    text = describe(changes, own)
    return f"{request.preset['name']} ({text})" if text else str(request.preset["name"])


def _variant(request: Request, method: str) -> str:
    """Return what was overridden in a method, e.g. `dense.config.dense=hard`; "" where nothing was."""
    owners = {stage["name"].partition(".")[0] for stage in request.methods[method]["stages"].values()}
    return describe(request.changes, {f"method.{owner}.": "" for owner in sorted({method, *owners})})


def _encoder(request: Request, name: str) -> dict[str, Any]:
    spec = request.encoders[name]
    return {
        "name": name,
        **_code(spec),
        **{key: spec[key] for key in ("kind", "config", "pretrained")},
    }


def _code(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells the code of an adapter: address, version, and outside the project what it says."""
    return {key: body[key] for key in ("adapter", "version", "source") if key in body}


def code_of(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Return the addresses of the adapters whose code a step of pretraining or fine-tuning runs."""
    return str(spec["adapter"]), str(spec["encoder"]["adapter"])


def _data(request: Request, dataset: str, size: Sequence[int], parts: Sequence[Any]) -> dict[str, Any]:
    body = request.datasets[dataset]
    return {
        "name": dataset, **_code(body), "config": body["config"], "size": list(size), "parts": list(parts),
    }  # fmt: skip


def _part(source: str, split: str, samples: int, hide: Sequence[str] = ()) -> dict[str, Any]:
    return {"source": source, "split": split, "samples": samples, "hide": sorted(hide)}


def _mix(request: Request, name: str) -> dict[str, Any]:
    """Return the data of a mix: its sources, each with its pretraining split, or the training one."""
    mix = request.preset["pretrain"]["mixes"][name]
    body = request.datasets[mix["dataset"]]
    parts = []
    for source, samples in mix["samples"].items():
        splits = body["sources"].get(source, ["pretrain"])
        split = "pretrain" if "pretrain" in splits else body["splits"]["train"]
        if samples:
            parts.append(_part(source, split, samples, mix["hide"].get(source, ())))
    return _data(request, mix["dataset"], request.preset["size"], parts)


def _uses(request: Request, method: str) -> str:
    """Return what a method uses beyond colour pictures; a label, so that it enters the score step alone."""
    stages = list(request.methods[method]["stages"].values())
    mixes = {stage["mix"]: _mix(request, stage["mix"]) for stage in stages if stage["budget_share"]}
    lacks = {
        name: set.intersection(*absent(request.datasets[data["name"]], data["parts"]))
        for name, data in mixes.items()
    }
    return used(stages, lacks)


def _pretrain_seed(request: Request, method: str, seed: int) -> int:
    """Return the pretraining seed of a cell: its own, or 0 where one checkpoint serves all seeds.

    Methods without training always follow the seed of the cell, so that intervals cover their initialisation.
    """
    one = request.preset["pretrain"]["seeds"] == "one" and not _zero_steps(request.methods[method])
    return 0 if one else seed


def _pretraining(request: Request, method: str, encoder: str, seed: int, once: Once) -> Step:
    """Return the last stage of a method; earlier ones are its inputs."""
    preset = request.preset["pretrain"]
    stages = request.methods[method]["stages"].values()
    shares = sum(stage["budget_share"] for stage in stages)
    if not (_zero_steps(request.methods[method]) or abs(shares - 1) < 1e-9):
        raise ConfigError(
            f"method {method}: budget_share of its stages adds up to {shares:g}; in the controlled track "
            "every method spends the whole pretraining budget (1)"
        )
    inputs: tuple[Step, ...] = ()
    for stage in stages:
        images = preset["batch"] * (2 if stage["pairs"] else 1)  # a pair counts as two
        steps = round(preset["samples_seen"] * stage["budget_share"] / images)
        if stage["budget_share"] and not steps:
            raise ConfigError(
                f"method {method}: budget_share of stage {stage['name']} is not enough for one step; "
                "raise preset.pretrain.samples_seen or lower preset.pretrain.batch"
            )
        groups = stage["train"].get("batch_groups", 1)
        if steps and (preset["batch"] % groups or preset["batch"] == groups > 1):
            raise ConfigError(
                f"method {method}: preset.pretrain.batch={preset['batch']} cannot be cut into the "
                f"{groups} groups of stage {stage['name']}, of two rows or more each"
            )
        spec = {
            **_common(request),
            **_code(stage),
            **{
                key: stage[key]
                for key in ("name", "config", "augment", "optional", "fields", "views", "pairs")
            },
            **({"augment2": stage["augment2"]} if stage["augment2"] is not None else {}),
            "encoder": _encoder(request, encoder),
            "encoders": {
                modality: _encoder(request, encoder if name == IMAGE else name)
                for modality, name in stage["encoders"].items()
            },
            "train": {**stage["train"], "batch": preset["batch"], "steps": steps} if steps else {},
            "size": request.preset["size"],
            "joint_set": _joint_set(request, stage["mix"]) if steps else request.joint_set,
            "data": _mix(request, stage["mix"]) if steps else {},
            "seed": seed,
        }
        inputs = (once("pretrain", spec, inputs, stage),)
    return inputs[0]


class _Row:
    """The cells of one method, encoder and task; they differ in protocol, budget and seed alone."""

    def __init__(self, request: Request, method: str, encoder: str, task: str, once: Once) -> None:
        spec = request.tasks[task]
        recipe = spec["finetune"]
        train = {k: v for k, v in recipe.items() if k not in ("samples", "lr", "evaluations", "drop_path")}
        if recipe.get("drop_path"):  # 0 changes nothing, so that no key has to tell of it
            train["drop_path"] = recipe["drop_path"]
        rate = recipe["lr"][request.encoders[encoder]["kind"]]
        data = {}
        for split, place in spec["splits"].items():
            parts = [_part(spec["source_name"], place, spec["samples"][split])]
            if split == "train":
                parts += [
                    _part(p["source"], p["split"] or place, p["samples"], p["hide"]) for p in spec["extra"]
                ]
            data[split] = _data(request, spec["dataset"], spec["size"], parts) if place else {}
        self.request, self.task = request, task
        self.rates = ", ".join(f"{rate:g}" for rate in request.rates)
        self.once = once
        self.spec = spec
        self.finetune = {
            **_common(request),
            **_code(spec),
            **{key: spec[key] for key in ("config", "inputs", "needs", "wants", "augment")},
            **({"pairs": spec["pairs"]} if spec.get("pairs") else {}),
            "preset": _preset(request, encoder, task, ("probe",)),
            "method": method,
            "variant": _variant(request, method),
            "task": spec["name"],
            "encoder": _encoder(request, encoder),
            "train": {**train, "lr": rate},
            "data": {split: data[split] for split in ("train", "val")},
            "evaluations": recipe["evaluations"],
        }
        self.predict = {"data": data["test"]}
        self.probe, self.features = cache(self._probe), cache(self._features)  # asked for by every cell
        self.score = {
            "version": spec["score_version"],
            "minimum_effect": spec["minimum_effect"],
            "published": spec["published"],
            "uses": _uses(request, method),
            "dataset": _dataset_label(request, spec),
            "replicates": REPLICATES,
        }

    def cell(self, protocol: str, budget: str, seed: int, chain: Step) -> Step:
        """Return the score step of one cell: training, prediction and scoring in a row."""
        own = {"budget": budget, "subset": _subset(budget, seed), "seed": seed}
        score, predict = dict[str, Any](self.score), dict[str, Any](self.predict)
        if protocol == FINETUNE and self.request.rates:
            predict = {**predict, "rule": "best rate on validation"}
            score = {**score, "protocol": f"{BEST_OF} {self.rates}-{PROTOCOL}"}
            trains = [{**self.finetune["train"], "lr": rate} for rate in self.request.rates]
            trials = [{**self.finetune, "train": train, **own} for train in trains]
            inputs = [self.once("finetune", spec, (chain,), self.spec) for spec in trials]
        elif protocol == FINETUNE:
            inputs = [self.once("finetune", {**self.finetune, **own}, (chain,), self.spec)]
        else:
            *frozen, tested = self.features(protocol, chain)
            inputs = [self.once("probe", {**self.probe(protocol), **own}, tuple(frozen), self.spec), tested]
        predicted = self.once("predict", predict, tuple(inputs), self.spec)
        return self.once("score", score, (predicted,), self.spec)

    def _probe(self, protocol: str) -> dict[str, Any]:
        """Return the spec of a probe but for budget and seed: as fine-tuning, without augmentation."""
        recipe, request = self.spec["probe"], self.request
        shared = {k: v for k, v in self.finetune.items() if k not in ("augment", "train", "evaluations")}
        if protocol == "knn":
            how = {"neighbours": recipe["neighbours"], "temperature": recipe["temperature"], "train": {}}
        else:
            skipped = ("rates", "evaluations", "neighbours", "temperature")
            train = {k: v for k, v in recipe.items() if k not in skipped}
            how = {"train": train, "rates": recipe["rates"], "evaluations": recipe["evaluations"]}
        return {
            **shared,
            **how,
            "protocol": f"{protocol}-{PROTOCOL}",
            "head": protocol,
            "layers": self.spec["probes"][protocol],
            "preset": _preset(request, self.finetune["encoder"]["name"], self.task, ("finetune", "augment")),
        }

    def _features(self, protocol: str, chain: Step) -> list[Step]:
        """Return the steps that encode the data, test data last; all probes of an encoder share them."""
        probe = self.probe(protocol)
        (modality,) = probe["inputs"]
        spec = {
            "version": FEATURES_VERSION,
            **{key: probe[key] for key in ("encoder", "layers", "precision", "cpu_threads")},
            "modality": modality,
        }
        sets = [*(data for data in probe["data"].values() if data), self.predict["data"]]
        return [self.once("features", {**spec, "data": data}, (chain,), self.spec) for data in sets]


def _joint_set(request: Request, mix: str) -> str:
    return str(request.datasets[request.preset["pretrain"]["mixes"][mix]["dataset"]]["joint_set"])


def _dataset_label(request: Request, task: Mapping[str, Any]) -> str:
    """Return what tables call the data: the source, or the data set where it has one only."""
    one = len(request.datasets[task["dataset"]]["sources"]) == 1
    return str(task["dataset"] if one else task["source_name"])


def _subset(budget: str, seed: int) -> int:
    """Return 0 for the stride rule; at fractions of at most 10 %, later seeds draw other random subsets."""
    return seed if _draws(budget) else 0


@cache
def _draws(budget: str) -> bool:
    name, _, value = budget.partition("=")
    return name == "shots" or Fraction(value) <= Fraction(1, 10)
