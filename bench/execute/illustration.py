"""Images of what a step has made: `bench show KEY --images`.

Of a pretrained method what it makes of its data, of a cell its test samples (`bench.execute.samples`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bench.adapters.loading import load_adapter
from bench.api import Batch, Context, Draws, Illustration, Method, seeded
from bench.data.opening import open_dataset
from bench.encoders.build import fields_of
from bench.encoders.files import check_state, packed_specs
from bench.errors import ConfigError, DataError
from bench.execute.device import make_fabric
from bench.execute.pretraining import STATE, build_method, make_run
from bench.execute.samples import sample_sheet
from bench.execute.sheets import sheet
from bench.files import sha256_file, write_atomic
from bench.grid.plan import Step
from bench.grid.registry import config_dirs
from bench.records.record import read_record
from bench.records.store import Store
from bench.show import find_step

BATCHES = 8  # of the training; the scalars are means over them, the sheet shows the first
READING = {"data_workers": 0, "checkpoint_s": 0.0}  # resources of a step, here without effect


def illustrate(key: str, root: Path, out: Path, folders: Sequence[str] = ()) -> str:
    """Write a sheet of images: what a pretrained method makes of its data, or a cell of its test samples.

    Everything is drawn from the seed of the step: the same samples and images each time.

    Args:
        key: of a step of pretraining or of a score step.
        root: the store.
        out: folder of the sheet.
        folders: of adapters outside the project.

    Returns:
        The path of the sheet, and of a method a line for each of its scalars.

    Raises:
        ConfigError: no such step, one of another kind, or its method or task has no images to show.
        DataError: state or data are missing or damaged.
    """
    folder = find_step(root, key)
    if folder is None:
        raise ConfigError(f'no step with key "{key}" in {root}; bench status lists keys')
    if not (folder / "record.json").is_file():
        raise ConfigError(f"{folder.name} is not done; run the same command again to finish it")
    record = read_record(folder / "record.json")
    dirs = tuple(str(d) for d in config_dirs(folders)[1:])
    path = out / f"{folder.name}.png"
    if record["kind"] == "score":
        write_atomic(path, sample_sheet(record, folder, root, dirs))
        return str(path)
    if record["kind"] != "pretrain":
        before = ", ".join(str(name) for name in record["inputs"])
        raise ConfigError(
            f"{key} is a {record['kind']} step, not one of pretraining or a score step; it follows {before}"
        )
    spec = record["spec"]
    adapter = load_adapter(spec["adapter"], dirs, spec.get("source", ""))
    if adapter.illustrate is Method.illustrate:
        raise ConfigError(f"{spec['name']} has no images to show: {spec['adapter']} defines no illustrate()")
    if not spec["data"]:
        raise ConfigError(f"{spec['name']} has no images to show: it is trained on no data")
    shown, scalars = _run(record, folder, Store(root), dirs)
    write_atomic(path, sheet(shown.images))
    width = max((len(name) for name in scalars), default=0)
    return "\n".join([str(path), *(f"{name:<{width}}  {value:.4f}" for name, value in scalars.items())])


def _run(
    record: Mapping[str, Any], folder: Path, store: Store, dirs: tuple[str, ...]
) -> tuple[Illustration, dict[str, float]]:
    """Return what the method makes of its first batch, and the means of its scalars over some batches."""
    spec = record["spec"]
    fabric = make_fabric(spec, "auto")
    data = open_dataset(spec["data"], store.data, dirs)
    method = load_method(record, folder, data.info, dirs).to(fabric.device).eval()
    steps = int(spec["train"]["steps"])
    run = make_run(Step("pretrain", spec, (), READING), data, folder, fabric, fields_of(method))
    raw = run.batches(0)
    found = []
    for number in range(min(BATCHES, steps)):
        draws = [Draws(generator=seeded(spec["seed"], stream, number)) for stream in ("augment", "show")]
        batch: Batch = run.prepare(next(raw), draws[0])
        ctx = Context(
            step=int(spec["train"]["steps"]), total_steps=int(spec["train"]["steps"]), draws=draws[1]
        )
        with torch.no_grad(), fabric.autocast():
            found.append(method.illustrate(batch, ctx))
    names = found[0].scalars
    means = {n: sum(float(each.scalars[n]) for each in found) / len(found) for n in names}
    return found[0], means


def load_method(record: Mapping[str, Any], folder: Path, info: Any, dirs: Sequence[str] = ()) -> Method:
    """Rebuild a trained stage with its whole state.

    Args:
        record: of the step.
        folder: of the step.
        info: of the data, `bench.api.DataInfo`.
        dirs: folders of adapters outside the project.

    Raises:
        DataError: the state is missing or damaged, or does not fit.
    """
    path = folder / STATE
    if not path.is_file() or sha256_file(path) != record["files"].get(STATE):
        raise DataError(f"{path} is missing or damaged; run the pretraining step again")
    method = build_method(record["spec"], info, tuple(dirs), packed_specs(path))
    state = load_file(path)
    check_state(state, method.state_dict(), path)
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"{path} does not fit its method: {' '.join(str(error).split())}") from error
    return method
