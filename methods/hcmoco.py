"""HCMoCo: contrast of samples, of pixels and of joints (arXiv:2203.13815).

The first stage is that of CMC; this one continues with its encoders, mappers and memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Export, Features, StepOutput
from bench.errors import ConfigError
from bench.heads.mapper import DenseMapper, DenseMapperConfig
from bench.losses.alignment import DenseAlignment, DenseAlignmentConfig
from bench.losses.cells import draw_cells, joint_cells, mask_on_grid, read_cells, read_points
from bench.losses.dense import dense_contrast, hard_targets, soft_targets
from bench.losses.joints import joint_contrast, structure_contrast
from bench.losses.memory import Negatives
from bench.losses.numerics import l2_normalize, masked_mean
from bench.modalities import there
from bench.settings import Count, NotNegative, OffWhen, Positive, Share
from methods.cmc import CMC, CMCConfig

DENSE = ("rgb", "depth")
SPARSE_OFF = OffWhen(joint=False, structure=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HCMoCoConfig:
    variant: Literal["paper", "official"] = "paper"  # official: quirks of the released code, see the methods
    dim: Count = 128  # D, width of all embeddings
    temperature: Positive = 0.07
    negatives: Annotated[Negatives, OffWhen(sample=False)] = "shared"
    n_negatives: Annotated[Count, OffWhen(sample=False), OffWhen(negatives="all")] = 16384
    momentum: Annotated[Share, OffWhen(sample=False)] = 0.5
    sample: bool = True  # level g
    dense: Literal["off", "hard", "soft"] = "soft"  # level d
    # cells; towards 0 the soft loss becomes the hard one
    soft_sigma: Annotated[Positive, OffWhen(dense=("off", "hard"))] = 1.0
    dense_points: Annotated[Count, OffWhen(dense="off")] = 400  # S, cells drawn per sample
    joint: bool = True  # level s, joints against the key-point graph of the same sample
    structure: bool = True  # level s, joints across samples
    joint_reading: Annotated[Literal["nearest", "bilinear"], SPARSE_OFF] = "nearest"
    # false: own mappers for joints, also for key points, as in the paper
    share_dense_sparse_mapper: Annotated[bool, SPARSE_OFF] = True
    # `structure` also contrasts the nodes of the key-point graph
    scl_use_keypoint_features: Annotated[bool, OffWhen(structure=False)] = False
    # leave the anchor out of the denominator of `structure`
    scl_exclude_self: Annotated[bool, OffWhen(structure=False)] = False
    weight_sample: Annotated[NotNegative, OffWhen(sample=False)] = 1.0
    weight_dense: Annotated[NotNegative, OffWhen(dense="off")] = 1.0
    weight_sparse: Annotated[NotNegative, SPARSE_OFF] = 1.0

    def check(
        self,
        *,
        size: tuple[int, int],
        encoder: Mapping[str, Any],
        encoders: Mapping[str, Mapping[str, Any]],
        fields: Sequence[str] = (),
    ) -> None:
        """Check that the data have what each level contrasts, and that nodes are as wide as embeddings.

        The mapper of points is linear, as those of images; batch norm and ReLU of the official code are not
        reproduced.
        """
        if self.variant == "official" and encoders.get("depth", {}).get("kind") == "points":
            raise ConfigError("HCMoCo: variant=official has no encoder of points; set variant=paper")
        lost = [m for m in encoders if m not in there(encoders, fields)]
        if "kp2d" in lost and (self.joint or self.structure):
            raise ConfigError(
                "HCMoCo: the joint levels need kp2d, which the data lack; set joint and structure false, or "
                "choose another mix"
            )
        if {*lost} & {*DENSE} and self.dense != "off":
            raise ConfigError(
                f"HCMoCo: the dense level needs rgb and depth, and the data lack {', '.join(lost)}; set "
                "dense=off, or choose another mix"
            )
        width = encoders.get("kp2d", {"config": {}})["config"].get("width", self.dim)
        if (self.joint or self.structure) and self.share_dense_sparse_mapper and width != self.dim:
            raise ConfigError(
                f"HCMoCo: the graph encoder's width {width} must equal dim {self.dim}, "
                "or set share_dense_sparse_mapper=false"
            )


class HCMoCo(CMC):
    """Add the dense and the sparse level to the contrast of samples."""

    Config = HCMoCoConfig

    def __init__(self, cfg: HCMoCoConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        contrast = CMCConfig(
            variant=cfg.variant,
            dim=cfg.dim,
            temperature=cfg.temperature,
            negatives=cfg.negatives,
            n_negatives=cfg.n_negatives,
            momentum=cfg.momentum,
        )
        super().__init__(contrast, encoders, data)
        self.levels = cfg
        self.dense_modalities = tuple(m for m in self.modalities if m in DENSE)
        self._check()
        self.global_mappers.requires_grad_(cfg.sample)
        sparse = cfg.joint or cfg.structure
        widths = {m: sum(self.encoder(m).feature_info.channels) for m in self.modalities}
        self.dense_mappers = nn.ModuleDict()
        self.sparse_mappers = nn.ModuleDict()
        if cfg.dense != "off" or (sparse and cfg.share_dense_sparse_mapper):
            self.dense_mappers.update({m: nn.Linear(widths[m], cfg.dim) for m in self.dense_modalities})
        if sparse and not cfg.share_dense_sparse_mapper:
            self.sparse_mappers.update({m: nn.Linear(widths[m], cfg.dim) for m in self.modalities})

    def fresh_parameters(self) -> Iterable[str]:
        return ("dense_mappers.", "sparse_mappers.")

    def export(self) -> Export:
        """Hand over the encoders, and what aligns colour and depth pixel by pixel."""
        cfg = self.levels
        modules: dict[str, nn.Module] = {}
        if cfg.dense != "off":
            for modality in self.dense_modalities:
                linear, channels = self.dense_mappers[modality], self.encoder(modality).feature_info.channels
                mapper = DenseMapper(DenseMapperConfig(channels=channels, dim=cfg.dim))
                mapper.linear.load_state_dict(linear.state_dict())
                modules[f"dense_mapper_{modality}"] = mapper
            modules["alignment"] = DenseAlignment(
                DenseAlignmentConfig(
                    temperature=cfg.temperature, dense=cfg.dense, sigma=cfg.soft_sigma, cells=cfg.dense_points
                )
            )
        return Export(encoders=super().export().encoders, modules=modules)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        cfg = self.levels
        features, valid = self.encode(batch, ctx)
        terms: dict[str, Tensor] = {}
        lower_bounds: dict[str, Tensor] = {}
        scalars: dict[str, Tensor] = {}
        if cfg.sample:
            loss, scalars = self.sample_level(features, valid, batch["sample_id"], ctx)
            terms["sample"] = cfg.weight_sample * loss
        if cfg.dense != "off":
            loss, lower_bound = self.dense_level(features, valid, batch["depth"], ctx)
            terms["dense"], lower_bounds["dense"] = cfg.weight_dense * loss, cfg.weight_dense * lower_bound
        if cfg.joint or cfg.structure:
            readings = self.read_joints(features, batch)
            nodes = self.embed_nodes(features["kp2d"])
            seen = self.seen_joints(valid, batch["keypoints_visible"])
        if cfg.joint:
            for m in self.dense_modalities:
                values = joint_contrast(readings[m], nodes, cfg.temperature)
                terms[f"joint_{m}"] = cfg.weight_sparse * masked_mean(values, seen[m], ctx.group)
        if cfg.structure:
            loss, lower_bound = self.structure_level(readings, nodes, seen, ctx)
            terms["structure"], lower_bounds["structure"] = (
                cfg.weight_sparse * loss,
                cfg.weight_sparse * lower_bound,
            )
        return StepOutput(terms=terms, lower_bounds=lower_bounds, scalars=scalars)

    def dense_level(
        self, features: Mapping[str, Features], valid: Mapping[str, Tensor], depth: Tensor, ctx: Context
    ) -> tuple[Tensor, Tensor]:
        """Contrast pixels of colour and depth of the same sample, at cells where depth was measured.

        The official code draws with replacement and takes repeated cells for different ones in the hard loss.

        Args:
            features: with `rgb` and `depth`.
            valid: per modality, (N,) bool.
            depth: (N, 1, H, W) metres.
            ctx: of the step, which draws the cells.

        Returns:
            Loss and its lower bound, scalars.
        """
        cfg, official = self.levels, self.levels.variant == "official"
        mask = mask_on_grid(depth[:, 0] > 0, features["rgb"].maps[0].shape[2:])
        cells = draw_cells(mask, cfg.dense_points, ctx.draws, replace=official)
        pixels = {m: l2_normalize(self.dense_mappers[m](read_cells(features[m].maps, cells))) for m in DENSE}
        if cfg.dense == "soft":
            targets = soft_targets(cells, cfg.soft_sigma)
        elif official:
            targets = torch.eye(cfg.dense_points, device=cells.device).expand(len(cells), -1, -1)
        else:
            targets = hard_targets(cells)
        values, lower_bounds = dense_contrast(pixels["rgb"], pixels["depth"], targets, cfg.temperature)
        usable = valid["rgb"] & valid["depth"] & mask.flatten(1).any(1)
        return masked_mean(values, usable, ctx.group), masked_mean(lower_bounds, usable, ctx.group)

    def read_joints(self, features: Mapping[str, Features], batch: Batch) -> dict[str, Tensor]:
        """Return the dense embeddings at the joints, (N, J, D) of unit length, per dense modality.

        The official code knows no visibility: hidden joints have position 0 and are read in the first cell.
        """
        pixels = batch["keypoints_pixels"]
        if self.levels.variant == "official":
            pixels = torch.where(batch["keypoints_visible"][..., None], pixels, 0.0)
        mappers = self.dense_mappers if self.levels.share_dense_sparse_mapper else self.sparse_mappers
        readings = {}
        for m in self.dense_modalities:
            maps, stride = features[m].maps, self.encoder(m).feature_info.strides[0]
            if self.levels.joint_reading == "nearest":
                columns = read_cells(maps, joint_cells(pixels, stride, maps[0].shape[2:]))
            else:
                columns = read_points(maps, pixels, stride)
            readings[m] = l2_normalize(mappers[m](columns))
        return readings

    def embed_nodes(self, keypoints: Features) -> Tensor:
        """Return the embeddings of the nodes of the key-point graph, (N, J, D) of unit length."""
        tokens = keypoints.tokens
        assert tokens is not None
        return l2_normalize(
            tokens if self.levels.share_dense_sparse_mapper else self.sparse_mappers["kp2d"](tokens)
        )

    def seen_joints(self, valid: Mapping[str, Tensor], visible: Tensor) -> dict[str, Tensor]:
        """Return per modality which joints (N, J) are visible in samples with it and with key points."""
        if self.levels.variant == "official":
            visible = torch.ones_like(visible)
        return {m: v[:, None] & valid["kp2d"][:, None] & visible for m, v in valid.items()}

    def structure_level(
        self, readings: Mapping[str, Tensor], nodes: Tensor, seen: Mapping[str, Tensor], ctx: Context
    ) -> tuple[Tensor, Tensor]:
        """Contrast the joints of all samples of the batch (of all processes), colour and depth together.

        The official code keeps rows of absent modalities as negatives and divides by all rows.

        Returns:
            Loss and its lower bound, scalars.
        """
        cfg = self.levels
        parts = {**readings, "kp2d": nodes} if cfg.scl_use_keypoint_features else readings
        rows = torch.cat([part.flatten(0, 1) for part in parts.values()])  # (R, D)
        valid = torch.cat([seen[m].flatten() for m in parts])
        labels = torch.arange(nodes.shape[1], device=rows.device).repeat(len(rows) // nodes.shape[1])
        own = slice(ctx.group.rank * len(rows), (ctx.group.rank + 1) * len(rows))
        rows, labels, valid = (
            ctx.group.all_gather_with_grad(rows),
            ctx.group.all_gather(labels),
            ctx.group.all_gather(valid),
        )
        counted = torch.ones_like(valid) if cfg.variant == "official" else valid
        (values, lower_bounds), usable = structure_contrast(
            rows, labels, valid, counted, cfg.temperature, exclude_self=cfg.scl_exclude_self, anchors=own
        )
        divided = torch.ones_like(usable) if cfg.variant == "official" else usable
        values, lower_bounds = (torch.where(usable, part, 0.0) for part in (values, lower_bounds))
        return masked_mean(values, divided, ctx.group), masked_mean(lower_bounds, divided, ctx.group)

    def _check(self) -> None:
        cfg = self.levels
        if cfg.dense != "off" and self.dense_modalities != DENSE:
            raise ConfigError(
                "HCMoCo: the dense level needs encoders of rgb and depth; set dense=off without them"
            )
        if cfg.dense != "off":
            strides = {m: self.encoder(m).feature_info.strides[0] for m in DENSE}
            if strides["rgb"] != strides["depth"]:
                raise ConfigError(
                    "HCMoCo: the dense level needs finest maps of equal stride; that of colour is "
                    f"{strides['rgb']}, of depth {strides['depth']}; choose other encoders or set dense=off"
                )
        if cfg.joint or cfg.structure:
            if "kp2d" not in self.modalities or not self.dense_modalities:
                raise ConfigError(
                    "HCMoCo: the joint levels need kp2d and rgb or depth; set joint and structure false"
                )
            width = self.encoder("kp2d").feature_info.channels[0]
            built = {m: {"kind": self.encoder(m).feature_info.kind, "config": {}} for m in self.modalities}
            built["kp2d"]["config"] = {"width": width}
            cfg.check(size=(0, 0), encoder={}, encoders=built)
