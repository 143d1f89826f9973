"""MMV: colour meets depth in a fine space, and joints in a coarse one behind it (arXiv:2006.16228, Sec. 3.1).

Colour takes the place of video, depth that of audio, joints that of text; nothing but the objective differs
from CMC. The paper's multi-instance loss of narrations has one positive here (design choice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Features, Method, ProcessGroup, StepOutput
from bench.encoders.partial import embed_present, encode_present
from bench.encoders.pretrained import Source, load_image_encoders
from bench.errors import ConfigError
from bench.losses.info_nce import info_nce
from bench.losses.numerics import l2_normalize
from bench.modalities import there
from bench.settings import Count, OffWhen, Positive

MODALITIES = ("rgb", "depth", "kp2d")


@dataclass(frozen=True, slots=True, kw_only=True)
class MMVConfig:
    fine_dim: Count = 512  # width of the space of colour and depth, and inside the head of colour
    coarse_dim: Count = 256  # width of the space of colour and joints
    temperature: Positive = 0.07
    weight_fine: Positive = 1.0
    weight_coarse: Positive = 1.0
    use_depth_kp: bool = False  # also contrast depth with joints, by way of the head from fine to coarse
    init: Literal["random", "imagenet"] = "random"  # weights of the image encoders at the start
    # local weights; empty takes the Hugging Face cache
    file: Annotated[str, OffWhen(init="random")] = ""

    def check(self, *, where: str, encoders: Mapping[str, Any], fields: Sequence[str]) -> None:
        """Check that the data have joints, without which nothing is left of the coarse space."""
        if "kp2d" not in there(encoders, fields):
            raise ConfigError(f"{where}: MMV needs kp2d, which the data lack; choose another mix")


class MMV(Method):
    """Contrast colour and depth in the fine space, colour and joints in the coarse one.

    Negatives are the other samples of the batch (of all processes) that have both modalities.
    """

    Config: ClassVar[type] = MMVConfig

    def __init__(self, cfg: MMVConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        """Build the heads; last layers before a batch norm have no bias, as in the released graph.

        Raises:
            ConfigError: other encoders than those of colour, depth and joints.
        """
        super().__init__(cfg, encoders, data)
        if set(encoders) != set(MODALITIES):
            raise ConfigError(f"MMV needs encoders of {', '.join(MODALITIES)}, got {', '.join(encoders)}")
        self.cfg = cfg
        widths = {m: e.feature_info.pooled for m, e in encoders.items()}
        fine, coarse = cfg.fine_dim, cfg.coarse_dim
        self.rgb_to_fine = nn.Sequential(
            nn.Linear(widths["rgb"], fine, bias=False),
            nn.BatchNorm1d(fine),
            nn.ReLU(),
            nn.Linear(fine, fine, bias=False),
            nn.BatchNorm1d(fine),
        )
        self.depth_to_fine = nn.Linear(widths["depth"], fine)
        self.fine_to_coarse = nn.Sequential(
            nn.ReLU(), nn.Linear(fine, coarse, bias=False), nn.BatchNorm1d(coarse)
        )
        self.kp2d_to_coarse = nn.Linear(widths["kp2d"], coarse)

    def initialise(self) -> Mapping[str, str]:
        if self.cfg.init == "random":
            return {}
        facts = load_image_encoders(self.encoders.values(), Source(file=self.cfg.file))
        return {"init": "imagenet", **facts}

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        cfg = self.cfg
        valid = {m: batch[f"valid.{m}"] for m in MODALITIES}
        pooled = {m: self.encode(m, batch, ctx).pooled for m in MODALITIES}
        rgb = embed_present(self.rgb_to_fine, pooled["rgb"], valid["rgb"], ctx.group)
        depth = self.depth_to_fine(pooled["depth"])
        coarse = embed_present(self.fine_to_coarse, rgb, valid["rgb"], ctx.group)
        kp2d = self.kp2d_to_coarse(pooled["kp2d"])
        with_joints = {m: valid[m] & valid["kp2d"] for m in ("rgb", "depth")}
        terms = {
            "fine": cfg.weight_fine * self.contrast(rgb, depth, valid["rgb"] & valid["depth"], ctx.group),
            "coarse": cfg.weight_coarse * self.contrast(coarse, kp2d, with_joints["rgb"], ctx.group),
        }
        if cfg.use_depth_kp:
            coarse = embed_present(self.fine_to_coarse, depth, valid["depth"], ctx.group)
            loss = self.contrast(coarse, kp2d, with_joints["depth"], ctx.group)
            terms["coarse_depth"] = cfg.weight_coarse * loss
        return StepOutput(terms=terms)

    def encode(self, modality: str, batch: Batch, ctx: Context) -> Features:
        """Encode a modality, where samples have it."""
        encoder = self.encoders[modality]
        assert isinstance(encoder, Encoder)
        present = batch[f"valid.{modality}"]
        return encode_present(encoder, batch[modality], present, ctx.group, *encoder.besides(batch))

    def contrast(self, a: Tensor, b: Tensor, valid: Tensor, group: ProcessGroup) -> Tensor:
        """Return the sum of both directions of InfoNCE, nats.

        Args:
            a: (N, D).
            b: as `a`, of the other modality.
            valid: (N,) bool, samples that have both.
            group: whose rows are the batch.
        """
        return 2 * info_nce(l2_normalize(a), l2_normalize(b), self.cfg.temperature, valid, group)
