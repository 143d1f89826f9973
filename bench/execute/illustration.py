"""Images of what a pretrained method makes of its data: `bench show KEY --images`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from bench.adapters.loading import load_adapter
from bench.api import Batch, Context, Draws, Illustration, Method, seeded
from bench.data.opening import open_dataset
from bench.encoders.build import fields_of
from bench.encoders.files import check_state, packed_specs
from bench.errors import ConfigError, DataError
from bench.execute.device import make_fabric
from bench.execute.pretraining import STATE, build_method, make_run
from bench.files import sha256_file, write_atomic
from bench.grid.plan import Step
from bench.grid.registry import config_dirs
from bench.records.record import read_record
from bench.records.store import Store
from bench.show import find_step

BATCHES = 8  # of the training; the scalars are means over them, the sheet shows the first
COLUMNS = 8  # samples on the sheet
SIDE = 96  # pixels; smaller images are enlarged by a whole factor
HEADING = 13  # pixels
READING = {"data_workers": 0, "checkpoint_s": 0.0}  # resources of a step, here without effect


def illustrate(key: str, root: Path, out: Path, folders: Sequence[str] = ()) -> str:
    """Write a sheet of images that a pretrained method makes of its pretraining data.

    Everything is drawn from the seed of the step: the same samples and images each time.

    Args:
        key: of a step of pretraining.
        root: the store.
        out: folder of the sheet.
        folders: of adapters outside the project.

    Returns:
        The path of the sheet, and a line for each scalar of the method.

    Raises:
        ConfigError: no such step, not one of pretraining, or its method has no images to show.
        DataError: state or data are missing or damaged.
    """
    folder = find_step(root, key)
    if folder is None:
        raise ConfigError(f'no step with key "{key}" in {root}; bench status lists keys')
    if not (folder / "record.json").is_file():
        raise ConfigError(f"{folder.name} is not done; run the same command again to finish it")
    record = read_record(folder / "record.json")
    if record["kind"] != "pretrain":
        before = ", ".join(str(name) for name in record["inputs"])
        raise ConfigError(f"{key} is a {record['kind']} step, not one of pretraining; it follows {before}")
    dirs = tuple(str(d) for d in config_dirs(folders)[1:])
    spec = record["spec"]
    adapter = load_adapter(spec["adapter"], dirs, spec.get("source", ""))
    if adapter.illustrate is Method.illustrate:
        raise ConfigError(f"{spec['name']} has no images to show: {spec['adapter']} defines no illustrate()")
    if not spec["data"]:
        raise ConfigError(f"{spec['name']} has no images to show: it is trained on no data")
    shown, scalars = _run(record, folder, Store(root), dirs)
    path = out / f"{folder.name}.png"
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


def sheet(rows: Mapping[str, Tensor]) -> bytes:
    """Draw images of samples below each other; return a PNG.

    Args:
        rows: by title, (N, 3, H, W) in [0, 1] each, of any sizes.

    Raises:
        ConfigError: a row is of another shape, out of range, or there is none.
    """
    check_images(rows)
    side = max(max(row.shape[-2:]) for row in rows.values())
    times = -(-SIDE // side)
    tiles = {name: _tiles(row[:COLUMNS], times) for name, row in rows.items()}
    width = max(sum(tile.width + 1 for tile in row) for row in tiles.values())
    height = sum(row[0].height + 1 + HEADING for row in tiles.values())
    page = Image.new("RGB", (width, height), "white")
    draw, y = ImageDraw.Draw(page), 0
    for title, row in tiles.items():
        draw.text((2, y), title, fill="black")
        for k, tile in enumerate(row):
            page.paste(tile, (k * (tile.width + 1), y + HEADING))
        y += row[0].height + 1 + HEADING
    stream = io.BytesIO()
    page.save(stream, format="PNG")
    return stream.getvalue()


def check_images(rows: Mapping[str, Tensor]) -> None:
    """Make sure that images can be drawn.

    Raises:
        ConfigError: there is none, or one is of another shape or out of range.
    """
    if not rows:
        raise ConfigError("illustrate() returns no images")
    for name, row in rows.items():
        if row.ndim != 4 or row.shape[1] != 3 or not row.numel():
            raise ConfigError(
                f'illustrate(): images "{name}" have shape {tuple(row.shape)}, not (N, 3, H, W)'
            )
        if not bool(((row >= 0) & (row <= 1)).all()):
            raise ConfigError(f'illustrate(): images "{name}" hold values outside [0, 1]')


def _tiles(images: Tensor, times: int) -> list[Image.Image]:
    enlarged = F.interpolate(images.detach().float().cpu(), scale_factor=float(times), mode="nearest")
    arrays = (enlarged * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [Image.fromarray(array) for array in arrays]
