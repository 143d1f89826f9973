"""Alignment of two dense embeddings of one image, as a module that a method hands to tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.api import Module
from bench.losses.cells import mask_on_grid
from bench.losses.dense import dense_contrast, hard_targets, soft_targets
from bench.losses.numerics import masked_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseAlignmentConfig:
    temperature: float = 0.07
    dense: Literal["hard", "soft"] = "soft"
    sigma: float = 1.0  # cells, of the soft targets
    cells: int = 400  # S, at most so many cells of a regular grid


class DenseAlignment(Module):
    """HCMoCo's dense contrast of colour and depth (arXiv:2203.13815, Eq. 2 to 4) on a regular grid of cells.

    The grid takes the place of the random cells of pretraining, so that nothing is drawn (design choice).
    """

    Config = DenseAlignmentConfig

    def __init__(self, cfg: DenseAlignmentConfig) -> None:
        super().__init__()
        self.cfg = cfg

    def forward(self, rgb: Tensor, depth: Tensor, measured: Tensor) -> Tensor:
        """Compare two embeddings.

        Args:
            rgb: (N, D, h, w), unit length along D.
            depth: as `rgb`.
            measured: pixels with a measurement, (N, H, W) bool; samples with none at the cells do not count.

        Returns:
            Scalar, nats, mean over the samples.
        """
        h, w = rgb.shape[2:]
        step = 1
        while (-(-h // step)) * (-(-w // step)) > self.cfg.cells:
            step += 1
        rows, columns = (torch.arange(0, n, step, device=rgb.device) for n in (h, w))
        cells = torch.cartesian_prod(rows, columns)  # (S, 2)
        chosen = cells[None].expand(len(rgb), -1, -1)
        a, b = (x[:, :, cells[:, 0], cells[:, 1]].transpose(1, 2) for x in (rgb, depth))  # (N, S, D)
        targets = soft_targets(chosen, self.cfg.sigma) if self.cfg.dense == "soft" else hard_targets(chosen)
        valid = mask_on_grid(measured, (h, w))[:, cells[:, 0], cells[:, 1]].any(1)
        return masked_mean(dense_contrast(a, b, targets, self.cfg.temperature).value, valid)
