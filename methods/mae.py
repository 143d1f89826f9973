"""MAE: hide most patches of an image and predict their pixels (arXiv:2111.06377)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import torch
from msgspec import Meta
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from bench.api import Batch, Context, DataInfo, Draws, Encoder, Illustration, Method, StepOutput
from bench.encoders.positions import sincos_positions
from bench.encoders.pretrained import Source, load_image_encoders
from bench.encoders.vit import ViT, initialise_like_mae
from bench.errors import ConfigError, StepError
from bench.losses.reconstruction import (
    completed_patches,
    normalised_patches,
    patch_loss,
    patchify,
    unpatchify,
)
from bench.settings import GIVEN, Count, OffWhen

LayerNorm = functools.partial(nn.LayerNorm, eps=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class MAEConfig:
    mask_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.75
    decoder_width: Count = 512
    decoder_blocks: Count = 8
    decoder_heads: Count = 16
    normalise_target: bool = True  # each patch to mean 0, variance 1
    init: Literal["random", "published"] = "random"  # published: the encoder starts from `tag` or `file`
    tag: Annotated[str, OffWhen(init="random"), OffWhen(file=GIVEN)] = "vit_base_patch16_224.mae"
    file: Annotated[str, OffWhen(init="random")] = ""  # local weights; empty takes the Hugging Face cache

    def check(
        self,
        *,
        size: tuple[int, int],
        encoder: Mapping[str, Any],
        encoders: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Check that some patches are hidden and some not, and that the decoder's heads share its width."""
        height, width = size
        patch = encoder["config"].get("patch", height)
        if height % patch or width % patch:
            raise ConfigError(f"MAE: image size {height} x {width} is no multiple of the patch {patch}")
        patches = (height // patch) * (width // patch)
        visible = int(patches * (1 - self.mask_ratio))
        if not 0 < visible < patches:
            raise ConfigError(f"MAE: mask_ratio {self.mask_ratio} leaves {visible} of {patches} patches")
        if self.decoder_width % self.decoder_heads or self.decoder_width % 4:
            raise ConfigError(
                f"MAE: decoder_width {self.decoder_width} must be a multiple of 4 and of "
                f"decoder_heads {self.decoder_heads}"
            )


class MAE(Method):
    """Encode the visible patches, decode all of them, compare pixels of the hidden ones."""

    Config = MAEConfig

    def __init__(self, cfg: MAEConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        encoder = encoders.get("rgb")
        if not isinstance(encoder, ViT) or len(encoders) > 1:
            raise ConfigError("MAE trains one colour encoder of kind tokens (bench.encoders.vit:ViT)")
        self.cfg = cfg
        self.patch = encoder.feature_info.strides[0]
        cfg.check(size=data.size, encoder={"config": {"patch": self.patch}}, encoders={})
        self.grid = (data.size[0] // self.patch, data.size[1] // self.patch)
        self.patches = self.grid[0] * self.grid[1]
        self.n_visible = int(self.patches * (1 - cfg.mask_ratio))
        self.decoder = Decoder(encoder.feature_info.pooled, self.grid, self.patch, cfg)

    def initialise(self) -> Mapping[str, str]:
        if self.cfg.init == "random":
            return {}
        source = Source(tag=self.cfg.tag, file=self.cfg.file)
        facts = load_image_encoders(self.encoders.values(), source)
        encoder = self.encoders["rgb"]
        assert isinstance(encoder, ViT)
        encoder.table.requires_grad_(False)  # trained in fine-tuning alone (official code)
        return {"init": "published", **facts}

    def group(self, name: str, parameter: nn.Parameter) -> Mapping[str, Any]:
        return {"weight_decay": 0.0} if parameter.ndim <= 1 else {}

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        rgb = batch["rgb"]
        expected = (self.grid[0] * self.patch, self.grid[1] * self.patch)
        if rgb.shape[-2:] != expected:
            raise StepError(f"MAE: images are {tuple(rgb.shape[-2:])}, expected {expected}")
        encoder = self.encoders["rgb"]
        assert isinstance(encoder, ViT)
        keep, hidden = draw_mask(len(rgb), self.patches, self.n_visible, ctx.draws)
        keep, hidden = keep.to(rgb.device), hidden.to(rgb.device)
        predicted = self.decoder(encoder.encode_visible(rgb, keep), keep)
        target = patchify(encoder.preprocess(rgb).float(), self.patch)
        if self.cfg.normalise_target:
            target = normalised_patches(target)
        return StepOutput(terms={"pixels": patch_loss(predicted, target, hidden)})

    def illustrate(self, batch: Batch, ctx: Context) -> Illustration:
        """Fill the gaps of images; predictions take colour and contrast from the true patches."""
        rgb, encoder = batch["rgb"], self.encoders["rgb"]
        assert isinstance(encoder, ViT)
        keep, hidden = (
            m.to(rgb.device) for m in draw_mask(len(rgb), self.patches, self.n_visible, ctx.draws)
        )
        predicted = self.decoder(encoder.encode_visible(rgb, keep), keep)
        target = patchify(encoder.preprocess(rgb).float(), self.patch)
        full = completed_patches(predicted, target, hidden, normalised=self.cfg.normalise_target)
        visible = target * ~hidden[:, :, None]
        drawn = {"visible patches": visible, "completed": full, "original": target}
        compared = normalised_patches(target) if self.cfg.normalise_target else target
        return Illustration(
            images={n: encoder.colours(unpatchify(p, self.patch, self.grid)) for n, p in drawn.items()},
            scalars={"pixels": patch_loss(predicted, compared, hidden)},
        )


class Decoder(nn.Module):
    """Transformer that sees the encoded patches and one learned token in place of each hidden one."""

    def __init__(self, inputs: int, grid: tuple[int, int], patch: int, cfg: MAEConfig) -> None:
        super().__init__()
        width = cfg.decoder_width
        self.embed = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("positions", sincos_positions(*grid, width), persistent=False)
        self.blocks = nn.Sequential(
            *(
                Block(width, cfg.decoder_heads, qkv_bias=True, norm_layer=cast(type[nn.Module], LayerNorm))
                for _ in range(cfg.decoder_blocks)
            )
        )
        self.norm = LayerNorm(width)
        self.predict = nn.Linear(width, patch * patch * 3)
        initialise_like_mae(self)

    def forward(self, encoded: Tensor, keep: Tensor) -> Tensor:
        """Predict all patches.

        Args:
            encoded: (N, 1 + L', D), class token first.
            keep: (N, L') int64, which patches these are.

        Returns:
            (N, L, patch * patch * 3).
        """
        tokens = self.embed(encoded)
        positions = self.get_buffer("positions")
        n, width = len(tokens), tokens.shape[2]
        empty = self.mask_token.to(tokens.dtype).expand(n, positions.shape[1] - 1, -1)
        full = empty.scatter(1, keep[:, :, None].expand(-1, -1, width), tokens[:, 1:])
        decoded = self.blocks(torch.cat([tokens[:, :1], full], 1) + positions)
        out: Tensor = self.predict(self.norm(decoded))[:, 1:]
        return out


def draw_mask(n: int, patches: int, visible: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """Choose the visible patches of each sample uniformly.

    Args:
        n: N, samples.
        patches: L.
        visible: L', how many to keep.
        draws: of the step.

    Returns:
        (N, L') int64, their indices; (N, L) bool, which patches are hidden.
    """
    keep = draws.rand(n, patches).argsort(1)[:, :visible]
    hidden = torch.ones(n, patches, dtype=torch.bool).scatter(1, keep, False)
    return keep, hidden
