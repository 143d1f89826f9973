"""LiftedCL: contrast of images and of pixels, and 3D skeletons that an adversary takes for real.

Implemented after the released code of Lifting Contrastive Learning (ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, Context, DataInfo, Encoder, Features, Illustration, StepOutput
from bench.encoders.pretrained import Source, load_image_encoders
from bench.errors import ConfigError
from bench.heads.lifting import Adversary, LiftingHead
from bench.heads.projection import channels_of_one_map, check_stride, map_projection, one_map, pooled_last_map
from bench.losses.adversarial import fooling, telling_apart
from bench.losses.equivariant import aligned_pixels, rounded_cuts
from bench.losses.kcs import bone_matrix, bone_shares
from bench.losses.momentum import MomentumCopy
from bench.losses.numerics import l2_normalize, masked_mean
from bench.losses.queue import KeyQueue, queue_contrast
from bench.losses.views import read_view, shared_points
from bench.settings import Count, NotNegative, OffWhen, Positive, Whole
from methods.moco_v2 import MoCo, MoCoConfig

NO_LIFTING = OffWhen(use_adv=False)
SHOWN = 96  # pixels, least side of an image in an illustration


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedCLConfig(MoCoConfig):
    variant: Literal["paper", "official"] = "paper"  # official: quirks of the released code, see the methods
    queue_pixels: Count = 65536  # K of the pixels' queue, one vector per image, too
    # 0 = cells of the last map; else of all maps, brought to a grid of cells of so many pixels
    dense_stride: Whole = 0
    eq_side: Count = 16  # points per row and per column of what two views share
    # of these points, drawn anew per image
    eq_pixels: Annotated[Count, OffWhen(variant="official")] = 256
    use_adv: bool = True  # false: the two contrasts alone
    # of real skeletons: motions of the embedded people; joint angles drawn one by one; prior_file
    prior: Annotated[Literal["motions", "angles", "file"], NO_LIFTING] = "motions"
    prior_file: Annotated[str, NO_LIFTING, OffWhen(prior=("motions", "angles"))] = ""  # .npy, (n, 17, 3)
    prior_size: Annotated[Count, NO_LIFTING, OffWhen(prior="file")] = 5000  # skeletons drawn
    # centre and scale lifted skeletons like real ones; otherwise the head has to learn it
    normalise_fake: Annotated[bool, NO_LIFTING] = False
    weight_invariant: NotNegative = 0.5
    weight_equivariant: NotNegative = 0.5
    weight_adversarial: Annotated[NotNegative, NO_LIFTING] = 0.5
    adversary_lr_scale: Annotated[Positive, NO_LIFTING] = 1.0  # of the adversary's rate against the others'
    init: Literal["random", "imagenet"] = (
        "random"  # weights of the encoder at the start; imagenet in the paper
    )
    # local weights; empty takes the Hugging Face cache
    file: Annotated[str, OffWhen(init="random")] = ""

    def check(  # type: ignore[override]  # it asks the plan for more
        self,
        *,
        where: str,
        samples: int,
        batch: int,
        groups: int,
        views: int,
        size: tuple[int, int],
        augment: Mapping[str, Any],
    ) -> None:
        """Check views, queues, points and the prior's file."""
        MoCoConfig.check(self, where=where, samples=samples, batch=batch, views=views, groups=groups)
        if self.variant == "official" and augment.get("rotation") and augment.get("rotation_p"):
            raise ConfigError(
                f"{where}.variant=official knows no rotated crops; set augment.rotation=0 or variant=paper"
            )
        if self.queue_pixels > samples:
            raise ConfigError(
                f"{where}.queue_pixels: {self.queue_pixels} keys are more than the {samples} images of the "
                f"pretraining data; set queue_pixels={max(1, samples // 2)}"
            )
        if self.variant == "paper" and self.eq_pixels > self.eq_side**2:
            raise ConfigError(
                f"{where}.eq_pixels: {self.eq_pixels} points are more than the {self.eq_side} x "
                f"{self.eq_side} that eq_side gives; set eq_pixels={self.eq_side**2} or a larger eq_side"
            )
        check_stride(self.dense_stride, size, where)
        if not self.use_adv or self.prior != "file":
            return
        if not self.prior_file:
            raise ConfigError(
                f"{where}.prior_file: is empty; name a .npy file of skeletons, or another prior"
            )
        from bench.synth.skeletons import read_skeletons

        read_skeletons(self.prior_file)


class LiftedCL(MoCo):
    """Add to MoCo the contrast of pixels at the same place, and a lifted skeleton per query.

    Head and adversary are trained by one backward pass: each sees the other without its weights, so that the
    gradients are those of two steps in turn. The adversary's rate is constant. Skeletons and images are
    unpaired: nothing ties a lifted skeleton to its image but what the adversary lets pass.
    """

    Config = LiftedCLConfig

    def __init__(self, cfg: LiftedCLConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        self.levels = cfg
        info = self.encoder.feature_info
        channels = channels_of_one_map(info, cfg.dense_stride)
        self.pixel_head = map_projection(channels, cfg.hidden, cfg.dim)
        self.key_pixel_head = MomentumCopy(self.pixel_head)
        self.queues["pixel"] = KeyQueue(cfg.queue_pixels, cfg.dim)
        if cfg.use_adv:
            bones = bone_matrix(cfg.variant)
            self.lifting = LiftingHead(info.channels[-1])
            self.adversary = Adversary(bones)
            self.register_buffer("prior", _prior(cfg))
            # of the whole tree in both variants: a measure, not part of the recipe
            self.register_buffer("tree", bone_matrix(), persistent=False)

    def initialise(self) -> Mapping[str, str]:
        if self.levels.init == "random":
            return {}
        facts = load_image_encoders([self.encoder], Source(file=self.levels.file))
        self.key_encoder.restart(self.encoder)
        return {"init": "imagenet", **facts}

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        if not name.startswith("adversary."):
            return {}
        return {"schedule": "constant", "lr_scale": self.levels.adversary_lr_scale}

    def before_step(self, ctx: Context) -> None:
        super().before_step(ctx)
        self.key_pixel_head.follow(self.pixel_head, self.levels.momentum)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        cfg = self.levels
        query, key = self.encode(batch, ctx)
        terms = {
            "invariant": cfg.weight_invariant * self.image_level(query, key),
            "equivariant": cfg.weight_equivariant * self.pixel_level(query, key, batch, ctx),
        }
        scalars: dict[str, Tensor] = {}
        if cfg.use_adv:
            lifted = self.lift(query)
            real = self.real(len(lifted), ctx)
            judged = self.adversary(torch.cat([lifted.detach(), real])).chunk(2)
            terms["adversarial"] = cfg.weight_adversarial * fooling(self.adversary.frozen(lifted))
            terms["adversary"] = telling_apart(*judged)
            scalars = self.measures(ctx.group.all_gather(lifted))
        return StepOutput(terms=terms, scalars=scalars)

    def pixel_level(self, query: Features, key: Features, batch: Batch, ctx: Context) -> Tensor:
        """Return the loss of pixels, and note the mean of each key's map for the queue.

        Images whose views share nothing do not count; in the official code they add a constant.
        """
        cfg, size = self.levels, (batch["rgb"].shape[2], batch["rgb"].shape[3])
        crops = (batch["crop"], batch["crop2"])
        own = self.pixel_head(one_map(query, size, cfg.dense_stride))
        other = self.key_pixel_head(one_map(key, size, cfg.dense_stride))
        if cfg.variant == "official":
            first, second = rounded_cuts((own, other), crops, size, cfg.eq_side)
            valid = torch.ones(first.shape[:2], dtype=torch.bool, device=first.device)
        else:
            pixels = aligned_pixels((own, other), crops, size, cfg.eq_side, cfg.eq_pixels, ctx.draws)
            first, second, valid = pixels
        self._unwritten.setdefault("pixel", []).append(l2_normalize(other.mean((2, 3))))
        anchors, positives = first.flatten(0, 1), second.detach().flatten(0, 1)
        values = queue_contrast(anchors, positives, self.queue("pixel").keys, cfg.temperature)
        return masked_mean(values, valid.flatten(), ctx.group)

    def lift(self, query: Features) -> Tensor:
        """Return a skeleton per image, (N, 17, 3) float32."""
        lifted: Tensor = self.lifting(pooled_last_map(query))
        if self.levels.normalise_fake:
            lifted = lifted - lifted[:, :1]
            lifted = l2_normalize(lifted.flatten(1)).view_as(lifted)
        return lifted

    def real(self, count: int, ctx: Context) -> Tensor:
        """Draw skeletons from the prior, (N, 17, 3)."""
        prior = self.get_buffer("prior")
        return prior[ctx.draws.randint(len(prior), count).to(prior.device)]

    @torch.no_grad()
    def measures(self, lifted: Tensor) -> dict[str, Tensor]:
        """Tell a collapse: how much skeletons (N, 17, 3) differ, and how wrong their bones are.

        `skeleton_std` is 0 where all are the same; `bone_error` is the mean relative error of the share that
        each bone has in the length of all, 0 for bones as in the prior.
        """
        tree = self.get_buffer("tree")
        usual = bone_shares(self.get_buffer("prior"), tree).mean(0)
        error = (bone_shares(lifted, tree) - usual).abs() / usual
        return {"skeleton_std": lifted.std(0, correction=0).mean(), "bone_error": error.mean()}

    def illustrate(self, batch: Batch, ctx: Context) -> Illustration:
        """Show what two views share, and lifted skeletons from two sides beside the prior's."""
        from bench.synth.skeletons import skeleton_images

        size = (batch["rgb"].shape[2], batch["rgb"].shape[3])
        times = -(-SHOWN // min(size))
        points, shared = shared_points(batch["crop"], batch["crop2"], size, min(size))
        images = {"view": batch["rgb"], "second view": batch["rgb2"]}
        for name, view, crop in (("view", "rgb", "crop"), ("second view", "rgb2", "crop2")):
            read = read_view(batch[view], points, batch[crop], size).mT.reshape(-1, 3, min(size), min(size))
            images[f"shared part of the {name}"] = F.interpolate(read, size) * shared[:, None, None, None]
        images = {name: F.interpolate(row, scale_factor=times).clamp(0, 1) for name, row in images.items()}
        if not self.levels.use_adv:
            return Illustration(images=images)
        lifted = self.lift(self.encoder(batch["rgb"]))
        large = (size[0] * times, size[1] * times)
        for name, poses in (("lifted", lifted), ("prior, unpaired", self.real(len(lifted), ctx))):
            numbers = poses.float().cpu().numpy()
            images[name] = torch.from_numpy(skeleton_images(numbers, "front", large))
            images[f"{name}, from the side"] = torch.from_numpy(skeleton_images(numbers, "side", large))
        return Illustration(images=images, scalars=self.measures(lifted))


def _prior(cfg: LiftedCLConfig) -> Tensor:
    """Return the bank of real skeletons, (n, 17, 3) float32; the same whatever the run's seed."""
    from bench.synth.skeletons import drawn_skeletons, read_skeletons

    if cfg.prior == "file":
        return torch.from_numpy(read_skeletons(cfg.prior_file))
    return torch.from_numpy(drawn_skeletons(cfg.prior, cfg.prior_size).copy())
