"""What each YAML of the registry must hold, so that a mistake is named before anything is computed.

The keys under `config` belong to the adapter, whose `Config` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from bench.data import augment_spec
from bench.data.spec import SIZES
from bench.errors import ConfigError
from bench.registry import plain
from bench.resources import check_resources
from bench.settings import Count, Decay, NotNegative, OffWhen, Positive, Share, Whole, convert

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cos_epoch", "cos_moco", "cos_warm_step", "poly"]
Precision = Literal["32-true", "bf16-mixed"]  # exact resume with 16-mixed needs the state of a loss scaler
Modality = Literal["rgb", "depth", "kp2d"]
Kind = Literal["pyramid", "tokens"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)

Section = dict[str, Any]


class Recipe(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a network is trained."""

    optimizer: Optimizer
    momentum: Annotated[Decay, OffWhen(optimizer="adamw")]
    betas: Annotated[tuple[Decay, Decay], OffWhen(optimizer="sgd")]
    weight_decay: NotNegative
    schedule: Schedule
    warmup: Annotated[Share, OffWhen(schedule=("constant", "cos_epoch", "cos_moco", "poly"))]
    clip: NotNegative  # largest norm of the gradient; 0 = not clipped


class Train(Recipe, kw_only=True, forbid_unknown_fields=True):
    """The recipe of a stage of pretraining."""

    lr: Positive  # at base_batch samples per update
    base_batch: Count
    groups: Count = 1  # parts of a batch with a batch norm of their own


class Samples(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sizes of the splits of a task."""

    train: Count
    val: Count
    test: Count


class Finetune(Recipe, kw_only=True, forbid_unknown_fields=True):
    """How the cells of a preset are trained."""

    samples: Samples
    steps: Count
    batch: Count
    lr: dict[Kind, Positive]  # by kind of encoder, equal for all methods
    selection: Literal["last"]
    evaluations: Count


class Pretrain(Struct, kw_only=True, forbid_unknown_fields=True):
    """What all methods may see."""

    samples: dict[str, Whole]  # by domain
    seen: Count
    batch: Count
    seeds: Literal["each", "one"]


class Preset(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a grid."""

    name: str = ""
    summary: str = ""
    dataset: str
    size: Annotated[int, Meta(ge=SIZES[0], le=SIZES[1])]
    precision: Precision
    cpu_threads: Count
    encoders: dict[Kind, str]
    pretrain: Pretrain
    finetune: Finetune
    resources: Section = field(default_factory=dict)


class _Described(Struct, kw_only=True, forbid_unknown_fields=True):
    summary: str = ""
    paper: Section | None = None


class Stage(Struct, kw_only=True, forbid_unknown_fields=True):
    """A stage of a method; one that another method owns has the key `use` alone."""

    adapter: str
    version: Count
    share: Share  # of the budget; 0 = no training
    config: Section
    train: Section = field(default_factory=dict)
    augment: Section = field(default_factory=dict)


class Method(_Described, kw_only=True, forbid_unknown_fields=True):
    """A pretraining."""

    modalities: Annotated[list[Modality], Meta(min_length=1)]
    optional: list[Modality] = field(default_factory=list)  # those that a sample may lack
    encoder_kinds: Annotated[list[Kind], Meta(min_length=1)]
    needs_pretrained_tag: bool = False
    stages: Annotated[Section, Meta(min_length=1)]
    resources: Section = field(default_factory=dict)


class Primary(Struct, kw_only=True, forbid_unknown_fields=True):
    """The metric that leaderboards show."""

    metric: str
    unit: str
    higher_is_better: bool


class Task(_Described, kw_only=True, forbid_unknown_fields=True):
    """A downstream task."""

    adapter: str
    version: Count
    score_version: Count
    modality: Literal["rgb", "depth"]
    primary: Primary
    minimum_effect: NotNegative = 0.0
    domain: str
    dataset: str = ""
    published: str = ""
    shots: bool = False  # whether samples have a class each
    config: Section
    augment: Section
    resources: Section = field(default_factory=dict)


class Encoder(_Described, kw_only=True, forbid_unknown_fields=True):
    """An encoder, and the graph network for joints that goes with it."""

    adapter: str
    version: Count
    kind: Kind
    config: Section
    graph: Section
    pretrained: str | None


class Source(Struct, kw_only=True, forbid_unknown_fields=True):
    """What the pictures of a data set depend on."""

    adapter: str
    version: Count
    seed: Whole


class Dataset(_Described, kw_only=True, forbid_unknown_fields=True):
    """A data set; `domains` lists the splits of each."""

    spec: Source
    domains: dict[str, list[str]] = field(default_factory=dict)


GROUPS: Mapping[str, type[Struct]] = {
    "method": Method,
    "task": Task,
    "encoder": Encoder,
    "dataset": Dataset,
    "preset": Preset,
}


def check(group: str, body: Section, where: str) -> None:
    """Check a YAML of a group; numbers become floats, so that `1` and `1.0` are one, and defaults are added.

    A YAML that still holds interpolations is left as it is; it is checked when they are resolved.

    Raises:
        ConfigError: a key is unknown or missing, or its value is of the wrong type or not allowed.
    """
    if "${" in repr(body):
        return
    _fill(body, GROUPS[group], where, ": ")
    if "resources" in body:
        check_resources(body["resources"], where)
    if "augment" in body:
        augment_spec.parse(body["augment"], f"{where}: augment")
    for name, stage in body.get("stages", {}).items():
        _check_stage(stage, f"{where}: stages.{name}")


def _check_stage(stage: Any, where: str) -> None:
    if isinstance(stage, dict) and "use" in stage:
        if len(stage) > 1:
            raise ConfigError(f"{where}: a stage with `use` has no other keys; a changed stage is a new one")
        return
    _fill(stage, Stage, where)
    augment_spec.parse(stage["augment"], f"{where}.augment")
    if stage["share"] > 0:
        if not stage["train"]:
            raise ConfigError(f'{where}: "train" is missing')
        _fill(stage["train"], Train, f"{where}.train")


def _fill(body: Any, kind: type[Struct], where: str, join: str = ".") -> None:
    """Check a section in place."""
    found = msgspec.to_builtins(convert(body, kind, where, join))
    body.update(plain(found, where))
