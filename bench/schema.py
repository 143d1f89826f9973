"""What each YAML of the registry must hold, so that a mistake is named before anything is computed.

The keys under `config` belong to the adapter, whose `Config` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from bench.errors import ConfigError, nearest
from bench.resources import check_resources

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("constant", "cos_epoch", "cos_moco", "cos_warm_step", "poly")
PRECISIONS = ("32-true", "bf16-mixed")  # exact resume with 16-mixed would need the state of a loss scaler
MODALITIES = ("rgb", "depth", "kp2d")
KINDS = ("pyramid", "tokens")

# A rule is a word (see `_fits`) or the allowed values; dots lead into sections.
Rule = str | tuple[str, ...]
_RECIPE: dict[str, Rule] = {
    "optimizer": OPTIMIZERS,
    "momentum": "number",
    "betas": "numbers",
    "weight_decay": "number",
    "schedule": SCHEDULES,
    "warmup": "number",
    "clip": "number",
}
_RULES: dict[str, dict[str, Rule]] = {
    "method": {"modalities": "list", "encoder_kinds": "list", "stages": "section"},
    "stage": {"adapter": "text", "version": "count", "share": "number", "config": "section"},
    "train": {"lr": "number", "base_batch": "count", "groups": "count", **_RECIPE},
    "task": {
        "adapter": "text",
        "version": "count",
        "score_version": "count",
        "modality": MODALITIES,
        "published": "text",
        "primary.metric": "text",
        "primary.unit": "text",
        "primary.higher_is_better": "bool",
        "minimum_effect": "number",
        "domain": "text",
        "config": "section",
        "augment": "section",
    },
    "encoder": {
        "adapter": "text",
        "version": "count",
        "kind": KINDS,
        "config": "section",
        "graph": "section",
        "pretrained": "text or null",
    },
    "dataset": {"spec.adapter": "text", "spec.version": "count"},
    "preset": {
        "dataset": "text",
        "size": "count",
        "precision": PRECISIONS,
        "cpu_threads": "count",
        "encoders": "section",
        "pretrain.samples": "sizes",
        "pretrain.seen": "count",
        "pretrain.batch": "count",
        "pretrain.seeds": ("each", "one"),
        "finetune.samples.train": "count",
        "finetune.samples.val": "count",
        "finetune.samples.test": "count",
        "finetune.steps": "count",
        "finetune.batch": "count",
        "finetune.lr": "rates",
        **{f"finetune.{name}": rule for name, rule in _RECIPE.items()},
        "finetune.selection": ("last",),
        "finetune.evaluations": "count",
    },
}
_OPTIONAL: dict[str, dict[str, Any]] = {
    "method": {"resources": {}},
    "train": {"groups": 1},
    "task": {"published": "", "minimum_effect": 0.0, "resources": {}},
    "preset": {"resources": {}},
}  # keys that may be left out, with what that means


def check(group: str, body: dict[str, Any], where: str) -> None:
    """Check a YAML of a group against its rules; numbers become floats, so that `1` and `1.0` are one.

    Raises:
        ConfigError: a key is missing, or its value is of the wrong type or not allowed.
    """
    body.update({k: copy(value) for k, value in _OPTIONAL.get(group, {}).items() if k not in body})
    for key, rule in _RULES[group].items():
        *way, last = key.split(".")
        section: Any = body
        for name in way:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise ConfigError(f'{where}: "{key}" is missing')
        section[last] = _checked(section[last], rule, f"{where}: {key}")
    check_resources(body.get("resources", {}), where)
    if group == "method":
        _check_method(body, where)


def _check_method(body: Mapping[str, Any], where: str) -> None:
    for key, known in (("modalities", MODALITIES), ("encoder_kinds", KINDS)):
        for word in body[key] or [""]:
            _checked(word, known, f"{where}: {key}")
    if not body["stages"]:
        raise ConfigError(f"{where}: stages: at least one is needed")
    for name, stage in body["stages"].items():
        place = f"{where}: stages.{name}"
        if not isinstance(stage, dict):
            raise ConfigError(f"{place}: is not a section")
        if "use" in stage:
            if len(stage) > 1:
                raise ConfigError(
                    f"{place}: a stage with `use` has no other keys; a changed stage is a new one"
                )
            continue
        check("stage", stage, place)
        if stage["share"] > 0:
            if not isinstance(stage.get("train"), dict):
                raise ConfigError(f'{place}: "train" is missing')
            check("train", stage["train"], f"{place}.train")


def _checked(value: Any, rule: Rule, where: str) -> Any:
    if isinstance(value, str) and "${" in value:
        return value  # an interpolation; checked again when it is resolved
    if isinstance(rule, tuple):
        if value not in rule:
            raise ConfigError(f'{where}: unknown "{value}".{nearest(str(value), rule)}')
        return value
    if not _fits(value, rule):
        raise ConfigError(f"{where}: {value!r} is not {_WORDS[rule]}")
    match rule:
        case "number":
            return float(value)
        case "numbers":
            return [float(item) for item in value]
        case "rates":
            return {name: float(item) for name, item in value.items()}
        case _:
            return value


_WORDS = {
    "text": "text",
    "text or null": "text or null",
    "bool": "true or false",
    "section": "a section",
    "list": "a list",
    "count": "a whole number of at least 1",
    "number": "a number of at least 0",
    "numbers": "a list of numbers of at least 0",
    "sizes": "a section of whole numbers of at least 0",
    "rates": "a section of numbers above 0",
}


def _fits(value: Any, rule: str) -> bool:
    match rule:
        case "text":
            return isinstance(value, str)
        case "text or null":
            return value is None or isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "section":
            return isinstance(value, dict)
        case "list":
            return isinstance(value, list)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool) and value >= 1
        case "numbers":
            return isinstance(value, list) and all(_fits(item, "number") for item in value)
        case "sizes":
            return isinstance(value, dict) and all(v == 0 or _fits(v, "count") for v in value.values())
        case "rates":
            return isinstance(value, dict) and all(_fits(v, "number") and v > 0 for v in value.values())
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
