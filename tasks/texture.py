"""Texture of the body surface from one image, judged by rendering it (Texformer, arXiv:2109.02563).

The image of a second camera at the same moment shows what the first one does not: it is trained on, too, and
decides. Body and camera are known, so that rendering is reading a texture at known places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.api import Batch, FeatureInfo, Metric, Outputs, Pretrained, Stats, Task
from bench.heads.grid import in_chunks
from bench.heads.texture import TextureNetwork, fit, read, render
from bench.metrics.images import likeness
from bench.metrics.weighted import weighted_sums
from bench.settings import Count, NotNegative

Floats = NDArray[np.float64]
Stack = NDArray[np.uint8]

VIEWS = {"other": "other_", "seen": ""}  # of a sample: the image that was not shown, the one that was
MEASURES = ("ssim", "psnr", "ssim_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureConfig:
    texels: Annotated[int, Meta(ge=2, le=64)] = 16  # S, of the side of a chart
    width: Count = 64  # of queries and keys
    other_weight: NotNegative = 1.0  # of the second camera's image in the loss; that of the first one is 1


class Texture(Task):
    """A texture of 24 charts, mean absolute error on the body, structural similarity in the second view."""

    Config = TextureConfig
    targets = ("chart", "uv", "other_rgb", "other_chart", "other_uv")
    extras = ("rgb",)
    metrics = (
        Metric(name="ssim"),
        Metric(name="psnr", unit="dB"),
        Metric(name="ssim_image"),
        *(Metric(name=f"{name}_seen", unit="dB" if name == "psnr" else "") for name in MEASURES),
    )

    def network(self, given: Pretrained) -> nn.Module:
        ((modality, encoder),) = given.encoders.items()
        return TextureNetwork(encoder, modality, self.cfg.texels, self.cfg.width)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        weights = {"seen": 1.0, "other": self.cfg.other_weight}
        return {
            f"l1_{name}": weights[name]
            * body_l1(out["texture"], batch[f"{of}rgb"], batch[f"{of}chart"], batch[f"{of}uv"])
            for name, of in VIEWS.items()
        }

    def predict(self, out: Outputs, batch: Batch) -> Stats:
        return {"texture": (out["texture"] * 255).round().to(torch.uint8).cpu().numpy()}

    def oracle_prediction(self, truth: Stats) -> Stats:
        """Fit a texture to both images: nothing renders nearer to them at this number of texels."""

        def fitted(*arrays: NDArray[np.generic]) -> Stack:
            rgb, chart, uv, *other = (torch.from_numpy(array) for array in arrays)
            views = [(_planes(r), c.long(), _planes(w)) for r, c, w in ((rgb, chart, uv), other)]
            images, charts, places = (list(part) for part in zip(*views, strict=True))
            texture = fit(images, charts, places, self.cfg.texels).clamp(0, 1)
            found: Stack = (texture * 255).round().to(torch.uint8).numpy()
            return found

        names = [f"{of}{name}" for of in ("", "other_") for name in ("rgb", "chart", "uv")]
        return {"texture": in_chunks(fitted, *(truth[name] for name in names))}

    def floor_prediction(self, seen: Stats, n: int) -> Stats:
        """Give everybody the mean texture of the training images."""
        rgb, chart, uv = (torch.from_numpy(seen[f"other_{name}"]) for name in ("rgb", "chart", "uv"))
        width = rgb.shape[2]  # one tall image of all samples has one texture
        images, places = (_planes(x.reshape(1, -1, width, x.shape[-1])) for x in (rgb, uv))
        mean = fit([images], [chart.reshape(1, -1, width).long()], [places], self.cfg.texels, rounds=0)
        return {"texture": np.repeat((mean * 255).round().to(torch.uint8).numpy(), n, 0)}

    def ceiling_prediction(self, truth: Stats, info: FeatureInfo) -> Stats:
        """As the oracle, which is bounded by the number of texels alone."""
        return self.oracle_prediction(truth)

    def draw(self, predicted: Stats, truth: Stats, images: Stats) -> Mapping[str, Stack]:
        found: dict[str, Stack] = {}
        for name, of in VIEWS.items():
            picture, mask = rendered(predicted["texture"], truth, of), truth[f"{of}chart"] > 0
            shown = np.where(mask[..., None], picture.round().astype(np.uint8), truth[f"{of}rgb"])
            found |= {f"{name} image": truth[f"{of}rgb"], f"{name} image with the texture": shown}
        return found

    def score_samples(self, predicted: Stats, truth: Stats) -> Stats:
        rows: Stats = {}
        for name, of in VIEWS.items():
            picture = rendered(predicted["texture"], truth, of)
            scored = likeness(picture, truth[f"{of}rgb"], truth[f"{of}chart"] > 0)
            rows |= {f"{measure}_{name}": values for measure, values in scored.items()}
        return rows

    def aggregate(self, rows: Stats, weights: Floats) -> dict[str, Floats]:
        totals = weighted_sums(rows, weights)
        means = {
            f"{measure}_{name}": totals[f"{measure}_{name}"] / np.maximum(1, totals[f"there_{name}"])
            for measure in MEASURES
            for name in VIEWS
        }
        return {name.removesuffix("_other"): values for name, values in means.items()}


def body_l1(texture: Tensor, rgb: Tensor, chart: Tensor, uv: Tensor) -> Tensor:
    """Mean absolute error of the rendered texture on the body; 0 where there is none.

    Args:
        texture: (N, 24, S, S, 3) in [0, 1].
        rgb: (N, 3, H, W) in [0, 1].
        chart: 0..24, (N, H, W).
        uv: in [0, 1], (N, 2, H, W).
    """
    errors = (read(texture, chart, uv) - rgb.permute(0, 2, 3, 1)[chart > 0]).abs()
    return errors.sum() / max(1, errors.numel())


def rendered(texture: Stack, truth: Stats, of: str) -> NDArray[np.float32]:
    """Render stored textures (N, 24, S, S, 3) where the images `of` some camera show the body.

    Returns:
        (N, H, W, 3) in 0..255, 0 on the background.
    """

    def one(texture: Stack, chart: Stack, uv: Stack) -> NDArray[np.float32]:
        colours, places = torch.from_numpy(texture).float(), torch.from_numpy(chart).long()
        picture: NDArray[np.float32] = render(colours, places, _planes(torch.from_numpy(uv))).numpy()
        return picture.transpose(0, 2, 3, 1)

    return in_chunks(one, texture, truth[f"{of}chart"], truth[f"{of}uv"])


def _planes(stored: Tensor) -> Tensor:
    """Bytes (N, H, W, C) as (N, C, H, W) float32 in [0, 1]."""
    return stored.permute(0, 3, 1, 2).float() / 255
