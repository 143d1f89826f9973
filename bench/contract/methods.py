"""Checks of a method: each of its stages on real batches, in the real loop."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from torch import Tensor

from bench.api import Batch, Context, DataInfo, Draws, Encoder, Method, StepOutput, seeded
from bench.contract import pair
from bench.contract.finding import Broken, Check, NotApplicable
from bench.contract.setting import BATCH, SHORT, method_stages
from bench.data.people import JOINT_SET, People
from bench.encoders import load_encoder
from bench.encoders.image import ImageEncoder
from bench.errors import AssetError
from bench.execute.device import make_fabric
from bench.execute.pretraining import (
    STATE,
    PretrainTrainee,
    build_method,
    load_previous,
    make_run,
    save_method,
)
from bench.execute.site import ALONE, Team
from bench.plan import Step
from bench.store import Store
from bench.train import loop
from bench.train.loop import fit
from bench.train.run import Run
from bench.train.seeding import seeded_layers

State = dict[str, Tensor]
GROUPS = (1, 2)  # parts of a batch, in the check of two processes


@dataclass(kw_only=True)
class Stages:
    """The stages of one method, with data; a stage goes on from what the one before has left."""

    steps: Sequence[Step]
    store: Store
    config_dirs: tuple[str, ...]
    exported: dict[str, Encoder] = field(default_factory=dict)  # by the last stage

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name."""
        trained = [step for step in self.steps if step.spec["data"]]
        if not trained:
            yield "weights", self._initialised
        for step in trained:
            stage = Stage(step=step, store=self.store, config_dirs=self.config_dirs, exported=self.exported)
            mark = f" ({step.spec['name']})" if len(trained) > 1 else ""
            yield from ((name + mark, check) for name, check in stage.checks())
        if trained:
            yield "two processes agree", self._two_processes
        yield "export", self._export

    def _initialised(self) -> None:
        """Bring weights from outside, which must change nothing that has a default."""
        step = self.steps[0]
        info = DataInfo(n_samples=0, image_size=int(step.spec["size"]), joint_set=JOINT_SET)
        method = build_method(step.spec, info, self.config_dirs)
        try:
            method.initialise()
        except AssetError as error:
            raise NotApplicable(str(error)) from None
        save_method(method, self.store.folder(step))
        self.exported.update(method.export())

    def _two_processes(self) -> None:
        """Let two processes that share each batch train as one does, to rounding."""
        name, root = str(self.steps[-1].spec["name"]).partition(".")[0], self.store.root
        stages = [s for s in method_stages(name, self.config_dirs, SHORT) if s.spec["data"]]
        for groups in GROUPS:
            pair.train_stages(stages, root, groups, config_dirs=self.config_dirs)
        words = (str(root), name, ",".join(map(str, GROUPS)), os.pathsep.join(self.config_dirs), *SHORT)
        pair.launch(words, 2)
        teams = (ALONE, Team(rank=0, per_node=2), Team(rank=1, per_node=2))
        for step, groups in itertools.product(stages, GROUPS):
            files = [pair.file(root, step, groups, team) for team in teams]
            states = [torch.load(file, weights_only=True) for file in files]
            for difference in pair.differences(*states):
                raise Broken(
                    f"{step.spec['name']}, groups={groups}: {difference}; means and negatives of a batch go "
                    "through ctx.group, random numbers of rows through ctx.draws"
                )

    def _export(self) -> None:
        """Reload what is handed to the tasks, here and in plain timm."""
        folder = self.store.folder(self.steps[-1])
        if not (folder / STATE).is_file():
            raise NotApplicable("the stages before have not come to their end")
        found = sorted(path for path in (folder / "encoders").glob("*") if path.is_dir())
        if not found:
            raise Broken("export() gives no encoder; tasks need that of rgb at least")
        if "rgb" not in (path.name for path in found):
            raise Broken(f"export() gives {', '.join(p.name for p in found)} but not rgb, which tasks need")
        for path in found:
            encoder, x = load_encoder(path).eval(), example(path.name)
            trained = self.exported.get(path.name)
            with torch.no_grad():
                if trained and not torch.equal(trained.eval()(x).pooled, encoder(x).pooled):
                    raise Broken(f"the encoder of {path.name} gives other features after a reload")
                if isinstance(encoder, ImageEncoder):
                    _reload_in_timm(encoder, path, x)


def example(modality: str) -> Tensor:
    """Return an input of an encoder, two samples."""
    generator = seeded("contract", modality)
    if modality == "kp2d":
        return 2 * torch.rand(2, 24, 2, generator=generator) - 1
    picture = torch.rand(2, 3 if modality == "rgb" else 1, 48, 48, generator=generator)
    return picture if modality == "rgb" else picture + 1


def _reload_in_timm(encoder: ImageEncoder, folder: Path, x: Tensor) -> None:
    card = json.loads((folder / "encoder.json").read_text())
    model: Any = timm.create_model(card["timm"]["name"], **card["timm"]["options"]).eval()
    weights = safetensors.torch.load_file(folder / "encoder.safetensors")
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights.items()})
    features, prepared = encoder(x), encoder.preprocess(x)
    if features.tokens is not None:
        close = torch.allclose(model.forward_features(prepared)[:, 1:], features.tokens, atol=1e-5)
    else:
        pairs = zip(model(prepared), features.maps, strict=True)
        close = all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
    if not close:
        raise Broken(f"timm's {card['timm']['name']} gives other features with the exported weights")


@dataclass(kw_only=True)
class Stage:
    """One stage that trains."""

    step: Step
    store: Store
    config_dirs: tuple[str, ...]
    exported: dict[str, Encoder]

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name; the last ones train to the end and leave what the next stage needs."""
        yield "finite loss", self._loss
        yield "gradients", self._gradients
        yield "batch of one", self._batch_of_one
        yield "missing modalities", self._missing
        yield "determinism", self._deterministic
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
        run = self._run(self.store.root / "unused")
        batch = run.prepare(next(run.batches(0)), self._context().draws)
        return {name: values[rows] for name, values in batch.items()}

    def _data(self) -> People:
        return People(self.step.spec["data"], self.store.data)

    def _run(self, folder: Path) -> Run:
        return make_run(self.step, self._data(), folder, make_fabric(self.step.spec, "cpu"))

    def _context(self, step: int = 0) -> Context:
        return Context(step=step, total_steps=6, draws=Draws(generator=seeded("contract", step)))

    def _forward(self, method: Method, batch: Batch, step: int = 0) -> Tensor:
        """Run one step forth and back; check what it returns.

        Raises:
            Broken: no term, or one that is not a finite float32 scalar with a gradient.
        """
        ctx = self._context(step)
        method.before_step(ctx)
        method.zero_grad(set_to_none=True)
        out = method.training_step(batch, ctx)
        if not isinstance(out, StepOutput) or not out.terms:
            raise Broken("training_step returns no StepOutput with at least one named term")
        for name, term in out.terms.items():
            if not isinstance(term, Tensor) or term.ndim or term.dtype not in (torch.float32, torch.float64):
                raise Broken(f"loss term {name} is not a scalar tensor in float32")
            if not torch.isfinite(term):
                raise Broken(f"loss term {name} is {float(term.detach())}")
        total = torch.stack([term.float() for term in out.terms.values()]).sum()
        if not total.requires_grad:
            raise Broken("no loss term is connected to a parameter")
        total.backward()  # type: ignore[no-untyped-call]
        for name, parameter in method.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise Broken(f"the gradient of {name} is not finite")
        method.after_step(ctx)
        return total.detach()

    def _loss(self) -> None:
        method, batch = self.method(), self.batch()
        before = {name: values.clone() for name, values in batch.items()}
        self._forward(method, batch)
        for name, values in before.items():
            if name not in batch or not torch.equal(batch[name], values):
                raise Broken(f'training_step changes batch["{name}"]; others may read it, too')

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
            raise Broken(
                f"no gradient reaches {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}; "
                "freeze what is not trained (requires_grad_(False))"
            )

    def _batch_of_one(self) -> None:
        self._forward(self.method(), self.batch(slice(0, 1)))

    def _missing(self) -> None:
        """Leave out each optional modality for some samples and for all."""
        batch = self.batch()
        optional = [m for m in self.step.spec["modalities"] if f"valid.{m}" in batch and m != "rgb"]
        if not optional:
            raise NotApplicable("it uses colour alone, which every sample has")
        for modality in optional:
            for some in (slice(0, BATCH // 2), slice(None)):
                poor = {name: values.clone() for name, values in batch.items()}
                poor[f"valid.{modality}"][some] = False
                poor[modality][some] = 0
                if modality == "kp2d":
                    poor["kp_vis"][some] = False
                try:
                    self._forward(self.method(), poor)
                except Broken as error:
                    which = "all samples" if some == slice(None) else "some samples"
                    raise Broken(f"without {modality} in {which}: {error}") from None

    def _deterministic(self) -> None:
        """Let equal seeds give equal bits, and NumPy's global generator alone."""
        outcomes = []
        for _ in range(2):
            state = str(np.random.get_state())  # noqa: NPY002
            method = self.method()
            with seeded_layers(torch.device("cpu"), "contract"):
                outcomes.append([self._forward(method, self.batch(), step) for step in range(2)])
            if str(np.random.get_state()) != state:  # noqa: NPY002
                raise Broken("it draws from NumPy's global generator; use ctx.draws")
        if not all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True)):
            raise Broken("equal seeds give other losses; use ctx.draws for all random numbers")

    def _resumed(self) -> None:
        """Train in one go, and interrupted in the middle: equal to the last bit."""
        whole = self._trained("whole")
        middle = int(self.step.spec["train"]["steps"]) // 2
        if not middle:
            raise NotApplicable("its share of the budget is a single step here")
        parts = self._trained("parts", stop_after=middle)
        for name, value in whole.items():
            if not torch.equal(value, parts[name]):
                raise Broken(
                    f"{name} differs after a resume; what must survive belongs into parameters or buffers"
                )

    def _trained(self, name: str, stop_after: int = 0) -> State:
        """Train to the end, stopping once on the way; the first one leaves its state to the next stage."""
        folder = self.store.root / name / self.step.key
        folder.mkdir(parents=True, exist_ok=True)
        fabric = make_fabric(self.step.spec, "cpu")
        method = self.method()
        if stop_after:
            trainee = _Stopped(method, stop_after)
            try:
                fit(trainee, self._run(folder), fabric)
            except KeyboardInterrupt:
                loop.stop.clear()
                method = self.method()
            else:
                raise Broken("the training did not stop when it was told to")
        with redirect_stderr(io.StringIO()):  # it would say that it goes on
            fit(PretrainTrainee(method), self._run(folder), fabric)
        if not stop_after:
            save_method(method, self.store.folder(self.step))
            self.exported.update(method.export())
        return {n: v.clone() for n, v in method.state_dict().items()}


class _Stopped(PretrainTrainee):
    """Is told to save and leave, as by Ctrl-C, after some steps."""

    def __init__(self, method: Method, steps: int) -> None:
        super().__init__(method)
        self.left = steps

    def before_step(self, ctx: Context) -> None:
        super().before_step(ctx)
        self.left -= 1
        if not self.left:
            loop.stop.set()
