"""Images through encoders, counted on the project's own encoders and on those that are made of others."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.api import Batch, Context, Encoder, Features, StepOutput
from bench.encoders import build_encoder
from bench.encoders.vit import ViT
from bench.grid.registry import BUILT_IN, load
from bench.train import loop
from bench.train.loop import fit
from bench.train.passes import Passes
from bench.train.run import Run, TrainModule

RGB = torch.rand(3, 3, 32, 32)


def small(name: str) -> Encoder:
    return build_encoder(load(BUILT_IN / "encoder" / f"{name}.yaml", "encoder"), "rgb")


@pytest.mark.parametrize("name", ["resnet10_w24", "vit_d96"])
def test_an_image_counts_once_for_each_encoder_that_sees_it(name: str) -> None:
    online = small(name).eval()
    both = nn.ModuleDict({"online": online, "again": online, "momentum": copy.deepcopy(online)})
    passes = Passes(both)
    online(RGB)
    both["again"](x=RGB[:2])
    with torch.no_grad():
        both["momentum"](RGB[:1])
    assert passes.rows == 3 + 2 + 1


def test_a_pass_beside_forward_counts_too() -> None:
    encoder = small("vit_d96")
    assert isinstance(encoder, ViT)
    passes = Passes(nn.ModuleList([encoder]))
    encoder.encode_visible(RGB, torch.zeros(3, 4, dtype=torch.int64))
    encoder.preprocess(RGB)  # of targets, no pass
    assert passes.rows == 3


def test_an_encoder_made_of_encoders_counts_as_one() -> None:
    class Outer(Encoder):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([small("resnet10_w24"), small("resnet10_w24")])

        def forward(self, x: Tensor) -> Features:
            first, second = (part(x) for part in self.parts)
            return first if x.ndim else second

    passes = Passes(nn.Sequential(outer := Outer().eval()))
    outer(RGB)
    assert passes.rows == 3


class TwoViews(TrainModule):
    """Each step passes its images twice, the second time some of them, by the momentum copy."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = small("resnet10_w24")
        self.momentum = copy.deepcopy(self.encoder).requires_grad_(False)

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        target = self.momentum(batch["rgb"][: 2 + ctx.step % 2]).pooled.mean()
        return StepOutput(terms={"far": (self.encoder(batch["rgb"]).pooled.mean() - target).square()})


def test_the_count_of_a_training_survives_its_interruption_and_leaves_evaluations_out(tmp_path: Path) -> None:
    train: dict[str, Any] = {
        "optimizer": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 0.0, "schedule": "constant",
        "clip": 0.0, "batch": 3, "steps": 3,
    }  # fmt: skip
    module = TwoViews()

    def evaluate() -> dict[str, float]:
        with torch.no_grad():
            return {"mean": float(module.encoder(RGB).pooled.mean())}

    def run(stop_at: int) -> float:
        def prepare(raw: Tensor, draws: object) -> Batch:
            if len(seen) == stop_at:
                loop.stop.set()
            seen.append(1)
            return {"rgb": raw}

        seen: list[int] = []
        fabric = Fabric(accelerator="cpu", devices=1)
        made = Run(
            train=train, seed=0, folder=tmp_path, steps_per_epoch=3, prepare=prepare,
            batches=lambda start: iter([RGB] * (3 - start)), evaluate_at=(1, 2, 3), evaluate=evaluate,
            images=2,
        )  # fmt: skip
        cost = fit(module, made, fabric).cost
        assert cost["samples_seen"] == 3 * 3 * 2  # rows that are pairs count two
        return cost["forward_passes"]

    with pytest.raises(KeyboardInterrupt):
        run(stop_at=1)
    loop.stop.clear()
    module = TwoViews()
    assert run(stop_at=-1) == 3 * 3 + 2 + 3 + 2
