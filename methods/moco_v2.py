"""MoCo v2: match two views of an image, against a queue of the keys of others (arXiv:2003.04297)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Features, Method, StepOutput
from bench.errors import ConfigError
from bench.heads.projection import pooled_last_map, vector_projection
from bench.losses.momentum import MomentumCopy
from bench.losses.numerics import l2_normalize
from bench.losses.queue import KeyQueue, queue_contrast
from bench.settings import Count, Positive, Share
from bench.train.groups import encode_in_groups, groups_in_order, shuffled_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class MoCoConfig:
    dim: Count = 128  # D, width of the embedding
    hidden: Count = 2048  # width of the projection between its two layers
    temperature: Positive = 0.2
    queue: Count = 65536  # K, keys of earlier batches that serve as negatives
    momentum: Share = 0.999  # share of the old weights in an update of the key encoder
    bn_groups: Count = 8  # parts of a batch with a batch norm of their own, keys shuffled; the paper's GPUs

    def check(self, *, where: str, samples: int, batch: int, views: int, groups: int = 1) -> None:
        """Check that there are two views, enough images for the queue, and groups of two images or more."""
        if views != 2:
            raise ConfigError(
                f"{where.removesuffix('.config')}.views: {views} view, two are needed; set views=2"
            )
        if self.queue > samples:
            raise ConfigError(
                f"{where}.queue: {self.queue} keys are more than the {samples} images of the pretraining "
                f"data, so that images would be their own negatives; set queue={max(1, samples // 2)}"
            )
        batch //= groups
        if batch % self.bn_groups or batch < 2 * self.bn_groups:
            raise ConfigError(
                f"{where}.bn_groups: a batch of {batch} cannot be cut into {self.bn_groups} equal groups of "
                f"two images or more; change bn_groups{', train.batch_groups' * (groups > 1)} or "
                "preset.pretrain.batch"
            )


class MoCo(Method):
    """Contrast queries of one view with keys of the other, which a momentum encoder computes.

    The embedding is made of the mean of the encoder's last map. Queries and keys are normalised in groups,
    over which the keys' images are shuffled. Keys enter the queue after the step.
    """

    Config: ClassVar[type] = MoCoConfig

    def __init__(self, cfg: MoCoConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        if set(encoders) != {"rgb"}:
            raise ConfigError(f"contrast of two views trains one colour encoder, got {', '.join(encoders)}")
        self.cfg = cfg
        self.head = vector_projection(self.encoder.feature_info.channels[-1], cfg.hidden, cfg.dim)
        self.key_encoder, self.key_head = MomentumCopy(self.encoder), MomentumCopy(self.head)
        self.queues = nn.ModuleDict({"image": KeyQueue(cfg.queue, cfg.dim)})
        self._unwritten: dict[str, list[Tensor]] = {}  # empty between steps

    @property
    def encoder(self) -> Encoder:
        """The encoder of queries, which is exported."""
        encoder = self.encoders["rgb"]
        assert isinstance(encoder, Encoder)
        return encoder

    def before_step(self, ctx: Context) -> None:
        self.key_encoder.follow(self.encoder, self.cfg.momentum)
        self.key_head.follow(self.head, self.cfg.momentum)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        query, key = self.encode(batch, ctx)
        return StepOutput(terms={"image": self.image_level(query, key)})

    def after_step(self, ctx: Context) -> None:
        for name, rows in self._unwritten.items():
            self.queue(name).push(rows, ctx.world)
        self._unwritten.clear()

    def encode(self, batch: Batch, ctx: Context) -> tuple[Features, Features]:
        """Encode the first view as queries and the second as keys, the latter without gradient."""
        rows, groups = len(batch["rgb"]), self.cfg.bn_groups
        query = encode_in_groups(self.encoder, batch["rgb"], groups_in_order(rows, groups, ctx))
        key = encode_in_groups(self.key_encoder, batch["rgb2"], shuffled_groups(rows, groups, ctx))
        return query, key

    def image_level(self, query: Features, key: Features) -> Tensor:
        """Return the loss of whole images, and note their keys for the queue."""
        own = l2_normalize(self.head(pooled_last_map(query)))
        positive = l2_normalize(self.key_head(pooled_last_map(key)))
        return self.contrast("image", own, positive, positive)

    def contrast(self, name: str, anchors: Tensor, positives: Tensor, keys: Tensor) -> Tensor:
        """Contrast anchors with their positives and a queue.

        Args:
            name: of the queue.
            anchors: (A, D), unit length.
            positives: (A, D), unit length, without gradient.
            keys: (N, D), unit length, one per image; they enter the queue after the step.

        Returns:
            Scalar, nats, mean over the anchors.
        """
        self._unwritten.setdefault(name, []).append(keys.detach())
        return queue_contrast(anchors, positives.detach(), self.queue(name).keys, self.cfg.temperature).mean()

    def queue(self, name: str) -> KeyQueue:
        """Return a queue by name."""
        queue = self.queues[name]
        assert isinstance(queue, KeyQueue)
        return queue
