"""From command-line words to a resolved request: plain data that says all about a grid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from bench.adapters import sources
from bench.errors import AssetError, ConfigError, nearest
from bench.grid import overrides, weights
from bench.grid.brought import Brought, bring, localise, with_layouts
from bench.grid.places import registered
from bench.grid.registry import BUILT_IN, GROUPS, config_dirs, load, names, pick
from bench.grid.resources import DEFAULTS, is_resource
from bench.grid.schema import MODALITIES, PROTOCOLS, Finetune, Probe, check
from bench.grid.stages import load_methods, resolve_stages
from bench.settings import convert

__all__ = (
    "BUILT_IN", "GROUPS", "Request", "Words", "config_dirs", "from_json", "load", "names",
    "parse_budgets", "parse_protocols", "parse_rates", "parse_seeds", "pick", "resolve",
)  # fmt: skip

TRACKS = ("controlled", "published")
MODES = ("strict", "parity")
MOST_SEEDS = 1000
BASELINE = "scratch"  # runs beside given weights where no methods are typed
IMAGE = "image"  # in the `encoders` of a method: the encoder of the grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the user typed, unresolved."""

    methods: str = "*"
    tasks: str = "*"
    fractions: str = ""
    shots: str = ""
    seeds: str = "0"
    encoders: str = ""
    protocol: str = "finetune"
    rates: str = ""
    weights: tuple[str, ...] = ()
    preset: str = "tiny"
    track: str = "controlled"
    mode: str = "strict"
    config_dirs: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A grid, fully resolved: plain data that can be written to JSON and read back."""

    methods: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, Mapping[str, Any]]
    encoders: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    preset: Mapping[str, Any]
    budgets: tuple[str, ...]
    seeds: tuple[int, ...]
    chosen_encoders: tuple[str, ...]
    default_encoders: Mapping[str, tuple[str, ...]]
    track: str
    mode: str
    config_dirs: tuple[str, ...]
    resources: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)  # overridden keys with their new values
    protocols: tuple[str, ...] = ("finetune",)
    rates: tuple[float, ...] = ()  # of fine-tuning, of which validation chooses; () = the preset's
    folders: Mapping[str, str] = field(default_factory=dict)  # of adapters outside the project, by group.name
    named: tuple[str, ...] = ()  # methods that no glob found
    joint_set: str = ""  # of the data of the preset's first mix; untrained encoders of joints are made for it
    absent: Mapping[str, str] = field(default_factory=dict)  # why weights cannot be had here, by tag or file


def parse_budgets(fractions: str, shots: str) -> tuple[str, ...]:
    """Return canonical budgets: `fraction=1/10`, `shots=16`.

    Raises:
        ConfigError: not a number, or outside (0, 1] for fractions, below 1 for shots.
    """
    budgets: list[str] = []
    for word in filter(None, (w.strip() for w in fractions.split(","))):
        try:
            value = Fraction(word)
        except (ValueError, ZeroDivisionError):
            raise ConfigError(f'--fractions: "{word}" is not a number; write e.g. 0.1 or 1/3') from None
        if not 0 < value <= 1:
            raise ConfigError(f"--fractions: {word} is outside (0, 1]")
        budgets.append(f"fraction={value}")
    for word in filter(None, (w.strip() for w in shots.split(","))):
        if not word.isdecimal() or int(word) < 1:
            raise ConfigError(f'--shots: "{word}" is not a whole number of at least 1')
        budgets.append(f"shots={int(word)}")
    return tuple(dict.fromkeys(budgets)) or ("fraction=1",)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return seeds from `0,1,2` or `3x` (the first three).

    Raises:
        ConfigError: anything else, or none.
    """
    if match := re.fullmatch(r"([0-9]{1,18})x", text.strip()):
        seeds = tuple(range(min(int(match[1]), MOST_SEEDS + 1)))
    elif re.fullmatch(r"[0-9]{1,18}(\s*,\s*[0-9]{1,18})*", text.strip()):
        seeds = tuple(dict.fromkeys(int(w) for w in text.split(",")))
    else:
        raise ConfigError(f'--seeds: "{text}" is neither a list like 0,1,2 nor a count like 3x')
    if not seeds:
        raise ConfigError("--seeds: 0x asks for no seed")
    if len(seeds) > MOST_SEEDS:
        raise ConfigError(f"--seeds: {text.strip()[:20]} asks for more than {MOST_SEEDS} seeds")
    return seeds


def parse_protocols(text: str) -> tuple[str, ...]:
    """Return protocols from a comma list.

    Raises:
        ConfigError: an unknown one, with the nearest known name, or none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in PROTOCOLS:
            raise ConfigError(f'--protocol: unknown "{word}".{nearest(word, PROTOCOLS)}')
    if not words:
        raise ConfigError(f"--protocol: names none; choose from {', '.join(PROTOCOLS)}")
    return tuple(dict.fromkeys(words))


def parse_rates(text: str) -> tuple[float, ...]:
    """Return learning rates from a comma list, ascending; none where nothing was typed.

    Raises:
        ConfigError: not a number above 0, or a single one.
    """
    rates = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        try:
            rates.append(float(word))
        except ValueError:
            rates.append(0.0)
        if not 0 < rates[-1] < float("inf"):
            raise ConfigError(f'--rates: "{word}" is no number above 0; write e.g. 1e-3,3e-3,1e-2')
    found = tuple(sorted(set(rates)))
    if len(found) == 1:
        raise ConfigError(
            f"--rates: {text.strip()} leaves no choice; name several, or change preset.finetune.lr"
        )
    return found


def resolve(words: Words) -> Request:
    """Resolve what the user typed.

    Raises:
        ConfigError: unknown names, keys or values, with the nearest known name.
        AssetError: a weights file that a method's config names does not exist, or cannot be understood.
    """
    dirs = config_dirs(words.config_dirs)
    return _with_weights(_with_sources(_resolve(words, dirs, bring(words.weights, dirs)), dirs))


def _with_sources(request: Request, dirs: list[Path]) -> Request:
    """Put a digest of their code beside the addresses of adapters outside the project."""
    known = {group: names(group, dirs) for group in ("method", "task", "encoder", "dataset")}
    folders: dict[str, str] = {}

    def sourced(body: Mapping[str, Any], group: str, owner: str) -> dict[str, Any]:
        address = str(body["adapter"])
        if sources.is_shipped(address):
            return dict(body)
        folder = known[group][owner].parent.parent
        folders[f"{group}.{owner}"] = str(folder)
        place = sources.place_of(address, folder)
        return {**body, "source": sources.digest(place, sources.split(address)[0])}

    methods = {
        name: {
            **method,
            "stages": {
                s: sourced(stage, "method", stage["name"].partition(".")[0])
                for s, stage in method["stages"].items()
            },
        }
        for name, method in request.methods.items()
    }
    return replace(
        request,
        methods=methods,
        tasks={name: sourced(task, "task", str(task["name"])) for name, task in request.tasks.items()},
        datasets={name: sourced(body, "dataset", name) for name, body in request.datasets.items()},
        encoders={name: sourced(body, "encoder", name) for name, body in request.encoders.items()},
        folders=folders,
    )


def _with_weights(request: Request) -> Request:
    """Let checksums stand for the weights files that are named, and note which weights are not here."""
    optional = {  # files that YAMLs of methods name which a glob found
        stage["config"][weights.KEY]
        for name, method in request.methods.items()
        for stage in method["stages"].values()
        if name not in request.named
        and stage["config"].get(weights.KEY)
        and f"method.{stage['name'].replace('.', '.stages.', 1)}.config.{weights.KEY}" not in request.changes
    }
    absent = weights.absent(request.methods, request.encoders, optional)
    request = replace(request, absent=absent)
    methods, marks = weights.by_content(
        with_layouts(request.methods, config_dirs(request.config_dirs), absent), absent
    )
    if not marks:
        return request
    changes = dict(request.changes)
    for key, value in changes.items():
        if ".config." in key and weights.names_file(key.rpartition(".")[2]):
            changes[key] = marks.get(value, value)
    files = {mark: str(localise(path).resolve()) for path, mark in marks.items()}
    return replace(request, methods=methods, changes=changes, resources={**request.resources, "files": files})


def to_json(request: Request) -> str:
    """Return a request as JSON; the order of methods, stages and tasks is kept."""
    return json.dumps(asdict(request), allow_nan=False)


def from_json(body: Mapping[str, Any]) -> Request:
    """Rebuild a request from its JSON form."""
    lists = {
        k: tuple(body[k])
        for k in ("budgets", "seeds", "chosen_encoders", "config_dirs", "protocols", "rates", "named")
    }
    defaults = {m: tuple(e) for m, e in body["default_encoders"].items()}
    return Request(**{**body, **lists, "default_encoders": defaults})


def _resolve(words: Words, dirs: list[Path], rows: Sequence[Brought]) -> Request:
    known = {group: names(group, dirs) for group in GROUPS}
    for row in rows:
        known["method"] |= {row.name: Path(f"--weights {row.name}")} if row.body else {}
        known["encoder"] |= {row.encoder: Path(f"--weights {row.name}")} if row.encoder_body else {}
    methods = list(
        dict.fromkeys([*pick(words.methods, "method", known["method"]), *(row.name for row in rows)])
    )
    named = {*re.split(r"\s*,\s*", words.methods.strip()), *(row.name for row in rows)}
    tasks = pick_tasks(words.tasks, known)
    chosen, by_modality = _encoder_words(words.encoders, known["encoder"])
    _check_choices(words, known)
    config = _load(methods, list(dict.fromkeys(task for task, _ in tasks)), words.preset, known, rows)
    changes = overrides.apply(config, words.overrides)
    _check_all(config, {group: {n: f"{group} {n}" for n in known[group]} for group in GROUPS}, words.preset)
    resources = config["preset"].pop("resources")
    specs = {m: {**config["method"][m], "stages": resolve_stages(m, config["method"])} for m in methods}
    _check_modalities(by_modality, specs, config["encoder"])
    for method, spec in specs.items():
        for stage in spec["stages"].values():
            own = {m: name for m, name in by_modality.items() if m in stage["encoders"]}
            stage["encoders"] |= own
            changes |= {f"method.{method}.encoders.{m}": name for m, name in own.items()}  # labels tell them
    preset = {**config["preset"], "name": words.preset, "size": _pair(config["preset"]["size"])}
    defaults = {m: _defaults(specs[m], preset) for m in methods}
    fixed = {e for spec in specs.values() for s in spec["stages"].values() for e in s["encoders"].values()}
    wanted = dict.fromkeys([*chosen, *(e for names in defaults.values() for e in names)])
    _check_references(preset, wanted, config)
    _check_fixed(fixed - {IMAGE}, config["encoder"])
    resolved = [_task(task, dataset, config, preset) for task, dataset in tasks]
    sets = dict.fromkeys([*(t["dataset"] for t in resolved), *_mix_sets(specs, preset, config["dataset"])])
    for name in sets:
        _place(name, config["dataset"][name], resolved)
    return Request(
        methods=specs,
        tasks={_task_name(task): task for task in resolved},
        encoders={e: config["encoder"][e] for e in [*wanted, *sorted(fixed - {IMAGE} - set(wanted))]},
        datasets={d: config["dataset"][d] for d in sets},
        joint_set=_first_joint_set(preset, config["dataset"]),
        preset=preset,
        budgets=parse_budgets(words.fractions, words.shots),
        seeds=parse_seeds(words.seeds),
        chosen_encoders=tuple(chosen),
        default_encoders=defaults,
        track=words.track,
        mode=words.mode,
        config_dirs=tuple(str(d) for d in dirs[1:]),
        resources=resources,
        changes={key: value for key, value in changes.items() if not is_resource(key)},
        named=tuple(name for name in methods if name in named),
        protocols=parse_protocols(words.protocol),
        rates=parse_rates(words.rates),
    )


def pick_tasks(text: str, known: Mapping[str, Mapping[str, Path]]) -> list[tuple[str, str]]:
    """Expand a comma list of tasks, each maybe with a data set: `pose2d`, `pose2d@coco`, `*@people`.

    Returns:
        Task and data set ("" = the task's default), in the order asked for.

    Raises:
        ConfigError: a word that names nothing, with the nearest known name.
    """
    chosen: list[tuple[str, str]] = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        task, at, dataset = word.partition("@")
        if at and not (task.strip() and dataset.strip()):
            raise ConfigError(f'--tasks: "{word}" is not TASK@DATASET, e.g. pose2d@coco')
        sets = pick(dataset, "dataset", known["dataset"]) if at else [""]
        chosen += [(name, one) for name in pick(task, "task", known["task"]) for one in sets]
    if not chosen:
        pick("", "task", known["task"])  # says what is missing
    return list(dict.fromkeys(chosen))


def _encoder_words(text: str, known: Mapping[str, Path]) -> tuple[list[str], dict[str, str]]:
    """Split --encoders into those of images, an axis of the grid, and those of single modalities."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    named = dict(word.partition("=")[::2] for word in words if "=" in word)
    for modality, name in named.items():
        if modality not in MODALITIES:
            raise ConfigError(f'--encoders: unknown modality "{modality}".{nearest(modality, MODALITIES)}')
        if name not in known:
            raise ConfigError(f'unknown encoder "{name}".{nearest(name, known)}')
    rest = ",".join(word for word in words if "=" not in word)
    return (pick(rest, "encoder", known) if rest else []), named


def _check_modalities(
    chosen: Mapping[str, str], methods: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]
) -> None:
    """Check that encoders of single modalities are used, and give what those that they replace give.

    Raises:
        ConfigError: no method has an encoder of that modality, or one of another kind.
    """
    for modality, name in chosen.items():
        usual = [
            (method, _kinds(spec, modality) if own == IMAGE else [known[own]["kind"]])
            for method, spec in methods.items()
            for stage in spec["stages"].values()
            if (own := stage["encoders"].get(modality)) in (IMAGE, *known)
        ]
        if not usual:
            raise ConfigError(
                f"--encoders {modality}={name}: no method of this grid has an encoder of {modality}"
            )
        for method, kinds in usual:
            if known[name]["kind"] not in kinds:
                raise ConfigError(
                    f"--encoders {modality}={name}: {method} takes {' or '.join(kinds)} encoders for "
                    f"{modality}; {name} is of kind {known[name]['kind']}"
                )


def _kinds(method: Mapping[str, Any], modality: str) -> list[str]:
    return [*method["encoder_kinds"], *method["modality_kinds"].get(modality, [])]


def _pair(size: Any) -> list[int]:
    """Return height and width."""
    return list(size) if isinstance(size, list | tuple) else [int(size)] * 2


def _task(name: str, dataset: str, config: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task on one data set: where its samples come from, how large they are, how it is trained.

    Raises:
        ConfigError: the data set does not fit the task.
    """
    body = config["task"][name]
    default = next(iter(body["data"]))
    chosen = dataset or default
    if chosen not in config["dataset"]:
        raise ConfigError(f'task {name}: unknown dataset "{chosen}".{nearest(chosen, config["dataset"])}')
    data = config["dataset"][chosen]
    own = body["data"].get(chosen, {"extra": [], "samples": None, "splits": {}})
    source = own.get("source") or data["default"] or next(iter(data["sources"]), "")
    if not source:
        raise ConfigError(f"task {name}@{chosen}: the data set names no source; add data.{chosen}.source")
    if body["joint_set"] and body["joint_set"] != data["joint_set"]:
        raise ConfigError(
            f"task {name}@{chosen}: needs joints of the set {body['joint_set']}, the data set has "
            f"{data['joint_set'] or 'none'}"
        )
    splits = {**data["splits"], **own.get("splits", {})}
    for split in ("train", "test"):
        if not splits.get(split):
            raise ConfigError(
                f"task {name}@{chosen}: the data set names no split to {split} on; "
                f"add {split} to splits in its YAML, or to data.{chosen}.splits of the task"
            )
    finetune = overrides.fit(preset["finetune"], body["finetune"], f"task {name}: finetune")
    convert(finetune, Finetune, f"task {name}: finetune")
    probe = preset["probe"]
    if probe is not None:
        probe = overrides.fit(probe, body["probe"], f"task {name}: probe")
        convert(probe, Probe, f"task {name}: probe")
    if body["probes"] and len(body["inputs"]) != 1:
        raise ConfigError(f"task {name}: probes: frozen protocols read one encoder, inputs names several")
    if body["probes"] and body["pairs"]:
        raise ConfigError(f"task {name}: probes: frozen protocols read one picture, pairs asks for two")
    return {
        **body,
        "name": name,
        "dataset": chosen,
        "is_default": chosen == default,
        "source_name": source,
        "extra": own.get("extra", []),
        "samples": own.get("samples") or finetune["samples"],
        "splits": {**splits, "val": splits.get("val", "")},
        "size": _pair(body["size"] or preset["size"]),
        "finetune": finetune,
        "probe": probe,
    }


def _place(name: str, body: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    """Put what is known of a user's files into their data set, and their numbers where all are asked for.

    Raises:
        AssetError: the files were not added.
    """
    if not body["files"]:
        return
    entry = registered(name)
    body["config"] = {**body["config"], "files": entry.digest}
    for task in (task for task in tasks if task["dataset"] == name):
        there = entry.counts.get(task["source_name"], {})
        samples = {
            split: min(task["samples"][split] or there.get(place, 0), there.get(place, 0))
            for split, place in task["splits"].items()
            if place
        }
        lacking = [place for split, place in task["splits"].items() if place and not there.get(place)]
        if lacking:
            raise AssetError(
                f"task {_task_name(task)}: {entry.root} has no samples of the split {lacking[0]} "
                f"(only {', '.join(split for split in there if there[split]) or 'nothing'}); add the files "
                f"or name other splits: task.{task['name']}.data.{name}.splits"
            )
        task["samples"] = {**task["samples"], **samples}


def _task_name(task: Mapping[str, Any]) -> str:
    return str(task["name"]) if task["is_default"] else f"{task['name']}@{task['dataset']}"


def _mix_sets(
    methods: Mapping[str, Mapping[str, Any]], preset: Mapping[str, Any], datasets: Mapping[str, Any]
) -> list[str]:
    """Return the data sets that methods are pretrained on.

    Raises:
        ConfigError: a method names no mix of the preset, or the mix names no data set.
    """
    mixes = preset["pretrain"]["mixes"]
    found = []
    for name, method in methods.items():
        for stage in method["stages"].values():
            if not stage["budget_share"]:
                continue
            if stage["mix"] not in mixes:
                raise ConfigError(
                    f'method {name}: preset {preset["name"]} has no mix "{stage["mix"]}".'
                    f"{nearest(stage['mix'], mixes)}"
                )
            dataset = mixes[stage["mix"]]["dataset"]
            if dataset not in datasets:
                where = f"preset {preset['name']}: mixes.{stage['mix']}"
                raise ConfigError(f'{where}: unknown dataset "{dataset}".{nearest(dataset, datasets)}')
            missing = [kind for kind in stage["pairs"] if kind not in datasets[dataset]["pairs"]]
            if missing:
                raise ConfigError(
                    f"method {name}: data set {dataset} has no pairs of kind {missing[0]}; choose another mix"
                )
            found.append(dataset)
    return found


def _load(
    methods: list[str],
    tasks: list[str],
    preset: str,
    known: Mapping[str, Mapping[str, Path]],
    rows: Sequence[Brought],
) -> dict[str, Any]:
    """Load and check the YAMLs of a grid by group and name; all encoders and data sets, to choose from."""
    new = {row.name: deepcopy(row.body) for row in rows if row.body}
    encoders = {row.encoder: deepcopy(row.encoder_body) for row in rows if row.encoder_body}
    registered = [name for name in methods if name not in new]
    config: dict[str, Any] = {
        "method": {**load_methods(registered, known["method"]), **new},
        "task": {t: load(known["task"][t], "task") for t in tasks},
        "encoder": {e: encoders.get(e) or load(path, "encoder") for e, path in known["encoder"].items()},
        "dataset": {d: load(path, "dataset") for d, path in known["dataset"].items()},
        "preset": load(known["preset"][preset], "preset"),
    }
    for task in tasks:
        check("task", config["task"][task], str(known["task"][task]))  # adds what is left out
    for row in (row for row in rows if not row.body):
        body = config["method"][row.name]
        next(iter(body["stages"].values()))["config"].update(row.config)
        body.update({"brings": row.encoder} if row.encoder else {})
    _tune(config, preset, known)
    _check_all(config, known, preset)
    config["preset"]["resources"] = {**DEFAULTS, **config["preset"].get("resources", {})}
    return config


def _tune(config: Mapping[str, Any], preset: str, known: Mapping[str, Mapping[str, Path]]) -> None:
    """Put the values that methods and tasks have for a preset in the place of their usual ones.

    Raises:
        ConfigError: values for a preset that does not exist, or of keys that are not there.
    """
    for group in ("method", "task"):
        for name, body in config[group].items():
            where = known[group][name]
            for other in (own := body.pop("presets", None) or {}):
                if other not in known["preset"]:
                    raise ConfigError(
                        f'{where}: presets: unknown preset "{other}".{nearest(other, known["preset"])}'
                    )
            if preset in own:
                body.update(overrides.fit(body, own[preset], f"{where}: presets.{preset}"))


def _check_choices(words: Words, known: Mapping[str, Mapping[str, Path]]) -> None:
    """Check the words that name one thing each, before any YAML is read."""
    parse_budgets(words.fractions, words.shots)
    parse_seeds(words.seeds)
    if parse_rates(words.rates) and "finetune" not in parse_protocols(words.protocol):
        raise ConfigError("--rates: only fine-tuning reads them; those of probes are preset.probe.rates")
    for value, allowed, flag in (
        (words.preset, known["preset"], "preset"),
        (words.track, TRACKS, "track"),
        (words.mode, MODES, "mode"),
    ):
        if value not in allowed:
            raise ConfigError(f'--{flag}: unknown "{value}".{nearest(value, allowed)}')
    if words.track == "published":
        raise ConfigError(
            "--track published: no published recipe can be run on the embedded data; use --track controlled"
        )
    if words.mode == "parity":
        raise ConfigError("--mode parity: none of the tasks has a published code base to be compared with")


def _first_joint_set(preset: Mapping[str, Any], datasets: Mapping[str, Any]) -> str:
    """Return that of the preset's first mix: a start without data must not depend on the grid's tasks."""
    first = next(iter(preset["pretrain"]["mixes"].values()), {"dataset": ""})["dataset"]
    return str(datasets[first]["joint_set"]) if first in datasets else ""


def _check_all(config: Mapping[str, Any], places: Mapping[str, Mapping[str, object]], preset: str) -> None:
    """Check all sections against the schema; `places` says how messages name them."""
    for group in ("method", "task", "encoder", "dataset"):
        for name, body in config[group].items():
            check(group, body, str(places[group][name]))
    check("preset", config["preset"], str(places["preset"][preset]))


def _check_references(
    preset: Mapping[str, Any], encoders: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Check that the names in a preset are registered, and that its numbers fit each other."""
    where = f"preset {preset['name']}"
    for name in encoders:
        if name not in config["encoder"]:
            raise ConfigError(f'{where}: unknown encoder "{name}".{nearest(str(name), config["encoder"])}')
        kind = config["encoder"][name]["kind"]
        if kind not in preset["finetune"]["lr"]:
            raise ConfigError(f"{where}: finetune.lr has no rate for {kind} encoders")
    for name, mix in preset["pretrain"]["mixes"].items():
        samples, batch = sum(mix["samples"].values()), preset["pretrain"]["batch"]
        if samples < batch:
            raise ConfigError(f"{where}: mixes.{name}: {samples} samples do not fill a batch of {batch}")
        for source in mix["hide"]:
            if source not in mix["samples"]:
                raise ConfigError(
                    f'{where}: mixes.{name}.hide: the mix has no source "{source}".'
                    f"{nearest(source, mix['samples'])}"
                )


def _check_fixed(names: Iterable[str], known: Mapping[str, Any]) -> None:
    for name in sorted(names):
        if name not in known:
            raise ConfigError(f'encoders of methods: unknown encoder "{name}".{nearest(name, known)}')


def _defaults(method: Mapping[str, Any], preset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the preset's encoder of the first kind that the method lists: that of its paper."""
    if method["brings"]:
        return (method["brings"],)
    kinds = [k for k in method["encoder_kinds"] if k in preset["encoders"]]
    return tuple(str(preset["encoders"][k]) for k in kinds[:1])
