"""What adapters implement and what they receive: methods, tasks, encoders, batches.

Shapes use N batch, C channels, D embedding, H W image, h w map, J joints, K classes, P points.

A *batch* is one dict of tensors; absent keys are absent, validity per sample is explicit:

| key           | shape, dtype         | meaning                                                    |
|---------------|----------------------|------------------------------------------------------------|
| `rgb`         | (N, 3, H, W) float32 | colour in [0, 1]; the encoder owns its normalisation       |
| `depth`       | (N, 1, H, W) float32 | metres, 0 = no measurement; the encoder centres it         |
| `kp2d`        | (N, J, 2) float32    | (row, col), root-centred, over the largest visible value   |
| `keypoints_pixels`  | (N, J, 2) float32 | (row, col) in pixels of this crop                       |
| `keypoints_visible` | (N, J) bool       | annotated and inside the crop                           |
| `valid.rgb`   | (N,) bool            | the sample has it; so `valid.depth`, `valid.kp2d`          |
| `sample_id`   | (N,) int64           | position in the pretraining set, 0..n_samples-1            |
| `crop`        | (N, 3, 3) float32    | from pixels (x, y) of the stored image to those of this  |
| `rgb2`, ...   | as `rgb`, ...        | second view, or the partner's image, with `crop2`, ...   |
| labels        | `bench.data.batches` | any field, e.g. `parts` (N, H, W) int64, decoded by kind   |

A `Config` of a method, task or encoder may have a method `check`, which refuses by a `ConfigError` what does
not fit the grid, before anything runs and without torch. It names those of these keywords that it needs:

| keyword    | type                          | meaning                                                   |
|------------|-------------------------------|-----------------------------------------------------------|
| `size`     | (int, int)                    | height and width of the images, pixels                    |
| `encoder`  | mapping                       | the encoder of the grid: name, kind, config, pretrained   |
| `encoders` | modality -> such a mapping    | of a stage, by modality; of a task, the one under ""      |
| `where`    | str                           | its own dotted key, for messages                          |
| `samples`  | int                           | of the training data; 0 = no training                     |
| `batch`    | int                           | rows per step                                             |
| `groups`   | int                           | parts of a batch of their own, `train.batch_groups`       |
| `views`    | int                           | augmentations of each sample                              |
| `wanted`   | list of str                   | `fields` and kinds of `pairs` that a stage asks for       |
| `joint_set`| str                           | of the training data; "" = none                           |
| `pairs`    | list of str                   | kinds of pairs that the data have                         |
| `fields`   | list of str                   | names of the data's fields; [] = not known                |
| `augment`  | mapping                       | its whole section `augment`; of frozen protocols, nothing |
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.dataset import DataInfo, Dataset, DataSpec, Field, Part
from bench.errors import StepError

__all__ = [
    "SINGLE_PROCESS",
    "Batch",
    "Context",
    "DataInfo",
    "DataSpec",
    "Dataset",
    "Draws",
    "Encoder",
    "EncoderHead",
    "Export",
    "FeatureInfo",
    "Features",
    "Field",
    "Illustration",
    "Method",
    "Metric",
    "Module",
    "Outputs",
    "Part",
    "Pretrained",
    "ProcessGroup",
    "Stats",
    "StepOutput",
    "Task",
    "check_features",
    "seeded",
]  # fmt: skip

Batch = dict[str, Tensor]
Outputs = dict[str, Tensor]
Stats = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureInfo:
    """What an encoder returns, known before it runs."""

    kind: str  # pyramid, tokens, graph, points: what a head may ask for
    channels: tuple[int, ...]  # of `Features.maps`, fine to coarse (tokens: one entry per hooked block)
    strides: tuple[int, ...]  # input pixels per cell of each map
    pooled: int  # width of `Features.pooled`


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Output of an encoder for one batch."""

    # pyramid: (N, C_i, H/s_i, W/s_i); tokens: hooked blocks (N, D, h, w); points: one of theirs; graph: ()
    maps: tuple[Tensor, ...]
    pooled: Tensor  # (N, P) one vector per sample
    # tokens: (N, h*w, D) of the last block, no prefix; points: (N, P, D); graph: (N, J, D)
    tokens: Tensor | None = None
    xyz: Tensor | None = None  # points: (N, P, 3) where each token lies, camera coordinates, metres


def check_features(found: Any, info: FeatureInfo, size: tuple[int, int]) -> None:
    """Make sure that an encoder returns what it says of itself, which heads and bounds are made for.

    Args:
        found: what it has returned.
        info: what it says.
        size: height and width of its images, pixels.

    Raises:
        StepError: it returned something else.
    """
    if not isinstance(found, Features):
        raise StepError(f"the encoder returns a {type(found).__name__}, not Features(maps=..., pooled=...)")
    said = [("pooled", tuple(found.pooled.shape[1:]), (info.pooled,))]
    if info.kind in ("pyramid", "tokens"):
        said += [
            ("number of maps", (len(found.maps),), (len(info.channels),)),
            ("number of strides", (len(info.strides),), (len(info.channels),)),
        ]
        for number, (here, channels, stride) in enumerate(
            zip(found.maps, info.channels, info.strides, strict=False)
        ):
            meant = [side / stride for side in size]  # borders may be cut or padded
            near = [m / 1.5 - 1 <= n <= m * 1.5 + 1 for n, m in zip(here.shape[2:], meant, strict=True)]
            cells = here.shape[2:] if all(near) else map(round, meant)
            said.append((f"maps[{number}]", tuple(here.shape[1:]), (channels, *cells)))
    for name, shape, wanted in said:
        if shape != wanted:
            raise StepError(f"the encoder's {name} is {shape} per image, its feature_info says {wanted}")


class Encoder(nn.Module):
    """Turns one modality into features; owns its input normalisation; travels as safetensors + JSON.

    `spec` holds everything that `bench.encoders.build_encoder` needs to rebuild the module (plain data).
    """

    fields: ClassVar[tuple[str, ...]] = ()  # of the data, read besides the modality, e.g. ("camera",)
    feature_info: FeatureInfo
    spec: Mapping[str, Any]

    @abstractmethod
    def forward(self, x: Tensor) -> Features:
        """Encode (N, 3, H, W) colour in [0, 1], (N, 1, H, W) depth in metres, or (N, J, 2) joints.

        Encoders with `fields` take these as further arguments.
        """

    def besides(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return its `fields`: `encoder(batch[m], *encoder.besides(batch))`."""
        return tuple(batch[name] for name in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Random numbers for rows of a batch that is cut into parts.

    Every part draws for the rows of all parts and keeps its own: the numbers of a row do not depend on the
    number of parts, and the generators of all parts stay in step.
    """

    generator: torch.Generator  # on the CPU, in the same state for all parts
    part: int = 0
    parts: int = 1

    def rand(self, rows: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return uniform numbers in [0, 1), (rows, *shape), on the CPU."""
        return self._own(torch.rand(rows * self.parts, *shape, generator=self.generator, dtype=dtype))

    def randn(self, rows: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return normal numbers, (rows, *shape), on the CPU."""
        return self._own(torch.randn(rows * self.parts, *shape, generator=self.generator, dtype=dtype))

    def randint(self, high: int, rows: int, *shape: int) -> Tensor:
        """Return whole numbers in [0, high), (rows, *shape) int64, on the CPU."""
        return self._own(torch.randint(high, (rows * self.parts, *shape), generator=self.generator))

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self.parts)[self.part]


class ProcessGroup:
    """The processes that a tensor's rows are spread over; this class is one process with all of them.

    For several processes: `bench.train.process_group.DistributedGroup`. All of them call the same methods
    in the same order.
    """

    rank: int = 0
    world_size: int = 1

    def all_gather(self, x: Tensor) -> Tensor:
        """Return the rows of all ranks, in the order of the ranks, without gradient."""
        return x.detach()

    def all_gather_with_grad(self, x: Tensor) -> Tensor:
        """Return the rows of all ranks; the gradient of each row reaches its rank."""
        return x

    def all_reduce(self, x: Tensor) -> Tensor:
        """Return the sum over all ranks, without gradient."""
        return x.detach()

    def any(self, flag: bool) -> bool:
        """Say whether a flag is set on any rank."""
        return flag


SINGLE_PROCESS = ProcessGroup()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where a step stands. All randomness of a step comes from `draws`, so that resume is exact.

    A batch may be spread over processes (`world`). By default they count as one: means, batch norm and
    negatives of the batch cover the rows of all, and `group` is `world`. Where a recipe cuts the batch into
    parts of their own (`train.batch_groups`), `group` is this process alone.
    """

    step: int  # 0-based, within this stage
    total_steps: int
    draws: Draws  # seeded from (run seed, step)
    group: ProcessGroup = SINGLE_PROCESS  # whose rows make one batch: `masked_mean(values, mask, ctx.group)`
    world: ProcessGroup = (
        SINGLE_PROCESS  # all processes of the training, e.g. to write all rows into a memory
    )

    @property
    def generator(self) -> torch.Generator:
        """Return the generator of what is drawn once for the whole batch, e.g. shared negatives."""
        return self.draws.generator


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """Named loss terms of one training step. The loop minimises their sum.

    Names are made of letters, digits, `_`, `.`, `+` and `-`.
    """

    terms: Mapping[str, Tensor]  # already weighted scalars, float32, connected to the graph
    lower_bounds: Mapping[str, Tensor] = field(default_factory=dict)  # of terms; logged as lower_bound_<term>
    # logged, not minimised; NaN where a step has nothing to say
    scalars: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Illustration:
    """What a method makes of some samples, for people to look at: `bench show KEY --images`."""

    images: Mapping[str, Tensor]  # rows of a sheet by title: (N, 3, H, W) in [0, 1], a column per sample
    scalars: Mapping[str, Tensor] = field(default_factory=dict)  # e.g. losses; means over the samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a method hands to the tasks."""

    encoders: Mapping[str, Encoder]  # by modality
    modules: Mapping[str, nn.Module] = field(default_factory=dict)  # by name, see `Module`


class Module(nn.Module):
    """A further module that a method exports, e.g. a decoder of pairs, a mapper, a loss.

    It is rebuilt without the method: `type(self)(Config(**spec["config"]))`.
    """

    Config: ClassVar[type]  # frozen dataclass, the only argument of the constructor
    cfg: Any  # the config it was built with


class Method(nn.Module):
    """One *stage* of a pretraining method (its YAML chains stages).

    What planning needs without importing torch stands in the YAML. Of the method: `encoders` (modality:
    `image` or the name of one), `encoder_kinds`, `gives`, `mix`. Of a stage: `version`; `fields` of the data
    wanted in the batch besides; `views: 2` for a second augmentation of each sample (`rgb2`, ..., `crop2`);
    `pairs: [view, pose]` for rows that are pairs, the partner's entries ending in 2. State that must survive
    a restart lives in parameters and buffers.
    """

    Config: ClassVar[type]  # frozen dataclass, the schema of the stage's `config`

    @abstractmethod
    def __init__(self, cfg: Any, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        """Receive one encoder per modality of the YAML's `encoders` (`rgb`, `depth`, `kp2d`)."""
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)

    @abstractmethod
    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        """Return the loss terms of one batch. Losses are computed in float32.

        With `pairs` the batch also holds `pair_kind` (N,) int64, the position in `pairs`.
        """

    def before_step(self, ctx: Context) -> None:
        """Run before the forward pass, e.g. the update of a momentum encoder."""

    def after_step(self, ctx: Context) -> None:
        """Run after the optimiser step, e.g. writes to a memory bank."""

    def fresh_parameters(self) -> Iterable[str]:
        """Return prefixes of state that may be absent from the previous stage's checkpoint."""
        return ()

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        """Say how a parameter departs from the recipe; see `Task.group`. The default decays everything."""
        return {}

    def initialise(self) -> Mapping[str, str]:
        """Load external weights (zero-step methods); return facts for the record, e.g. tag and hash."""
        return {}

    def illustrate(self, batch: Batch, ctx: Context) -> Illustration:
        """Show what the trained method makes of a batch of its pretraining data; optional.

        Called in evaluation mode, without gradient.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no illustrate()")

    def export(self) -> Export:
        """Return what is transferred downstream; by default all encoders."""
        return Export(encoders={m: e for m, e in self.encoders.items() if isinstance(e, Encoder)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a task measures."""

    name: str
    unit: str = ""  # "%", "mm", "" for a ratio in 0..1
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """What a task gets to build its network from."""

    encoders: Mapping[str, Encoder]  # by modality, one for each of the task's `inputs`
    modules: Mapping[str, nn.Module] = field(default_factory=dict)  # what the method exported of its `needs`


class EncoderHead(nn.Module):
    """One encoder and a head that maps `(Features, (H, W))` to `Outputs`: the network of most tasks."""

    def __init__(self, encoder: Encoder, head: nn.Module, modality: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.modality = modality

    def forward(self, batch: Batch) -> Outputs:
        """Return the head's outputs at the size of the image."""
        x = batch[self.modality]
        features = self.encoder(x, *self.encoder.besides(batch))
        check_features(features, self.encoder.feature_info, (x.shape[-2], x.shape[-1]))
        out: Outputs = self.head(features, (x.shape[-2], x.shape[-1]))
        return out


class Task:
    """A downstream task: network, loss, prediction, scores. The harness owns loop, order, schedule, seeds.

    The YAML holds what planning needs: `version`, `inputs` (modalities), `needs` (further modules of the
    method), `data`, `config`; `pairs: [view, pose]` for a second picture of the same person beside each
    sample, from another camera or moment. Its entries end in 2; it has no labels, and no budget counts it.
    In training it is any partner of a sample, at test always the same one (`bench.data.feed.partners`).
    To train and score, a task defines `head` or `network`, `loss`, `predict`, `score_samples` and
    `aggregate`; `oracle_prediction` is for `bench test-adapter` alone.
    """

    Config: ClassVar[type]
    targets: ClassVar[tuple[str, ...]]  # fields of the data wanted in the batch, the labels
    extras: ClassVar[tuple[str, ...]] = ()  # fields wanted for scoring alone, e.g. the map to the full image
    unlabelled: ClassVar[bool] = False  # samples without targets are trained on, too; no budget counts them
    metrics: ClassVar[tuple[Metric, ...]]  # the primary one first

    def __init__(self, cfg: Any, data: DataInfo) -> None:
        self.cfg = cfg
        self.data = data

    def head(self, info: FeatureInfo) -> nn.Module:
        """Build a module that maps `(Features, (H, W))` to `Outputs`; for tasks with one encoder."""
        raise NotImplementedError(f"{type(self).__name__} defines neither head() nor network()")

    def network(self, given: Pretrained) -> nn.Module:
        """Build the network: `forward(batch) -> Outputs`. It reads labels in training mode only.

        Args:
            given: pretrained encoders and modules, to be used as they are or wrapped.
        """
        ((modality, encoder),) = given.encoders.items()
        head = self.head(encoder.feature_info)
        if not isinstance(head, nn.Module):
            raise TypeError(f"{type(self).__name__}.head() returns {head!r:.40}, not a module")
        return EncoderHead(encoder, head, modality)

    def probe_head(self, protocol: str, info: FeatureInfo) -> nn.Module:
        """Build the head of a frozen protocol of the YAML's `probes`: `(Features, (H, W))` to `Outputs`.

        It gets what `probes` says that it reads: `maps` (all of `Features.maps`), `tokens` (the last of them
        alone), or `pooled`; the rest is empty. `loss` and `predict` get batches without images. `knn` needs
        no head: its neighbours vote on the classes that `targets[0]` names.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no probe_head()")

    @abstractmethod
    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return named, weighted loss terms, float32 scalars; their sum is minimised."""

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        """Say how a parameter of the network departs from the recipe.

        Returns:
            Any of `weight_decay` (0.0 = none), `lr_scale` (a factor on the rate), `schedule` ("constant").
            The default leaves biases and normalisation out of weight decay, as is usual for AdamW, and tables
            of positions, as in MAE's official code.
        """
        return {"weight_decay": 0.0} if parameter.ndim <= 1 or name.endswith("pos_embed") else {}

    @abstractmethod
    def predict(self, out: Outputs, batch: Batch) -> Stats:
        """Turn outputs into plain arrays with one row per sample; the batch holds no labels."""

    def oracle_prediction(self, truth: Stats) -> Stats:
        """Return what `predict` would give for a flawless network; the contract suite scores it.

        Args:
            truth: the `targets` of the samples as stored, one row per sample.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no oracle_prediction()")

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Return the best prediction that looks at no image, e.g. the mean pose or background alone.

        Args:
            seen: `targets` of training samples as stored, one row per sample.
            n: test samples; the prediction has as many (equal) rows.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no floor_prediction()")

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """Return what a flawless network would give through the task's own output grid and decoding.

        Args:
            truth: `targets` and `extras` of the samples as stored, one row per sample.
            info: of the encoder, whose strides say how fine the output grid is.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no ceiling_prediction()")

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, NDArray[np.uint8]]:
        """Draw predictions beside the truth, for people to look at: `bench show KEY --images`.

        Args:
            predicted: what `predict` gave for these samples, one row per sample.
            truth: their `targets` and `extras` as stored.
            images: their `inputs` as stored, e.g. `rgb` (n, H, W, 3) uint8.

        Returns:
            Rows of a sheet by title, (n, H, W, 3) each; a column per sample.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no draw()")

    @abstractmethod
    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        """Return statistics with one row per sample, (n, ...) each, of fixed shapes; called chunk by chunk.

        Args:
            predicted: what `predict` gave for these samples.
            truth: their `targets` and `extras` as stored (numpy, one row per sample).
        """

    @abstractmethod
    def aggregate(self, rows: Stats, weights: NDArray[np.float64]) -> Mapping[str, NDArray[np.float64]]:
        """Turn the rows of all samples into metrics.

        Args:
            rows: of `score_samples`, (N, ...) each.
            weights: how often each sample counts, (B, N); a bootstrap asks for many weightings at once.
                Where metrics follow from sums of rows: `bench.metrics.weighted_sums(rows, weights)`.

        Returns:
            By name of `metrics`, (B,) each.
        """


def seeded(*words: int | str) -> torch.Generator:
    """Return a CPU generator that depends on `words` alone (streams: subset, head, order, augment, step)."""
    entropy = [w if isinstance(w, int) else int.from_bytes(w.encode(), "little") for w in words]
    state = np.random.SeedSequence(entropy).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 ^ int(state[1]))
