"""Checks of one stage of a method, on real batches and in the real loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.adapter_kit.finding import Check, ContractViolation, NotApplicable
from bench.adapter_kit.interruption import trained
from bench.adapter_kit.setting import BATCH
from bench.adapter_kit.terms import total
from bench.api import Batch, Context, Dataset, Draws, Encoder, Method, StepOutput, seeded
from bench.data.opening import open_dataset
from bench.encoders import fields_of
from bench.errors import StepError
from bench.execute.device import make_fabric
from bench.execute.pretraining import (
    STATE,
    PretrainModule,
    build_method,
    load_previous,
    make_run,
    save_method,
)
from bench.execute.sheets import sheet
from bench.grid.plan import Step
from bench.records.store import Store
from bench.train.run import Run
from bench.train.seeding import seeded_layers

State = dict[str, Tensor]


@dataclass(kw_only=True)
class Stage:
    """One stage that trains."""

    step: Step
    store: Store
    config_dirs: tuple[str, ...]
    exported: dict[str, Encoder]
    learned: set[str]  # modalities whose encoders have changed in some stage

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name; the last ones train to the end and leave what the next stage needs."""
        yield "finite loss", self._loss
        yield "gradients", self._gradients
        yield "batch of one", self._batch_of_one
        yield "missing modalities", self._missing
        yield "determinism", self._deterministic
        yield "images", self._images
        yield "save, load, continue", self._resumed

    def method(self) -> Method:
        """Return the method as this stage begins."""
        data = self._data()
        method = build_method(self.step.spec, data.info, self.config_dirs)
        if self.step.inputs:
            load_previous(method, self.store.folder(self.step.inputs[0]) / STATE, str(self.step.spec["name"]))
        return method.train()

    def batch(self, rows: slice = slice(None)) -> Batch:
        """Return a batch as training sees it, or some rows of it."""
        run = self._run(self.method(), self.store.root / "unused")
        batch = run.prepare(next(run.batches(0)), self._context().draws)
        return {name: values[rows] for name, values in batch.items()}

    def _data(self) -> Dataset:
        return open_dataset(self.step.spec["data"], self.store.data, self.config_dirs)

    def _run(self, method: Method, folder: Path) -> Run:
        fabric = make_fabric(self.step.spec, "cpu")
        return make_run(self.step, self._data(), folder, fabric, fields_of(method))

    def _context(self, step: int = 0) -> Context:
        return Context(step=step, total_steps=6, draws=Draws(generator=seeded("contract", step)))

    def _forward(self, method: Method, batch: Batch, step: int = 0) -> Tensor:
        """Run one step forth and back; check what it returns.

        Raises:
            ContractViolation: a term or gradient that is not finite, or a term that is not in float32.
            StepError: no term, one that is no scalar, or none with a gradient.
        """
        ctx = self._context(step)
        method.before_step(ctx)
        method.zero_grad(set_to_none=True)
        out = method.training_step(batch, ctx)
        if not isinstance(out, StepOutput):
            raise ContractViolation(f"training_step returns a {type(out).__name__}, not a StepOutput")
        loss = total(out.terms)
        known = {id(parameter) for parameter in method.parameters()}
        for leaf in leaves(loss):
            if id(leaf) not in known:
                raise ContractViolation(
                    f"a tensor of shape {tuple(leaf.shape)} has a gradient and is no parameter of the method "
                    "and not trained; assign nn.Parameter, or keep layers in nn.ModuleList"
                )
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in method.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise ContractViolation(f"the gradient of {name} is not finite")
        method.after_step(ctx)
        return loss.detach()

    def _loss(self) -> None:
        method, batch = self.method(), self.batch()
        before = {name: values.clone() for name, values in batch.items()}
        self._forward(method, batch)
        for name, values in before.items():
            if name not in batch or not torch.equal(batch[name], values):
                raise ContractViolation(f'training_step changes batch["{name}"]; others may read it, too')

    def _gradients(self) -> None:
        """Let every parameter be reached within some steps, unless it is frozen (`requires_grad` False)."""
        method, batch = self.method(), self.batch()
        waiting = {name for name, p in method.named_parameters() if p.requires_grad}
        for step in range(4):
            self._forward(method, batch, step)
            with torch.no_grad():
                for name, parameter in method.named_parameters():
                    if parameter.grad is not None and parameter.grad.any():
                        waiting.discard(name)
                        parameter.sub_(0.01 * parameter.grad / parameter.grad.norm())
        if waiting:
            names = sorted(waiting)
            raise ContractViolation(
                f"no gradient reaches {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; "
                "freeze what is not trained (requires_grad_(False))"
            )

    def _batch_of_one(self) -> None:
        self._forward(self.method(), self.batch(slice(0, 1)))

    def _missing(self) -> None:
        """Leave out each optional modality for some samples and for all."""
        batch = self.batch()
        optional = [m for m in self.step.spec["optional"] if f"valid.{m}" in batch]
        if not optional:
            raise NotApplicable("it needs everything that it uses in every sample")
        for modality in optional:
            for some in (slice(0, BATCH // 2), slice(None)):
                poor = {name: values.clone() for name, values in batch.items()}
                poor[f"valid.{modality}"][some] = False
                poor[modality][some] = 0
                if modality == "kp2d":
                    poor["keypoints_visible"][some] = False
                try:
                    self._forward(self.method(), poor)
                except (ContractViolation, StepError) as error:
                    which = "all samples" if some == slice(None) else "some samples"
                    raise ContractViolation(f"without {modality} in {which}: {error}") from None

    def _deterministic(self) -> None:
        """Let equal seeds give equal bits, and NumPy's global generator alone."""
        outcomes = []
        for _ in range(2):
            state = str(np.random.get_state())  # noqa: NPY002
            method = self.method()
            with seeded_layers(torch.device("cpu"), "contract"):
                outcomes.append([self._forward(method, self.batch(), step) for step in range(2)])
            if str(np.random.get_state()) != state:  # noqa: NPY002
                raise ContractViolation("it draws from NumPy's global generator; use ctx.draws")
        if not all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True)):
            raise ContractViolation("equal seeds give other losses; use ctx.draws for all random numbers")

    def _images(self) -> None:
        """Let what `illustrate` returns be drawn, the same from equal seeds."""
        if type(self.method()).illustrate is Method.illustrate:
            raise NotApplicable("it defines no illustrate(), which is optional")
        method, batch = self.method().eval(), self.batch()
        drawn = []
        for _ in range(2):
            with torch.no_grad():
                found = method.illustrate(dict(batch), self._context())
            drawn.append((sheet(found.images), {name: float(value) for name, value in found.scalars.items()}))
        if drawn[0] != drawn[1]:
            raise ContractViolation("illustrate() draws other images from equal seeds; use ctx.draws")

    def _resumed(self) -> None:
        """Train in one go, and interrupted in the middle: equal to the last bit."""
        whole = self._trained("whole")
        middle = int(self.step.spec["train"]["steps"]) // 2
        if not middle:
            raise NotApplicable("its share of the budget is a single step here")
        parts = self._trained("parts", stop_after=middle)
        for name, value in whole.items():
            if not torch.equal(value, parts[name]):
                raise ContractViolation(
                    f"{name} differs after a resume; what must survive belongs into parameters or buffers"
                )

    def _trained(self, name: str, stop_after: int = 0) -> State:
        """Train to the end, stopping once on the way; the first one leaves its state to the next stage."""
        folder = self.store.root / name / self.step.key
        folder.mkdir(parents=True, exist_ok=True)
        fabric = make_fabric(self.step.spec, "cpu")

        def make() -> tuple[PretrainModule, Run]:
            method = self.method()
            return PretrainModule(method), self._run(method, folder)

        trainee, _ = trained(make, fabric, stop_after)
        method = trainee.method
        if not stop_after:
            begun = self.method().state_dict()
            for full_name, parameter in method.encoders.named_parameters():
                if not torch.equal(begun[f"encoders.{full_name}"], parameter):
                    self.learned.add(full_name.partition(".")[0])
            save_method(method, self.store.folder(self.step))
            self.exported.update(method.export().encoders)
        return {n: v.clone() for n, v in method.state_dict().items()}


def leaves(loss: Tensor) -> Iterator[Tensor]:
    """Yield the tensors to which the gradient of a loss goes."""
    waiting: list[Any] = [loss.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [following for following, _ in node.next_functions]
