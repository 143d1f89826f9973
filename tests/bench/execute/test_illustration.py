from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bench.cli.main import main
from bench.errors import ConfigError
from bench.execute.data_jobs import prepare, specs_of_step
from bench.execute.pretraining import pretrain
from bench.execute.sheets import HEADING, sheet
from bench.execute.site import RunContext
from bench.grid.plan import Step, expand
from bench.grid.request import Words, resolve
from bench.records.store import Store

SMALL = (
    "preset.size=48",
    "preset.pretrain.mixes.body.samples={lab_rgbd: 8, wild_rgb: 8}",
    "preset.pretrain.samples_seen=32",
    "preset.pretrain.batch=8",
)


def trained(method: str, store: Store) -> Step:
    """Pretrain the first stage of a method for some steps; return it."""
    plan = expand(resolve(Words(methods=method, tasks="densepose", overrides=SMALL)))
    step = next(step for step in plan.steps if step.kind == "pretrain")
    prepare(specs_of_step(step), store.data, 1, ())
    store.folder(step).mkdir(parents=True)
    body = pretrain(step, store, RunContext(store=str(store.root), accelerator="cpu"))
    store.finish(step, {**body, "spec": dict(step.spec), "inputs": []})
    return step


def show(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["show", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_trained_method_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    step = trained("croco_body", store)
    written = []
    for folder in ("one", "two"):
        code, said, error = show(
            step.key[:8], "--images", "--out", str(tmp_path / folder), "--store", str(store.root)
        )
        assert (code, error) == (0, "")
        path, *scalars = said.splitlines()
        assert len(scalars) == 3 and all(0 < float(line.split()[-1]) < 3 for line in scalars)
        written.append(Path(path).read_bytes())
    assert written[0] == written[1]
    page = Image.open(io.BytesIO(written[0]))
    assert page.size == (8 * 97, 6 * (97 + HEADING))  # six rows of 48 pixels, twice as large

    before = store.folder(step) / "state.safetensors"
    before.write_bytes(before.read_bytes()[:-4])
    code, said, error = show(step.key, "--images", "--out", str(tmp_path), "--store", str(store.root))
    assert code and not said and "state.safetensors is missing or damaged" in error and error.count("\n") == 1


def test_what_has_no_images_is_named_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan = expand(resolve(Words(methods="cmc", tasks="densepose", overrides=SMALL)))
    for step in plan.steps:
        body = {"curve": [], "facts": {}, "manifests": {}, "labels": {}, "files": {}, "cost": {}}
        body |= {"provenance": {}, "selection": {}}
        if step.kind in ("pretrain", "finetune"):
            store.finish(step, {**body, "spec": dict(step.spec), "inputs": [i.key for i in step.inputs]})
    first, *_, tuned = [step for step in plan.steps if step.kind in ("pretrain", "finetune")]
    for key, part in (
        ("zzzz", "no step with key"),
        (first.key, "defines no illustrate()"),
        (tuned.key, "is a finetune step, not one of pretraining or a score step; it follows"),
    ):
        code, said, error = show(key, "--images", "--out", str(tmp_path / "out"), "--store", str(tmp_path))
        assert (code, said, error.count("\n")) == (2, "", 1) and part in error
    assert show("cmc", "--out", "x")[0] == 2


def test_a_sheet_shows_every_row_at_its_place() -> None:
    values = torch.rand(2, 3, 50, 40)
    page = np.asarray(Image.open(io.BytesIO(sheet({"a": values, "b": 1 - values}))))
    assert page.shape == (2 * (101 + HEADING), 2 * 81, 3)  # enlarged twice
    second = page[101 + 2 * HEADING :][:100:2, 81:161:2]
    assert np.abs(second / 255 - (1 - values[1]).permute(1, 2, 0).numpy()).max() < 0.5 / 255 + 1e-6
    for wrong in (values[:, :2], values + 1, values * torch.nan):
        with pytest.raises(ConfigError, match="illustrate"):
            sheet({"a": values, "b": wrong})
    with pytest.raises(ConfigError, match="no images"):
        sheet({})
