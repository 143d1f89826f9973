"""Sheets of a cell's best, median and worst test samples: `bench show KEY --images` of a score step."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.api import Stats, Task
from bench.data.opening import open_dataset
from bench.dataset import MODALITIES
from bench.errors import ConfigError, DataError
from bench.execute.bounds import defines
from bench.execute.finetuning import PREDICTIONS, build_task, labelled_rows
from bench.execute.predictions import read_chunks
from bench.execute.scoring import SCORES
from bench.execute.sheets import sheet
from bench.files import sha256_file
from bench.records.record import read_record
from bench.records.store import Store
from bench.show import find_step

CHUNK = 64  # samples whose metric is asked for at once
BEST, MEDIAN, WORST = 3, 2, 3  # samples on a sheet
SMALL_BYTES = 60_000  # of a sheet within a page
SMALL_WIDTH = 800  # pixels
QUALITIES = (85, 75, 65, 50)  # of JPEG, tried in turn

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def sample_sheet(record: Mapping[str, Any], folder: Path, root: Path, dirs: tuple[str, ...]) -> bytes:
    """Draw the samples of a cell that its primary metric finds best, in the middle, and worst; a PNG.

    Args:
        record: of a score step.
        folder: of that step.
        root: the store.
        dirs: folders of adapters outside the project.

    Raises:
        ConfigError: the task draws nothing, or its drawings are no images.
        DataError: predictions, scores or data are not in this store, or are damaged.
    """
    prediction, place = _before(record, 0, root)
    cell, _ = _before(prediction, 0, root)
    spec = cell["spec"]
    test = open_dataset(prediction["spec"]["data"], Store(root).data, dirs)
    task = build_task(spec, test, dirs)
    if not defines(task, "draw"):
        raise ConfigError(f"{spec['task']} has no images to show: {spec['adapter']} defines no draw()")
    scores, predictions = _file(folder, SCORES, record), _file(place, PREDICTIONS, prediction)
    with np.load(scores, allow_pickle=False) as stored:
        rows = {name: stored[name] for name in stored.files if name != "cluster"}
    values = qualities(task, rows)
    values[np.setdiff1d(np.arange(len(test)), labelled_rows(test, task))] = np.nan
    chosen = choose_samples(values, higher=task.metrics[0].higher_is_better)
    if not chosen:
        raise ConfigError(
            f"{spec['task']} has no images to show: {task.metrics[0].name} of no sample is a number"
        )
    picked = np.array([row for _, row in chosen])
    drawn = task.draw(
        _picked(predictions, picked),
        test.batch(picked, (*task.targets, *task.extras)),
        test.batch(picked, [MODALITIES[name] for name in spec["inputs"]]),
    )
    words = [f"{word} {values[row]:.3g}" for word, row in chosen]
    return sheet({title: _tensor(title, row, len(chosen)) for title, row in drawn.items()}, words)


def qualities(task: Task, rows: Stats) -> Floats:
    """Return the primary metric of every sample alone, (N,); NaN where it is no finite number.

    Args:
        task: whose rows they are.
        rows: of `score_samples`.
    """
    count, name = len(next(iter(rows.values()))), task.metrics[0].name
    found = []
    for first in range(0, count, CHUNK):
        own = {key: values[first : first + CHUNK] for key, values in rows.items()}
        here = len(next(iter(own.values())))
        with np.errstate(all="ignore"):  # metrics that one sample does not determine
            found.append(np.asarray(task.aggregate(own, np.eye(here))[name], np.float64))
    values: Floats = np.concatenate(found)
    return np.where(np.isfinite(values), values, np.nan)


def choose_samples(values: Floats, *, higher: bool) -> list[tuple[str, int]]:
    """Return words and rows of samples, best first; the earlier one where several are equally good.

    >>> choose_samples(np.array([0.3, np.nan, 0.9, 0.1]), higher=True)
    [('best', 2), ('best', 0), ('best', 3)]
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(-values[known] if higher else values[known], kind="stable")]
    best, rest = order[:BEST], order[BEST:]
    worst = rest[max(0, len(rest) - WORST) :]
    between = rest[: len(rest) - len(worst)]
    start = max(0, (len(order) - MEDIAN + 1) // 2 - len(best))
    middle = between[start : start + MEDIAN]
    parts = (("best", best), ("median", middle), ("worst", worst))
    return [(word, int(row)) for word, part in parts for row in part]


def small_sheet(page: bytes) -> bytes:
    """Return a sheet as a JPEG of at most `SMALL_BYTES`."""
    image = Image.open(io.BytesIO(page)).convert("RGB")
    image.thumbnail((SMALL_WIDTH, 4 * SMALL_WIDTH))
    while True:
        for quality in QUALITIES:
            stream = io.BytesIO()
            image.save(stream, format="JPEG", quality=quality, optimize=True)
            if stream.tell() <= SMALL_BYTES:
                return stream.getvalue()
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def small_sheets(
    keys: Sequence[str], root: Path, dirs: tuple[str, ...]
) -> tuple[dict[str, bytes], list[str]]:
    """Return small sheets of cells by key, and a line for each that has none.

    Args:
        keys: of score steps.
        root: the store.
        dirs: folders of adapters outside the project.
    """
    found, problems = {}, []
    for key in keys:
        folder = find_step(root, key)
        assert folder is not None
        try:
            record = read_record(folder / "record.json")
            found[key] = small_sheet(sample_sheet(record, folder, root, dirs))
        except (ConfigError, DataError) as error:
            problems.append(f"no sheet of {folder.name}: {error}")
    return found, problems


def _before(record: Mapping[str, Any], number: int, root: Path) -> tuple[dict[str, Any], Path]:
    """Return the record and the folder of what a step was computed from."""
    key = str(record["inputs"][number])
    folder = find_step(root, key)
    if folder is None or not (folder / "record.json").is_file():
        raise DataError(
            f"step {key}, which {record['key']} was computed from, is not in {root}; images need the "
            "predictions, which only the store has that computed them"
        )
    return read_record(folder / "record.json"), folder


def _file(folder: Path, name: str, record: Mapping[str, Any]) -> Path:
    path = folder / name
    if not path.is_file() or sha256_file(path) != record["files"].get(name):
        raise DataError(f"{path} is missing or damaged; delete its folder and run again")
    return path


def _picked(path: Path, rows: Rows) -> Stats:
    """Return the stored predictions of some samples, in their order, with the memory of one chunk."""
    found: dict[int, Stats] = {}
    done = 0
    for chunk in read_chunks(path):
        count = len(next(iter(chunk.values())))
        found |= {
            int(row): {name: values[row - done] for name, values in chunk.items()}
            for row in rows
            if done <= row < done + count
        }
        done += count
    if len(found) != len(set(rows.tolist())):
        raise DataError(f"{path} holds {done} predictions, fewer than there are test samples; run again")
    return {name: np.stack([found[int(row)][name] for row in rows]) for name in found[int(rows[0])]}


def _tensor(title: str, row: NDArray[np.uint8], count: int) -> torch.Tensor:
    """Return images as a sheet takes them, (n, 3, H, W) in [0, 1].

    Raises:
        ConfigError: they are no images, or not one per sample.
    """
    if row.dtype != np.uint8 or row.ndim != 4 or (len(row), row.shape[3]) != (count, 3):
        raise ConfigError(f'draw(): "{title}" is {row.dtype} {row.shape}, not uint8 ({count}, H, W, 3)')
    return torch.from_numpy(np.ascontiguousarray(row)).permute(0, 3, 1, 2).float() / 255
