"""Checks of a method: each of its stages, two processes, and what it hands to the tasks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor

from bench.adapter_kit import two_processes
from bench.adapter_kit.finding import Check, ContractViolation, NotApplicable
from bench.adapter_kit.setting import SHORT, method_stages
from bench.adapter_kit.stage import Stage
from bench.api import Encoder, seeded
from bench.bodymodels.joints import JOINT_SETS
from bench.encoders import load_encoder
from bench.encoders.image import ImageEncoder
from bench.encoders.modules import load_module
from bench.errors import AssetError
from bench.execute.pretraining import STATE, build_method, save_method, untrained_info
from bench.execute.site import ALONE
from bench.grid.plan import Step
from bench.records.store import Store

GROUPS = (1, 2)  # parts of a batch, in the check of two processes


@dataclass(kw_only=True)
class Stages:
    """The stages of one method, with data; a stage goes on from what the one before has left."""

    name: str  # of the method; the names of its stages may be another one's (`use`)
    steps: Sequence[Step]
    gives: Sequence[str]  # what its YAML says that it exports
    store: Store
    config_dirs: tuple[str, ...]
    exported: dict[str, Encoder] = field(default_factory=dict)  # by the last stage
    learned: set[str] = field(default_factory=set)  # modalities whose encoders some stage has changed

    def checks(self) -> Iterator[Check]:
        """Yield the checks by name."""
        trained = [step for step in self.steps if step.spec["data"]]
        if not trained:
            yield "weights", self._initialised
        for step in trained:
            stage = Stage(
                step=step,
                store=self.store,
                config_dirs=self.config_dirs,
                exported=self.exported,
                learned=self.learned,
            )
            mark = f" ({step.spec['name']})" if len(trained) > 1 else ""
            yield from ((name + mark, check) for name, check in stage.checks())
        if trained:
            yield "two processes agree", self._two_processes
        yield "export", self._export

    def _initialised(self) -> None:
        """Bring weights from outside, if they are there."""
        step = self.steps[0]
        method = build_method(step.spec, untrained_info(step.spec), self.config_dirs)
        try:
            method.initialise()
        except AssetError as error:
            raise NotApplicable(str(error)) from None
        save_method(method, self.store.folder(step))
        self.exported.update(method.export().encoders)

    def _two_processes(self) -> None:
        """Let two processes that share each batch train as one does, to rounding."""
        root = self.store.root
        stages = [s for s in method_stages(self.name, self.config_dirs, SHORT) if s.spec["data"]]
        two_processes.train_stages(stages, root, GROUPS, self.config_dirs)
        two_processes.train_together(stages, root, GROUPS, self.config_dirs)
        teams = (ALONE, *two_processes.TEAM)
        for step, groups in itertools.product(stages, GROUPS):
            files = [two_processes.file(root, step, groups, team) for team in teams]
            states = [torch.load(file, weights_only=True) for file in files]
            for difference in two_processes.differences(*states):
                raise ContractViolation(
                    f"{step.spec['name']}, groups={groups}: {difference}; means and negatives of a batch go "
                    "through ctx.group, random numbers of rows through ctx.draws"
                )

    def _export(self) -> None:
        """Reload what is handed to the tasks, here and in plain timm."""
        folder = self.store.folder(self.steps[-1])
        if not (folder / STATE).is_file():
            raise NotApplicable("the stages before have not come to their end")
        if self.steps[-1].spec["data"] and not self.learned:
            raise ContractViolation(
                "training changes no parameter of an encoder, and tasks get encoders alone; are they frozen?"
            )
        found = sorted(path for path in (folder / "encoders").glob("*") if path.is_dir())
        modules = sorted(path.stem for path in (folder / "modules").glob("*.json"))
        given = [*(path.name for path in found), *modules]
        if sorted(given) != sorted(self.gives):
            wanted = ", ".join(self.gives)
            raise ContractViolation(
                f"export() gives {', '.join(given) or 'nothing'}, the YAML says gives: [{wanted}]"
            )
        for name in modules:
            load_module(name, folder / "modules", self.config_dirs)
        for path in found:
            encoder = load_encoder(path, config_dirs=self.config_dirs).eval()
            x = example(path.name, str(encoder.spec["joint_set"] or ""))
            trained = self.exported.get(path.name)
            with torch.no_grad():
                if trained and not torch.equal(trained.eval()(x).pooled, encoder(x).pooled):
                    raise ContractViolation(f"the encoder of {path.name} gives other features after a reload")
                if isinstance(encoder, ImageEncoder):
                    _reload_in_timm(encoder, path, x)


def example(modality: str, joint_set: str) -> Tensor:
    """Return an input of an encoder, two samples."""
    generator = seeded("contract", modality)
    if modality == "kp2d":
        return 2 * torch.rand(2, len(JOINT_SETS[joint_set].names), 2, generator=generator) - 1
    image = torch.rand(2, 3 if modality == "rgb" else 1, 48, 48, generator=generator)
    return image if modality == "rgb" else image + 1


def _reload_in_timm(encoder: ImageEncoder, folder: Path, x: Tensor) -> None:
    card = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
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
        raise ContractViolation(
            f"timm's {card['timm']['name']} gives other features with the exported weights"
        )
