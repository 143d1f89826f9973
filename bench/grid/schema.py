"""What each YAML of the registry must hold, so that a mistake is named before anything is computed.

The keys under `config` belong to the adapter, whose `Config` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, field

from bench.errors import ConfigError, nearest
from bench.grid import augment_spec
from bench.grid.registry import plain
from bench.grid.resources import check_resources
from bench.settings import SIDES, Count, Decay, NotNegative, OffWhen, Positive, Share, Whole, convert

# sgd and adamw are torch's fused ones, the others timm's
Optimizer = Literal["sgd", "adamw", "adam", "lars", "lamb", "lion", "nadamw", "adafactor", "rmsprop"]
Schedule = Literal["constant", "cos_epoch", "cos_moco", "cos_warm_lars", "cos_warm_step", "poly", "steps"]
Precision = Literal["32-true", "bf16-mixed"]  # exact resume with 16-mixed needs the state of a loss scaler
Modality = Literal["rgb", "depth", "kp2d"]
# fmt: off
# what a method may use beyond colour pictures
Supervision = Literal[
    "depth", "2D joints", "3D joints", "skeletons", "silhouettes", "part labels", "surface labels",
    "body parameters", "view pairs", "pose pairs", "ImageNet labels", "ImageNet pictures",
    "weights of a file",
]
# fmt: on
Kind = Annotated[str, Meta(min_length=1)]  # pyramid, tokens, graph, ...: what a head may ask for
Side = Annotated[int, Meta(ge=SIDES[0], le=SIDES[1])]  # pixels
# height = width, or [height, width]; not a tuple: msgspec 0.22 crashes on one of fixed length in a union
Size = Side | Annotated[list[Side], Meta(min_length=2, max_length=2)]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULES: tuple[str, ...] = get_args(Schedule)
MODALITIES: tuple[str, ...] = get_args(Modality)

Layers = Literal["maps", "tokens", "pooled"]  # all hooked maps, the last one, one vector per image
FROZEN = ("linear", "attentive", "knn")
PROTOCOLS = ("finetune", *FROZEN)

Section = dict[str, Any]
_NOT_STEPS = ("constant", "cos_epoch", "cos_moco", "cos_warm_lars", "cos_warm_step", "poly")


class Recipe(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a network is trained."""

    optimizer: Optimizer
    momentum: Annotated[Decay, OffWhen(optimizer="adamw")]
    betas: Annotated[tuple[Decay, Decay], OffWhen(optimizer="sgd")]
    weight_decay: NotNegative
    schedule: Schedule
    warmup: Annotated[Share, OffWhen(schedule=("constant", "cos_epoch", "cos_moco", "poly", "steps"))]
    milestones: Annotated[tuple[Share, ...], OffWhen(schedule=_NOT_STEPS)] = ()  # shares of all steps
    gamma: Annotated[Positive, OffWhen(schedule=_NOT_STEPS)] = 0.1  # factor on the rate at each milestone
    clip: NotNegative  # largest norm of the gradient; 0 = not clipped


class Train(Recipe, kw_only=True, forbid_unknown_fields=True):
    """The recipe of a stage of pretraining."""

    lr: Positive  # at base_batch samples per update
    base_batch: Count
    batch_groups: Count = 1  # parts of a batch with a batch norm and negatives of their own


class Samples(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sizes of the splits of a task; 0 = all there are."""

    train: Whole
    val: Whole
    test: Whole


class Finetune(Recipe, kw_only=True, forbid_unknown_fields=True):
    """How the cells of a preset are trained."""

    samples: Samples
    steps: Count
    batch: Count
    lr: dict[Kind, Positive]  # by kind of encoder, equal for all methods
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0  # of the rate, per layer of an image encoder
    drop_path: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # of the last block of a tokens encoder
    selection: Literal["last"]
    evaluations: Count


class Probe(Recipe, kw_only=True, forbid_unknown_fields=True):
    """How heads on frozen features are trained: one per rate, all in one pass; validation chooses."""

    steps: Count
    batch: Count
    rates: Annotated[list[Positive], Meta(min_length=1)]
    evaluations: Count
    clip: Annotated[float, Meta(ge=0, le=0)] = 0.0  # one norm over heads of several rates would mix them
    neighbours: Annotated[list[Count], Meta(min_length=1)] = field(default_factory=lambda: [5, 10, 20])  # kNN
    temperature: Positive = 0.07  # of the votes of neighbours


class Mix(Struct, kw_only=True, forbid_unknown_fields=True):
    """What methods are pretrained on."""

    dataset: str
    samples: dict[str, Whole]  # by source; 0 = none
    hide: dict[str, list[str]] = field(default_factory=dict)  # source -> fields that count as absent


class Pretrain(Struct, kw_only=True, forbid_unknown_fields=True):
    """What all methods may see."""

    mixes: dict[str, Mix]
    samples_seen: Count  # the budget: images read from the data set, all stages together
    batch: Count
    seeds: Literal["each", "one"]


class Preset(Struct, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a grid."""

    name: str = ""
    summary: str = ""
    size: Size
    precision: Precision
    cpu_threads: Count
    encoders: dict[Kind, str]
    pretrain: Pretrain
    finetune: Finetune
    probe: Probe | None = None  # null: the preset has no frozen probes
    resources: Section = field(default_factory=dict)


class _Described(Struct, kw_only=True, forbid_unknown_fields=True):
    summary: str = ""
    paper: Section | None = None


Uses = list[Supervision] | dict[Supervision, Section]  # always, or while these keys of `config` are so


class Stage(Struct, kw_only=True, forbid_unknown_fields=True):
    """A stage of a method; one that another method owns has the key `use` alone."""

    adapter: str
    version: Count
    budget_share: Share  # of preset.pretrain.samples_seen; 0 = no training
    config: Section
    fields: list[str] = field(default_factory=list)  # labels wanted besides the encoders' inputs
    views: Literal[1, 2] = 1  # augmented versions of each sample
    pairs: list[Literal["view", "pose"]] = field(default_factory=list)  # rows are pairs of images
    uses: Uses = field(default_factory=list)  # what the keys above do not tell
    train: Section = field(default_factory=dict)
    augment: Section = field(default_factory=dict)
    augment2: Section | None = None  # of the second view; null = as the first


class Method(_Described, kw_only=True, forbid_unknown_fields=True):
    """A pretraining."""

    encoders: Annotated[dict[Modality, str], Meta(min_length=1)]  # image = that of the grid, or a name
    gives: Annotated[list[str], Meta(min_length=1)]  # modalities of encoders, and modules, that tasks get
    mix: str = ""  # of the preset, for methods that train
    optional: list[Modality] = field(default_factory=list)  # those that a sample may lack
    encoder_kinds: Annotated[list[Kind], Meta(min_length=1)]
    modality_kinds: dict[Modality, list[Kind]] = field(default_factory=dict)  # more, by --encoders
    needs_pretrained_tag: bool = False
    brings: str = (
        ""  # the encoder that its weights are for; it runs on no other, and what is untrained beside it
    )
    stages: Annotated[Section, Meta(min_length=1)]
    presets: dict[str, Section] = field(default_factory=dict)  # other values of these keys, by preset
    resources: Section = field(default_factory=dict)


class TaskPart(Struct, kw_only=True, forbid_unknown_fields=True):
    """Samples of one source of a data set."""

    source: str
    split: str = ""  # "" = that of the training samples
    samples: Whole = 0  # 0 = all there are, where the data end
    hide: list[str] = field(default_factory=list)  # fields and modalities that count as absent


class TaskData(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a task takes its samples from in one data set."""

    source: str = ""  # "" = what the data set names as its default
    extra: list[TaskPart] = field(default_factory=list)  # further parts of the training split
    samples: Samples | None = None  # instead of the preset's
    splits: dict[Literal["train", "val", "test"], str] = field(default_factory=dict)  # instead of the set's


class Task(_Described, kw_only=True, forbid_unknown_fields=True):
    """A downstream task."""

    adapter: str
    version: Count
    score_version: Count
    inputs: Annotated[list[Modality], Meta(min_length=1)]  # what the network reads
    needs: list[str] = field(default_factory=list)  # modules of the method without which there is no cell
    wants: list[str] = field(default_factory=list)  # modules that are fresh where the method has none
    pairs: list[Literal["view", "pose"]] = field(default_factory=list)  # a second picture beside each sample
    minimum_effect: NotNegative = 0.0
    data: Annotated[dict[str, TaskData], Meta(min_length=1)]  # by data set, the default first
    size: Size | None = None  # pixels; null = the preset's
    joint_set: str = ""  # that the data must have; "" = any
    published: str = ""
    shots: bool = False  # whether samples have a class each
    finetune: Section = field(default_factory=dict)  # instead of the preset's, for all methods
    probes: dict[str, Layers] = field(default_factory=dict)  # frozen protocols, and what each reads
    probe: Section = field(default_factory=dict)  # instead of the preset's, for all methods
    presets: dict[str, Section] = field(default_factory=dict)  # other values of these keys, by preset
    config: Section
    augment: Section
    resources: Section = field(default_factory=dict)


class Encoder(_Described, kw_only=True, forbid_unknown_fields=True):
    """An encoder of images, joints or points."""

    adapter: str
    version: Count
    kind: Kind
    config: Section
    pretrained: str | None


class Dataset(_Described, kw_only=True, forbid_unknown_fields=True):
    """A data set."""

    adapter: str
    version: Count
    files: bool = False  # whether it is made of files that the user brings: `bench data add`
    config: Section = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)  # source -> its splits
    default: str = ""  # source of tasks that name none
    splits: dict[Literal["train", "val", "test"], str]  # "" for val: cut from train
    joint_set: str = ""
    pairs: list[Literal["view", "pose"]] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)  # of the samples; empty = not said
    lacks: dict[str, list[str]] = field(default_factory=dict)  # source -> fields and pairs it has none of
    classes: dict[str, Count] = field(
        default_factory=dict
    )  # source -> classes of whole samples, equally frequent


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
    for name in body.get("probes", ()):
        if name not in FROZEN:
            raise ConfigError(f'{where}: probes: unknown protocol "{name}".{nearest(name, FROZEN)}')
    if group == "dataset" and body["sources"]:
        _check_dataset(body, where)
    for name, stage in body.get("stages", {}).items():
        _check_stage(stage, f"{where}: stages.{name}")


def conditions(uses: list[str] | Section) -> Section:
    """Return what a stage uses with the values of its config while it does; none = always."""
    return uses if isinstance(uses, dict) else {name: {} for name in uses}


def _check_dataset(body: Section, where: str) -> None:
    """Check that a data set speaks of sources, splits, fields and pairs that it has."""
    sources = body["sources"]
    splits = {split for own in sources.values() for split in own}
    has = {*body["fields"], *body["pairs"]}
    named = [(key, name, sources) for key in ("lacks", "classes") for name in body[key]]
    named += [("default", body["default"], sources)] if body["default"] else []
    named += [("splits", split, splits) for split in body["splits"].values() if split]
    if body["fields"]:
        named += [("lacks", name, has) for names in body["lacks"].values() for name in names]
    for key, name, known in named:
        if name not in known:
            raise ConfigError(f'{where}: {key}: it has no "{name}".{nearest(name, known)}')


def _check_stage(stage: Any, where: str) -> None:
    if isinstance(stage, dict) and "use" in stage:
        if len(stage) > 1:
            raise ConfigError(f"{where}: a stage with `use` has no other keys; a changed stage is a new one")
        return
    _fill(stage, Stage, where)
    augment_spec.parse(stage["augment"], f"{where}.augment")
    if stage["augment2"] is not None:
        augment_spec.parse(stage["augment2"], f"{where}.augment2")
    for name, when in conditions(stage["uses"]).items():
        for key in when.keys() - stage["config"].keys():
            known = nearest(key, stage["config"])
            raise ConfigError(f'{where}.uses.{name}: there is no "{key}" in the config of the stage.{known}')
    if stage["budget_share"] > 0:
        if not stage["train"]:
            raise ConfigError(f'{where}: "train" is missing')
        _fill(stage["train"], Train, f"{where}.train")


def _fill(body: Any, kind: type[Struct], where: str, join: str = ".") -> None:
    """Check a section in place."""
    found = msgspec.to_builtins(convert(body, kind, where, join))
    body.update(plain(found, where))
