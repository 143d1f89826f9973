"""The small grid on which adapters are checked, and its rendered data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import ConfigError
from bench.execute.data_jobs import prepare, specs_of_step
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store

BATCH = 8
FEW = {"train": 16, "val": 8, "test": 16}


def _braces(values: Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"


SMALL = (
    "preset.size=48",
    "preset.pretrain.mixes.body.samples={lab_rgbd: 16, wild_rgb: 8}",
    "preset.pretrain.mixes.hand.samples={lab_hands: 24}",
    "preset.pretrain.samples_seen=96",
    f"preset.pretrain.batch={BATCH}",
    f"preset.finetune.samples={_braces(FEW)}",
    "preset.finetune.steps=4",
    f"preset.finetune.batch={BATCH}",
    "preset.finetune.evaluations=1",
)


SHORT = (*SMALL, "preset.pretrain.samples_seen=48")


def method_stages(name: str, config_dirs: Sequence[str], overrides: Sequence[str] = SMALL) -> list[Step]:
    """Return the stages of a method in the order in which they train.

    Raises:
        ConfigError: no such method, a wrong YAML, or no encoder that it can use.
    """
    words = Words(methods=name, tasks="densepose", config_dirs=tuple(config_dirs), overrides=tuple(overrides))
    cell = expand(resolve(words)).cells[0]
    if cell.step is None:
        raise ConfigError(f"method {name}: {cell.reason}")
    return [step for step in cell.step.ancestors() if step.kind == "pretrain"]


def method_gives(name: str, config_dirs: Sequence[str]) -> list[str]:
    """Return what the YAML of a method says that it exports."""
    words = Words(methods=name, tasks="densepose", config_dirs=tuple(config_dirs))
    return list(resolve(words).methods[name]["gives"])


def task_cells(name: str, config_dirs: Sequence[str]) -> list[Step]:
    """Return the score steps of a task, one per kind of encoder that the preset has.

    Raises:
        ConfigError: no such task, or a wrong YAML.
    """
    words = Words(methods="scratch", tasks=name, config_dirs=tuple(config_dirs), overrides=SMALL)
    request = resolve(words)
    encoders = ",".join(map(str, request.preset["encoders"].values()))
    (task,) = request.tasks.values()
    if task["samples"] != FEW:  # it names its own
        few = f"++task.{task['name']}.data.{task['dataset']}.samples={_braces(FEW)}"
        words = replace(words, overrides=(*words.overrides, few))
    plan = expand(resolve(replace(words, encoders=encoders)))
    return [cell.step for cell in plan.cells if cell.step]


def task_probes(name: str, config_dirs: Sequence[str]) -> dict[str, str]:
    """Return the frozen protocols that the YAML of a task names, and what each reads."""
    words = Words(methods="scratch", tasks=name, config_dirs=tuple(config_dirs))
    (task,) = resolve(words).tasks.values()
    return dict(task["probes"])


def prepared(steps: Sequence[Step], root: Path, config_dirs: Sequence[str]) -> Store:
    """Make the data that steps read; return their store."""
    store = Store(root)
    prepare([spec for step in steps for spec in specs_of_step(step)], store.data, 1, config_dirs)
    return store
