"""Template: tell by how many quarter turns an image was rotated (arXiv:1803.07728).

Replace this by what your method does; the docstrings of `bench.api` say what each part may rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput

TURNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    """The keys under `config` in the YAML; a key that is not listed here is an error.

    A method `check(self, *, size, where)` may refuse what does not fit the grid; see `bench.api`.
    """

    weight: float = 1.0  # of the loss


class Template(Method):
    """Classify the rotation from the pooled features of the colour encoder."""

    Config = TemplateConfig

    def __init__(self, cfg: TemplateConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        self.cfg = cfg
        self.classify = nn.Linear(encoders["rgb"].feature_info.pooled, TURNS)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        rgb = batch["rgb"]  # (N, 3, H, W) in [0, 1]
        turns = ctx.draws.randint(TURNS, len(rgb)).to(rgb.device)  # random numbers come from ctx alone
        logits = self.classify(self.encoders["rgb"](turned(rgb, turns)).pooled)
        return StepOutput(terms={"turns": self.cfg.weight * F.cross_entropy(logits.float(), turns)})


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Rotate each image (N, C, S, S) by its number of quarter turns (N,)."""
    every = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])  # (4, N, C, S, S)
    return every[turns, torch.arange(len(images), device=images.device)]
