from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.api import Batch, Context, Draws, StepOutput, seeded
from bench.errors import DataError, StepError
from bench.train import loop
from bench.train.loop import fit, points
from bench.train.meter import Meter
from bench.train.run import Outcome, Run, TrainModule
from bench.train.schedule import learning_rate
from bench.train.seeding import seeded_initialisation

STEPS = 12
TRAIN: dict[str, Any] = {
    "optimizer": "adamw", "lr": 0.05, "momentum": 0.9, "betas": [0.9, 0.95], "weight_decay": 0.1,
    "schedule": "cos_warm_step", "warmup": 0.25, "clip": 1.0, "batch": 4, "steps": STEPS,
}  # fmt: skip


class Toy(TrainModule):
    """Everything that a resume may get wrong: dropout, batch statistics, a buffer, noise, two loss terms."""

    def __init__(self, hook: Callable[[int], None] = lambda step: None) -> None:
        super().__init__()
        with seeded_initialisation(5, "toy"):
            self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
        self.register_buffer("seen", torch.zeros(()))
        self.hook = hook

    def step(self, batch: Batch, ctx: Context) -> StepOutput:
        out = self.net(batch["x"]) + 0.1 * ctx.draws.randn(4, 2)
        return StepOutput(
            terms={"fit": (out - batch["y"]).square().mean(), "size": 0.01 * out.abs().mean()},
            lower_bounds={"fit": torch.tensor(0.25)},
            scalars={"largest": out.abs().max()} if ctx.step % 2 else {},
        )

    def before_step(self, ctx: Context) -> None:
        assert loop.active.is_set()
        self.hook(ctx.step)

    def after_step(self, ctx: Context) -> None:
        self.get_buffer("seen").add_(ctx.step)

    def group(self, name: str, parameter: nn.Parameter) -> dict[str, float]:
        return {"weight_decay": 0.0} if parameter.ndim == 1 else {}


def batches(start: int) -> Iterator[Tensor]:
    for step in range(start, STEPS):
        yield torch.randn((4, 8), generator=seeded(1, "order", step))


def prepare(raw: Tensor, draws: Draws) -> Batch:
    noise = draws.randn(4, 6)
    return {"x": raw[:, :6] + 0.1 * noise, "y": raw[:, 6:]}


def train(toy: TrainModule, folder: Path, **changes: Any) -> Outcome:
    def evaluate() -> dict[str, float]:
        toy.eval()
        with torch.no_grad():
            return {"norm": sum(float(p.square().sum()) for p in toy.parameters())}

    folder.mkdir(exist_ok=True)
    run: dict[str, Any] = {
        "train": TRAIN, "seed": 3, "folder": folder, "steps_per_epoch": 3, "batches": batches,
        "prepare": prepare, "evaluate_at": points(STEPS, 4), "evaluate": evaluate,
    }  # fmt: skip
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return fit(toy, Run(**{**run, **changes}), fabric)


@pytest.fixture
def whole(tmp_path: Path) -> tuple[dict[str, Tensor], Outcome]:
    toy = Toy()
    outcome = train(toy, tmp_path / "whole")
    return toy.state_dict(), outcome


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in state.items())


def interrupted_after(steps: int, folder: Path, kind: type[Toy] = Toy) -> None:
    """Train until a signal arrives during the given step; its end is saved."""
    try:
        with pytest.raises(KeyboardInterrupt):
            train(kind(lambda step: loop.stop.set() if step == steps - 1 else None), folder)
    finally:
        loop.stop.clear()


@pytest.mark.parametrize("steps", range(1, STEPS))
def test_interrupted_at_any_step_and_resumed_equals_uninterrupted(
    steps: int, tmp_path: Path, whole: tuple[dict[str, Tensor], Outcome]
) -> None:
    interrupted_after(steps, tmp_path / "run")
    assert not loop.active.is_set()
    torch.rand(steps)  # the global generator stands elsewhere in the next process
    again = Toy()
    outcome = train(again, tmp_path / "run")
    assert same(again.state_dict(), whole[0])
    assert outcome.curve == whole[1].curve
    assert int(again.get_buffer("seen")) == sum(range(STEPS))


class KilledError(Exception):
    pass


@pytest.mark.parametrize("at", [0, 4, 7, STEPS - 1])
def test_killed_later_than_the_last_checkpoint_repeats_the_steps_since(
    at: int, tmp_path: Path, whole: tuple[dict[str, Tensor], Outcome]
) -> None:
    def kill(step: int) -> None:
        if step == at:
            raise KilledError

    if at > 3:
        interrupted_after(4, tmp_path / "run")
    with pytest.raises(KilledError):
        train(Toy(kill), tmp_path / "run")
    again = Toy()
    outcome = train(again, tmp_path / "run", checkpoint_s=0.0)
    assert same(again.state_dict(), whole[0]) and outcome.curve == whole[1].curve


def test_curve_holds_loss_means_and_metrics_at_the_points_asked_for(
    whole: tuple[dict[str, Tensor], Outcome], tmp_path: Path
) -> None:
    seen: list[dict[str, float]] = []
    largest: list[list[float]] = []

    class Watched(Toy):
        def step(self, batch: Batch, ctx: Context) -> StepOutput:
            out = super().step(batch, ctx)
            seen.append({name: float(term.detach()) for name, term in out.terms.items()})
            largest.append([float(v.detach()) for v in out.scalars.values()])
            return out

    outcome = train(Watched(), tmp_path / "run")
    assert outcome.curve == whole[1].curve
    assert [p["step"] for p in outcome.curve] == [3, 6, 9, 12]
    assert [p["progress"] for p in outcome.curve] == [0.25, 0.5, 0.75, 1.0]
    for i, point in enumerate(outcome.curve):
        part = seen[3 * i : 3 * i + 3]
        assert point["loss_fit"] == pytest.approx(sum(p["fit"] for p in part) / 3)
        assert point["loss_size"] == pytest.approx(sum(p["size"] for p in part) / 3)
        assert point["lower_bound_fit"] == 0.25 and point["norm"] > 0
        logged = [v for values in largest[3 * i : 3 * i + 3] for v in values]
        assert point["largest"] == pytest.approx(sum(logged) / len(logged))
    assert len((tmp_path / "run" / "log.txt").read_text().splitlines()) == 4
    progress = json.loads((tmp_path / "run" / "progress.json").read_text())
    assert progress == {"step": 12, "steps": 12, "loss": round(sum(seen[-1].values()), 4)}
    cost = outcome.cost
    assert cost["samples_seen"] == 48 and 0 <= cost["data_wait_share"] < 1 and cost["peak_memory_mb"] > 0
    assert cost["samples_per_s"] == pytest.approx(48 / cost["train_wall_s"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_step_term_and_history(value: float, tmp_path: Path) -> None:
    class ContractViolation(Toy):
        def step(self, batch: Batch, ctx: Context) -> StepOutput:
            out = super().step(batch, ctx)
            return StepOutput(terms={**out.terms, "fit": out.terms["fit"] * (value if ctx.step == 5 else 1)})

    toy = ContractViolation()
    with pytest.raises(StepError, match=r"step 5 \(fit=(nan|inf)\); losses before: ([\d.e-]+, ){4}[\d.e-]+$"):
        train(toy, tmp_path / "run")
    assert all(bool(v.isfinite().all()) for v in toy.state_dict().values())  # the step was not taken


def test_logged_values_count_where_they_say_something() -> None:
    meter = Meter()
    for step, right in enumerate((0.5, math.nan, 1.0)):
        meter.add({"fit": 1.0}, {"right": right, "never": math.nan}, step)
    assert meter.point(3, 3) == {"step": 3.0, "progress": 1.0, "loss_fit": 1.0, "right": 0.75}


def test_state_that_a_step_adds_or_resizes_is_refused_at_once(tmp_path: Path) -> None:
    def grow(toy: Toy) -> None:
        toy.seen = torch.cat([toy.seen.view(-1), torch.zeros(1)])

    def add(toy: Toy) -> None:
        toy.late = nn.Linear(2, 2)

    for change, said in (
        (grow, r"^seen was \(\) before .* is \(2,\) after"),
        (add, "^late.weight was absent before"),
    ):
        toy = Toy()
        toy.hook = lambda step, change=change, toy=toy: change(toy)  # type: ignore[misc]
        with pytest.raises(StepError, match=said):
            train(toy, tmp_path / change.__name__)


def test_a_checkpoint_that_does_not_fit_the_code_is_set_aside(
    tmp_path: Path, whole: tuple[dict[str, Tensor], Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    class Older(Toy):
        def __init__(self, hook: Callable[[int], None]) -> None:
            super().__init__(hook)
            self.net[3] = nn.Linear(8, 2, bias=False)
            self.extra = nn.Linear(2, 2)

    interrupted_after(5, tmp_path / "run", Older)
    again = Toy()
    outcome = train(again, tmp_path / "run")
    assert "written by other code" in capsys.readouterr().err
    assert same(again.state_dict(), whole[0]) and outcome.curve == whole[1].curve


def test_full_disk_while_logging_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*log\.txt"):
        train(Toy(), tmp_path / "run")


def test_every_step_uses_the_scheduled_rate_also_after_a_resume(tmp_path: Path) -> None:
    class Line(Toy):
        """The gradient is one, so that each step of plain SGD subtracts the rate."""

        def __init__(self, hook: Callable[[int], None] = lambda step: None) -> None:
            super().__init__(hook)
            self.net = nn.Sequential(nn.Linear(1, 1, bias=False))
            nn.init.zeros_(self.net[0].weight)

        def step(self, batch: Batch, ctx: Context) -> StepOutput:
            return StepOutput(terms={"line": self.net[0].weight.sum()})

    recipe = {**TRAIN, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip": 0.0}
    line = Line(lambda step: loop.stop.set() if step == 6 else None)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(line, tmp_path / "run", train=recipe)
    finally:
        loop.stop.clear()
    line = Line()
    train(line, tmp_path / "run", train=recipe)
    wanted = -sum(learning_rate(recipe, step, 3) for step in range(STEPS))
    assert line.net[0].weight.item() == pytest.approx(wanted, rel=1e-6)


def test_points_are_evenly_spaced_and_end_at_the_last_step() -> None:
    assert points(300, 10) == tuple(range(30, 301, 30))
    assert points(7, 3) == (2, 5, 7)
    assert points(3, 10) == (1, 2, 3)
