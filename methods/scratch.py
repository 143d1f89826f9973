"""From scratch: random weights, no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from bench.api import Batch, Context, DataInfo, Encoder, Method, StepOutput
from bench.errors import StepError
from bench.settings import NotNegative


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchConfig:
    init_std: NotNegative = (
        0.0  # > 0: convolutions from N(0, init_std); 0.001 is that of the official HRNet code
    )


class Scratch(Method):
    """Export the encoders as they were initialised (design choice: timm's initialisation)."""

    Config = ScratchConfig

    def __init__(self, cfg: ScratchConfig, encoders: Mapping[str, Encoder], data: DataInfo) -> None:
        super().__init__(cfg, encoders, data)
        if cfg.init_std > 0:
            for module in self.encoders.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.normal_(module.weight, std=cfg.init_std)

    def training_step(self, batch: Batch, ctx: Context) -> StepOutput:
        raise StepError("scratch does not train; its stage must have budget_share 0")
