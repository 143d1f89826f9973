"""CroCo-Body: complete a hidden person from a second image of the same person (arXiv:2311.09104).

Two images show one person from two cameras, or at two moments. Most patches of the person are hidden in the
first one; a decoder predicts their pixels from the visible ones and from the second image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Encoder, Export, Features, Illustration, Method, StepOutput
from bench.bodymodels.joints import joint_set
from bench.encoders.croco import load_croco
from bench.encoders.vit import ViT, initialise_like_mae
from bench.errors import ConfigError, StepError
from bench.heads.heatmap import heatmap_head
from bench.heads.pair_decoder import PairDecoder, PairDecoderConfig
from bench.losses.heatmaps import confidences, gaussian_targets, heatmap_bce
from bench.losses.masking import draw_visible, human_patches, visible_patches
from bench.losses.reconstruction import (
    completed_patches,
    normalised_patches,
    patch_loss,
    patchify,
    unpatchify,
)
from bench.settings import Count, NotNegative, OffWhen, Positive

RARE = 0.01  # about the share of a heat map that a joint covers; logits start there


@dataclass(frozen=True, slots=True, kw_only=True)
class CroCoBodyConfig:
    masking: Literal["human", "uniform"] = "human"  # human: the ratio holds for the person's patches
    mask_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.75
    # visible patches per image are raised to a multiple of it, so that few different numbers occur
    length_multiple: Annotated[Count, OffWhen(masking="uniform")] = 8
    loss_on: Literal["all", "human"] = "all"  # which hidden patches count
    normalise_target: bool = True  # each patch to mean 0, variance 1
    decoder_width: Count = 512
    decoder_blocks: Count = 8
    decoder_heads: Count = 16
    decoder_positions: Literal["sincos", "rope100"] = "sincos"  # those of the encoder are its own matter
    keypoints: bool = False  # heat maps of the joints, too, from the encoded second image
    keypoints_weight: Annotated[NotNegative, OffWhen(keypoints=False)] = 1.0
    sigma: Annotated[Positive, OffWhen(keypoints=False)] = 2.0  # of their targets, cells of the heat map
    init: Literal["random", "file"] = "random"
    # weights of CroCo as released, or `state.safetensors` of a stage like this one
    file: Annotated[str, OffWhen(init="random")] = ""

    def __post_init__(self) -> None:
        """Check that there is a file where one is to be read.

        Raises:
            ConfigError: there is none.
        """
        if self.init == "file" and not self.file:
            raise ConfigError("CroCo-Body: init=file needs the weights, file=PATH; or set init=random")

    def check(
        self,
        *,
        size: tuple[int, int],
        encoder: Mapping[str, Any],
        augment: Mapping[str, Any],
        where: str,
        wanted: Sequence[str],
        joint_set: str,
    ) -> None:
        """Check that there are pairs and that they stay pairs, labels, and what `check_size` does.

        Raises:
            ConfigError: one picture may be mirrored without the other, a loss has nothing to go by, or sizes
                do not go together.
        """
        stage = where.removesuffix(".config")
        if not {"view", "pose"} & {*wanted}:
            raise ConfigError(f"{stage}.pairs: names no kind of pairs; set pairs=[view,pose] or one of them")
        if "human" in (self.masking, self.loss_on) and "mask" not in wanted:
            raise ConfigError(
                f"{where}: masking=human and loss_on=human need silhouettes; name mask in {stage}.fields, or "
                "set masking=uniform and loss_on=all"
            )
        if self.keypoints and ("keypoints" not in wanted or not joint_set):
            raise ConfigError(
                f"{where}.keypoints=true needs data with joints, and keypoints in {stage}.fields"
            )
        if augment["flip"]:
            raise ConfigError(
                f"{stage}.augment.flip=true: each picture of a pair is mirrored on "
                "its own, so that the second one is no view of the first; set flip=false"
            )
        self.check_size(size, encoder)

    def check_size(self, size: tuple[int, int], encoder: Mapping[str, Any]) -> None:
        """Check that some patches are hidden and some not, and that the decoder's heads share its width."""
        height, width = size
        patch = encoder["config"].get("patch", height)
        if height % patch or width % patch:
            raise ConfigError(
                f"CroCo-Body: image size {height} x {width} is no multiple of the patch {patch}"
            )
        patches = (height // patch) * (width // patch)
        visible = visible_patches(patches, self.mask_ratio)
        if not 0 < visible < patches:
            raise ConfigError(
                f"CroCo-Body: mask_ratio {self.mask_ratio} leaves {visible} of {patches} patches"
            )
        self.decoder(encoder["config"].get("width", 1), (height // patch, width // patch))

    def decoder(self, inputs: int, grid: tuple[int, int]) -> PairDecoderConfig:
        """Return the decoder's config for an encoder."""
        return PairDecoderConfig(
            inputs=inputs,
            grid=grid,
            width=self.decoder_width,
            blocks=self.decoder_blocks,
            heads=self.decoder_heads,
            positions=self.decoder_positions,
        )


class CroCoBody(Method):
    """Encode what is visible of one image and all of the other, decode, compare pixels of hidden patches."""

    Config = CroCoBodyConfig

    def __init__(self, cfg: CroCoBodyConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        encoder = encoders.get("rgb")
        if not isinstance(encoder, ViT) or len(encoders) > 1:
            raise ConfigError("CroCo-Body trains one colour encoder of kind tokens (bench.encoders.vit:ViT)")
        self.cfg = cfg
        self.patch = encoder.feature_info.strides[0]
        cfg.check_size(data.size, {"config": {"patch": self.patch}})
        self.grid = (data.size[0] // self.patch, data.size[1] // self.patch)
        self.decoder = PairDecoder(cfg.decoder(encoder.feature_info.pooled, self.grid))
        self.predict = nn.Linear(cfg.decoder_width, self.patch * self.patch * 3)
        initialise_like_mae(self.predict)
        if cfg.keypoints:
            if not data.joint_set:
                raise ConfigError("CroCo-Body: keypoints=true needs data with joints; these have none")
            self.keypoint_head = heatmap_head(
                encoder.feature_info, len(joint_set(data.joint_set)), kind="linear"
            )
            nn.init.constant_(self.keypoint_head.get_parameter("out.bias"), math.log(RARE / (1 - RARE)))

    @property
    def encoder(self) -> ViT:
        """The encoder, one for both images."""
        encoder = self.encoders["rgb"]
        assert isinstance(encoder, ViT)
        return encoder

    def export(self) -> Export:
        """Hand over encoder and decoder, without the layer that predicts pixels."""
        return Export(encoders=super().export().encoders, modules={"decoder": self.decoder})

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        return {"weight_decay": 0.0} if parameter.ndim <= 1 else {}

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        self._check(batch)
        visible, counted = self.masks(batch, ctx)
        reference = self.encoder(batch["rgb2"])
        predicted = self.complete(batch["rgb"], visible, reference)
        terms = {"pixels": patch_loss(predicted, self.targets(batch["rgb"]), counted, ctx.group)}
        if self.cfg.keypoints:
            terms["keypoints"] = self.cfg.keypoints_weight * self.keypoint_loss(reference, batch, ctx)
        return StepOutput(terms=terms, scalars={"visible_patches": visible.float().sum(1).mean()})

    def masks(self, batch: Batch, ctx: Context) -> tuple[Tensor, Tensor]:
        """Choose the visible patches of the first image, and which of the hidden ones count.

        Samples without a silhouette count as all person.

        Returns:
            (N, L) bool, equally many in each row; (N, L) bool.
        """
        cfg, rgb = self.cfg, batch["rgb"]
        every = torch.ones(len(rgb), math.prod(self.grid), dtype=torch.bool, device=rgb.device)
        human = every
        if "human" in (cfg.masking, cfg.loss_on):
            human = human_patches(batch["mask"], self.patch)
            if "valid.mask" in batch:
                human = human | ~batch["valid.mask"][:, None]
        drawn_from = human if cfg.masking == "human" else every
        visible = draw_visible(drawn_from, cfg.mask_ratio, ctx.draws, ctx.group, cfg.length_multiple)
        return visible, ~visible & human if cfg.loss_on == "human" else ~visible

    def complete(self, rgb: Tensor, visible: Tensor, reference: Features) -> Tensor:
        """Predict all patches of an image from some of it and from another image.

        Args:
            rgb: (N, 3, H, W) in [0, 1]; what is not visible is dropped before the first block.
            visible: (N, L) bool, equally many in each row.
            reference: the encoded other image.

        Returns:
            (N, L, patch * patch * 3), as `targets`.
        """
        count = int(visible[0].sum())
        keep = visible.int().argsort(dim=1, descending=True, stable=True)[:, :count]
        encoded = self.encoder.encode_visible(rgb, keep)[:, -count:]  # the class token stays outside
        tokens = reference.tokens
        assert tokens is not None
        out: Tensor = self.predict(self.decoder(encoded, tokens, keep))
        return out

    def targets(self, rgb: Tensor) -> Tensor:
        """Return what is to be predicted of images (N, 3, H, W) in [0, 1]: (N, L, patch * patch * 3)."""
        patches = patchify(self.encoder.preprocess(rgb).float(), self.patch)
        return normalised_patches(patches) if self.cfg.normalise_target else patches

    def keypoint_loss(self, reference: Features, batch: Batch, ctx: Context) -> Tensor:
        """Compare heat maps of the second image's joints, which is seen whole, with the labels; nats."""
        joints, size = batch["keypoints2"], (batch["rgb2"].shape[-2], batch["rgb2"].shape[-1])
        maps = self.keypoint_head(reference, size)["heatmaps"]
        targets = gaussian_targets(joints[..., :2], (maps.shape[2], maps.shape[3]), size, self.cfg.sigma)
        return heatmap_bce(maps, targets, confidences(joints, size), ctx.group)

    def illustrate(self, batch: Batch, ctx: Context) -> Illustration:
        """Complete images with their second image, with a black one, and with one of another pair.

        Predictions take colour and contrast from the true patches. The scalars are the losses of the three.
        """
        rgb, rgb2, encoder = batch["rgb"], batch["rgb2"], self.encoder
        visible, counted = self.masks(batch, ctx)
        patches, targets = patchify(encoder.preprocess(rgb).float(), self.patch), self.targets(rgb)
        references = {"true": rgb2, "black": torch.zeros_like(rgb2), "wrong": rgb2.roll(1, 0)}
        drawn = {"target": patches, "masked": patches * visible[:, :, None]}
        scalars = {}
        for name, other in references.items():
            predicted = self.complete(rgb, visible, encoder(other))
            scalars[f"pixels_{name}_reference"] = patch_loss(predicted, targets, counted, ctx.group)
            drawn[f"completed with the {name} reference"] = completed_patches(
                predicted, patches, ~visible, normalised=self.cfg.normalise_target
            )
        images = {n: encoder.colours(unpatchify(p, self.patch, self.grid)) for n, p in drawn.items()}
        first = {name: images.pop(name) for name in ("target", "masked")}
        return Illustration(images={**first, "reference": rgb2, **images}, scalars=scalars)

    def initialise(self) -> Mapping[str, str]:
        if self.cfg.init == "random":
            return {}
        return {"init": "file", **load_croco(self, self.encoder, Path(self.cfg.file))}

    def _check(self, batch: Batch) -> None:
        """Make sure that a batch holds what the settings need.

        Raises:
            StepError: it does not.
        """
        size = (self.grid[0] * self.patch, self.grid[1] * self.patch)
        if batch["rgb"].shape[-2:] != size:
            raise StepError(f"CroCo-Body: images are {tuple(batch['rgb'].shape[-2:])}, expected {size}")
        if "human" in (self.cfg.masking, self.cfg.loss_on) and "mask" not in batch:
            raise StepError(
                "CroCo-Body: masking=human and loss_on=human need silhouettes; name `mask` under `fields` of "
                "the stage, or set masking=uniform and loss_on=all"
            )
        if self.cfg.keypoints and "keypoints2" not in batch:
            raise StepError(
                "CroCo-Body: keypoints=true needs joints; name `keypoints` under `fields` of the stage"
            )
