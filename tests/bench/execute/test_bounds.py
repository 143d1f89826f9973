"""Floor and ceiling in the records of cells, and sheets of their samples, of the task template."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.adapter_kit.scaffold import write
from bench.adapter_kit.setting import SMALL
from bench.api import Task
from bench.cli.main import main
from bench.data.opening import open_dataset
from bench.dataset import Field
from bench.execute import bounds, job
from bench.execute.data_jobs import prepare, specs_of_step
from bench.execute.finetuning import build_task
from bench.execute.samples import SMALL_BYTES, choose_samples, qualities, small_sheet, small_sheets
from bench.execute.sheets import HEADING
from bench.execute.site import RunContext
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store

SAMPLES = 16


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Step], Store, tuple[str, ...]]:
    """Return the score steps of a task at two shares of its labels, done, their store, and its folder."""
    folder = tmp_path_factory.mktemp("task")
    write("task", "bounded", folder)
    dirs, store = (str(folder),), Store(folder / "store")
    words = Words(
        methods="scratch", tasks="bounded", fractions="0.5,1", config_dirs=dirs, overrides=SMALL
    )  # fmt: skip
    steps = [cell.step for cell in expand(resolve(words)).cells if cell.step]
    prepare([spec for step in steps for spec in specs_of_step(step)], store.data, 1, dirs)
    for step in steps:
        assert (
            job.ensure(step, RunContext(store=str(store.root), config_dirs=dirs, accelerator="cpu")) == "done"
        )
    return steps, store, dirs


def found(step: Step, store: Store) -> dict[str, Any]:
    record = store.record(step)
    assert record is not None
    return record


def test_cells_of_all_shares_have_the_floor_of_all_labels_and_one_ceiling(
    cells: tuple[list[Step], Store, tuple[str, ...]],
) -> None:
    steps, store, dirs = cells
    fewer, whole = (found(step, store) for step in steps)
    assert fewer["bounds"] == whole["bounds"] and set(whole["bounds"]) == {"floor", "ceiling"}
    assert len(list((store.root / bounds.FOLDER).iterdir())) == 1
    data = steps[0].inputs[0].inputs[0].spec["data"]["train"]
    train = open_dataset(data, store.data, dirs)
    test = open_dataset(steps[0].inputs[0].spec["data"], store.data, dirs)
    usual = train.batch(np.arange(len(train)), ("mask",))["mask"].mean(0) > 0.5
    truth = test.batch(np.arange(len(test)), ("mask",))["mask"]
    expected = 100 * (truth & usual).sum() / (truth | usual).sum()
    assert whole["bounds"]["floor"] == {"iou": pytest.approx(expected)}
    assert expected < whole["bounds"]["ceiling"]["iou"] < 100


def test_bounds_are_measured_once_and_damaged_ones_anew(
    cells: tuple[list[Step], Store, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, store, dirs = cells
    cell = steps[0].inputs[0].inputs[0]
    test = open_dataset(steps[0].inputs[0].spec["data"], store.data, dirs)
    measured: list[str] = []
    scored = bounds._scored

    def counted(task: Task, data: Any, what: str, predict: Any) -> dict[str, float]:
        measured.append(what)
        return scored(task, data, what, predict)

    monkeypatch.setattr(bounds, "_scored", counted)
    site = RunContext(store=str(store.root), config_dirs=dirs)
    task = build_task(cell.spec, test, dirs)
    first = bounds.bounds(cell, steps[0], task, test, store, site)
    assert not measured
    (path,) = (store.root / bounds.FOLDER).iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    assert bounds.bounds(cell, steps[0], task, test, store, site) == first == json.loads(path.read_text())
    assert measured == ["floor", "ceiling"]


def test_a_floor_is_made_of_as_many_labels_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"mask": Field(dtype="bool", shape=(10, 10)), "depth": Field(dtype="uint16", shape=(10, 10))}
    monkeypatch.setattr(bounds, "SEEN_BYTES", 900)
    rows = np.arange(100, 130)
    assert bounds.seen_rows(rows, fields, ("mask", "depth")).tolist() == [100, 110, 120]
    assert bounds.seen_rows(rows[:3], fields, ("mask", "depth")).tolist() == [100, 101, 102]
    assert len(bounds.seen_rows(rows, fields, ("mask",))) == 9


def test_a_sheet_shows_best_median_and_worst_samples(
    cells: tuple[list[Step], Store, tuple[str, ...]], tmp_path: Path
) -> None:
    (step, _), store, dirs = cells
    words = ["show", step.key[:8], "--images", "--out", str(tmp_path), "--store", str(store.root)]
    result = CliRunner().invoke(main, [*words, "--config-dir", dirs[0]])
    assert (result.exit_code, result.stderr) == (0, "")
    page = np.asarray(Image.open(result.stdout.strip()))
    assert page.shape == (HEADING + 3 * (97 + HEADING), 8 * 97, 3)  # three rows of 48 pixels, twice as large

    test = open_dataset(step.inputs[0].spec["data"], store.data, dirs)
    task = build_task(step.inputs[0].inputs[0].spec, test, dirs)
    truth = test.batch(np.arange(SAMPLES), ("mask",))["mask"]
    with np.load(store.folder(step.inputs[0]) / "predictions.npz") as file:
        predicted = file["000000/mask"]
    values = [100 * (p & t).sum() / max(1, (p | t).sum()) for p, t in zip(predicted, truth, strict=True)]
    assert qualities(task, task.score_samples({"mask": predicted}, {"mask": truth})) == pytest.approx(values)
    order = np.argsort(-np.array(values), kind="stable")
    for column, row in enumerate([*order[:3], *order[7:9], *order[-3:]]):
        left = 97 * column
        for number, mask in enumerate((truth[row], predicted[row]), start=1):
            top = 2 * HEADING + number * (97 + HEADING)
            assert ((page[top : top + 96 : 2, left : left + 96 : 2, 0] > 0) == mask).all()

    small, problems = small_sheets([step.key], store.root, dirs)
    assert not problems and len(small[step.key]) <= SMALL_BYTES
    (store.folder(step.inputs[0]) / "predictions.npz").unlink()
    small, (problem,) = small_sheets([step.key], store.root, dirs)
    assert not small and "predictions.npz is missing" in problem
    failed = CliRunner().invoke(main, [*words, "--config-dir", dirs[0]])
    assert failed.exit_code and "predictions.npz is missing" in failed.stderr


def test_samples_without_a_number_are_never_chosen() -> None:
    values = np.array([np.nan, 5, 1, 4, np.nan, 2, 3, 0, 6, 7])
    chosen = choose_samples(values, higher=False)
    assert chosen == [
        *(("best", row) for row in (7, 2, 5)), *(("median", row) for row in (6, 3)),
        *(("worst", row) for row in (1, 8, 9)),
    ]  # fmt: skip
    assert choose_samples(np.full(3, np.nan), higher=True) == []
    for count in range(1, 20):
        picked = [row for _, row in choose_samples(np.arange(count, dtype=float), higher=True)]
        assert len(set(picked)) == len(picked) == min(8, count) and picked == sorted(picked, reverse=True)


def test_a_small_sheet_keeps_its_promise_for_noise() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 1800, 3), dtype=np.uint8))
    stream = io.BytesIO()
    noise.save(stream, format="PNG")
    assert len(small_sheet(stream.getvalue())) <= SMALL_BYTES
