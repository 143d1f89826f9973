"""A method and a task from a folder outside the project, one Python file and one YAML each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import bench as api
from bench.encoders import build_encoder
from bench.encoders.image import ImageEncoder
from bench.errors import AssetError
from bench.grid.registry import BUILT_IN, load

Bench = Callable[..., subprocess.CompletedProcess[str]]

METHOD = '''
"""Regress the mean colour of the image: a pretraining that anyone can read in a minute."""

from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

from bench.api import Method, StepOutput

import helpers


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    weight: float = 1.0
    poison_step: int = -1  # from this step on the loss is not a number


class MeanColour(Method):
    Config = Config

    def __init__(self, cfg, encoders, data):
        super().__init__(cfg, encoders, data)
        self.cfg = cfg
        self.mapper = nn.Linear(encoders["rgb"].feature_info.pooled, 3)

    def training_step(self, batch, ctx):
        guess = self.mapper(self.encoders["rgb"](batch["rgb"]).pooled)
        loss = helpers.FACTOR * self.cfg.weight * F.mse_loss(guess, batch["rgb"].mean((2, 3)))
        if 0 <= self.cfg.poison_step <= ctx.step:
            loss = loss * float("nan")
        return StepOutput(terms={"colour": loss})
'''

METHOD_YAML = """
summary: regress the mean colour
paper: null
encoders: {rgb: image}
gives: [rgb]
mix: body
encoder_kinds: [pyramid]
stages:
  colour:
    adapter: mean_colour:MeanColour
    version: 1
    budget_share: 1.0
    config: {weight: 1.0, poison_step: -1}
    train: {optimizer: adamw, lr: 1.0e-3, base_batch: 16, momentum: 0.9, weight_decay: 0.05,
            betas: [0.9, 0.99], schedule: cos_warm_step, warmup: 0.05, clip: 1.0}
    augment: {flip: true}
"""

TASK = '''
"""Tell person from background at every pixel."""

from dataclasses import dataclass

import numpy as np
from torch.nn import functional as F

from bench.api import Metric, Task
from bench.heads import pixel_head
from bench.metrics.weighted import weighted_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    width: int = 16


class Silhouette(Task):
    Config = Config
    targets = ("mask",)
    metrics = (Metric(name="iou"),)

    def head(self, info):
        return pixel_head(info, 1, self.cfg.width)

    def loss(self, out, batch):
        return {"bce": F.binary_cross_entropy_with_logits(out["maps"][:, 0].float(), batch["mask"].float())}

    def predict(self, out, batch):
        return {"mask": (out["maps"][:, 0] > 0).cpu().numpy()}

    def score_samples(self, predicted, truth):
        both = (predicted["mask"] & truth["mask"]).sum((1, 2))
        either = (predicted["mask"] | truth["mask"]).sum((1, 2))
        return {"both": both, "either": either}

    def aggregate(self, rows, weights):
        totals = weighted_sums(rows, weights)
        return {"iou": totals["both"] / np.maximum(1, totals["either"])}
'''

TASK_YAML = """
summary: person or background
paper: null
adapter: silhouette:Silhouette
version: 1
score_version: 1
inputs: [rgb]
data: {people: {source: d_dense}}
config: {width: 16}
augment: {flip: true}
"""


DATASET = '''
"""Grey squares on noise, made in memory: a data set that knows nothing of people or shards."""

from dataclasses import dataclass

import numpy as np

from bench.api import DataInfo, Dataset, Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    grey: int = 200


class Squares(Dataset):
    Config = Config

    @classmethod
    def prepare(cls, specs, root, jobs=1, on_progress=None):
        return 0

    def __init__(self, spec, root):
        (part,) = spec.parts
        self.spec, count = spec, part.samples
        self.info = DataInfo(n_samples=count, size=spec.size, joint_set="")
        self.fields = {
            "rgb": Field(dtype="uint8", shape=(*spec.size, 3), kind="image"),
            "mask": Field(dtype="bool", shape=spec.size, kind="mask"),
        }
        self.ids = [f"{part.split}/{i}" for i in range(count)]
        self.clusters, self.unit = np.arange(count) // 2, "square"
        self.valid = {m: np.full(count, m == "rgb") for m in ("rgb", "depth", "kp2d")}
        self.sources, self.manifest_sha256 = frozenset({f"squares/{part.split}"}), "0" * 64

    def batch(self, rows, fields):
        rows = np.asarray(rows)
        height, width = self.info.size
        found = {"rgb": np.empty((len(rows), height, width, 3), np.uint8),
                 "mask": np.zeros((len(rows), height, width), bool)}
        for k, row in enumerate(rows):
            rng = np.random.default_rng([int(row), len(self.ids[0])])
            top, left = rng.integers(0, height // 2, 2)
            found["mask"][k, top : top + height // 2, left : left + width // 2] = True
            found["rgb"][k] = rng.integers(0, 100, (height, width, 1))
            found["rgb"][k][found["mask"][k]] = self.spec.config["grey"]
        out = {name: found[name] for name in fields}
        return {**out, "sample_id": rows, **{f"valid.{m}": v[rows] for m, v in self.valid.items()}}
'''

DATASET_YAML = """
summary: grey squares
adapter: squares:Squares
version: 1
config: {grey: 200}
default: main
sources: {main: [train, val, test]}
splits: {train: train, val: val, test: test}
"""


ENCODER = '''
"""One convolution: the least that is an encoder."""

from dataclasses import dataclass

import torch
from torch import nn

from bench.api import Encoder, FeatureInfo, Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    width: int = 8


class Conv(Encoder):
    Config = Config

    def __init__(self, cfg, modality, joint_set):
        super().__init__()
        self.conv = nn.Conv2d(3 if modality == "rgb" else 1, cfg.width, 3, 4, 1)
        self.feature_info = FeatureInfo(
            kind="pyramid", channels=(cfg.width,), strides=(4,), pooled=cfg.width
        )

    def forward(self, x):
        found = torch.relu(self.conv(x - 0.5))
        return Features(maps=(found,), pooled=found.mean((2, 3)))
'''

ENCODER_YAML = """
summary: one convolution
kind: pyramid
adapter: conv:Conv
version: 1
config: {width: 8}
pretrained: null
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for group in ("method", "task"):
        (folder / group).mkdir(parents=True)
    (folder / "mean_colour.py").write_text(METHOD)
    (folder / "helpers.py").write_text("FACTOR = 1.0\n")
    (folder / "method" / "mean_colour.yaml").write_text(METHOD_YAML)
    (folder / "silhouette.py").write_text(TASK)
    (folder / "task" / "silhouette.yaml").write_text(TASK_YAML)
    return folder


def test_methods_and_a_task_of_two_folders_run_and_are_known_by_their_code(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    """The second folder has modules of the same names, with a loss a hundred times as large."""
    store, other = tmp_path / "store", tmp_path / "theirs"
    (other / "method").mkdir(parents=True)
    (other / "method" / "hundredfold.yaml").write_text(METHOD_YAML)
    (other / "mean_colour.py").write_text(METHOD)
    (other / "helpers.py").write_text("FACTOR = 100.0\n")
    dirs = ("--config-dir", str(outside), "--config-dir", str(other))
    grid = (
        "--methods",
        "mean_colour,hundredfold,scratch",
        "--tasks",
        "silhouette",
        *dirs,
        "--store",
        str(store),
        *small,
    )
    done = bench("run", *grid, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    records = [json.loads(p.read_text()) for p in store.glob("score/*/record.json")]
    assert {r["labels"]["method"] for r in records} == {"mean_colour", "hundredfold", "scratch"}
    assert all(0 <= r["metrics"][0]["value"] <= 1 for r in records)
    first, second = (
        json.loads(next(store.glob(f"pretrain/{name}.*/record.json")).read_text())["curve"][0]
        for name in ("mean_colour", "hundredfold")
    )
    assert second["loss_colour"] > 10 * first["loss_colour"]
    listed = bench("list", "methods", "--config-dir", str(outside)).stdout
    assert "mean_colour" in listed and "hcmoco" in listed

    def states() -> dict[str, str]:
        cells = json.loads(bench("plan", *grid, "--json").stdout)["cells"]
        return {cell["method"]: cell["state"] for cell in cells}

    all_done = dict.fromkeys(("mean_colour", "hundredfold", "scratch"), "done")
    (other / "helpers.py").write_text("FACTOR = 100.0  # the same\n")
    assert states() == all_done
    (other / "helpers.py").write_text("FACTOR = 300.0\n")
    assert states() == {**all_done, "hundredfold": "missing"}


def test_what_cannot_be_imported_is_said_first_and_fails_its_cells_alone(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("--methods", "scratch", "--tasks", "silhouette", "--config-dir", str(outside), *small)
    (outside / "silhouette.py").write_text("import a_package_that_is_missing\n" + TASK)
    done = bench("run", *words, "--store", str(tmp_path / "s"), "--jobs", "1")
    assert done.returncode == 1 and not list((tmp_path / "s").glob("score/*/record.json"))
    first = done.stderr.splitlines()[0]
    assert "silhouette:Silhouette cannot be imported, its cells will fail: ModuleNotFoundError" in first
    assert list((tmp_path / "s").glob("pretrain/*/record.json"))
    (outside / "silhouette.py").write_text(TASK)
    done = bench("plan", *words, "--store", str(tmp_path / "s"), "task.silhouette.config.width=wide")
    assert done.returncode == 2 and "width: 'wide' is not a whole number" in done.stderr


def test_nan_loss_fails_its_cells_and_no_others(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    words = ("--methods", "mean_colour,scratch", "--tasks", "silhouette", "--config-dir", str(outside))
    poison = "method.mean_colour.stages.colour.config.poison_step=4"
    done = bench("run", *words, "--store", str(store), "--jobs", "1", *small, poison)
    assert done.returncode == 1
    assert "loss is not finite at step 4" in done.stdout and "losses before:" in done.stdout
    assert "1 of 2 cells done" in done.stdout and "Traceback" not in done.stdout + done.stderr
    status = json.loads(bench("status", *words, "--store", str(store), *small, poison, "--json").stdout)
    assert status["counts"] == {"blocked": 1, "done": 1}
    failed = next(store.glob("pretrain/mean_colour*/failure.json"))
    log = bench("logs", failed.parent.name.rpartition("-")[2], "--store", str(store)).stdout
    assert "StepError" in log


def test_a_method_that_ends_the_program_fails_alone(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    """One reads the command line while it is imported, one ends its process in a training."""
    reads = f"import argparse\nargparse.ArgumentParser().parse_args()\n{METHOD}"
    (outside / "reads_words.py").write_text(reads)
    (outside / "dies.py").write_text(
        METHOD.replace("loss = loss * float(", "import os; os.kill(os.getpid(), 9) #")
    )
    for name in ("reads_words", "dies"):
        body = METHOD_YAML.replace("mean_colour:", f"{name}:")
        (outside / "method" / f"{name}.yaml").write_text(body.replace("poison_step: -1", "poison_step: 2"))
    store = tmp_path / "store"
    words = ("--methods", "reads_words,dies,scratch", "--tasks", "silhouette", "--config-dir", str(outside))
    done = bench("run", *words, "--store", str(store), "--jobs", "2", *small)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "1 of 3 cells done" in done.stdout
    assert "reads_words called sys.exit(2) while it was imported" in done.stdout
    assert "killed (SIGKILL)" in done.stdout
    for name in ("reads_words", "dies"):
        assert list(store.glob(f"pretrain/{name}*/failure.json"))
    checked = bench("test-adapter", "reads_words", "--config-dir", str(outside))
    assert "called sys.exit(2)" in checked.stdout + checked.stderr and "Traceback" not in checked.stderr


def test_unknown_key_in_outside_config(bench: Bench, outside: Path, tmp_path: Path) -> None:
    words = ("--methods", "mean_colour", "--tasks", "silhouette", "--config-dir", str(outside))
    wrong = "method.mean_colour.stages.colour.config.wieght=2"
    done = bench("plan", *words, "--store", str(tmp_path / "s"), wrong)
    assert done.returncode == 2
    assert 'Did you mean "method.mean_colour.stages.colour.config.weight"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_data_set_of_the_same_folder_is_chosen_by_its_name(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    """Method, task, encoder, data set and layout of weights from outside: the harness knows none of them."""
    for group in ("dataset", "encoder", "layout"):
        (outside / group).mkdir()
    (outside / "layout" / "mine.yaml").write_text("strip: ['net.']\ndrop: ['aux.*']\nlicence: mine\n")
    known = build_encoder(load(BUILT_IN / "encoder" / "resnet10_w24.yaml", "encoder"), "rgb")
    assert isinstance(known, ImageEncoder)
    state = {f"net.{name}": value for name, value in known.model.state_dict().items()}
    torch.save({**state, "aux": torch.ones(1)}, tmp_path / "w.pth")
    (outside / "encoder" / "conv.yaml").write_text(ENCODER_YAML)
    (outside / "conv.py").write_text(ENCODER)
    (outside / "dataset" / "squares.yaml").write_text(DATASET_YAML)
    (outside / "squares.py").write_text(DATASET)
    words = ("--methods", "mean_colour,scratch", "--tasks", "silhouette@squares,silhouette")
    words += ("--encoders", "conv")
    words += ("--weights", f"given={tmp_path / 'w.pth'},encoder=resnet10_w24,layout=mine")
    place = ("--config-dir", str(outside), "--store", str(tmp_path / "s"))
    done = bench("run", *words, *place, "--jobs", "2", *small, "preset.finetune.steps=30")
    assert done.returncode == 0, done.stderr + done.stdout
    every = [json.loads(p.read_text()) for p in (tmp_path / "s").glob("score/*/record.json")]
    given = [r["labels"] for r in every if r["labels"]["method"] == "given"]
    assert {labels["dataset"] for labels in given} == {"squares", "d_dense"}
    assert {(labels["encoder"], labels["weights"]["licence"]) for labels in given} == {
        ("resnet10_w24", "mine")
    }
    records = [r for r in every if r["labels"]["encoder"] == "conv"]
    found = {(r["labels"]["method"], r["labels"]["dataset"]): r for r in records}
    assert found.keys() == {(m, d) for m in ("mean_colour", "scratch") for d in ("squares", "d_dense")}
    one = found["scratch", "squares"]
    assert one["interval"]["unit"] == "square" and one["interval"]["n_units"] == 24
    assert one["metrics"][0]["value"] > found["scratch", "d_dense"]["metrics"][0]["value"]  # easily told
    encoder = api.load_encoder(one["key"], tmp_path / "s", config_dirs=outside)
    assert type(encoder).__name__ == "Conv" and encoder.feature_info.channels == (8,)
    with pytest.raises(AssetError, match='"conv:Conv" is in none of the folders'):
        api.load_encoder(one["key"], tmp_path / "s")
    (outside / "squares.py").write_text(DATASET.replace("rng.integers(0, 100", "rng.integers(0, 90"))
    cells = json.loads(bench("plan", *words, *place, *small, "preset.finetune.steps=30", "--json").stdout)
    states = {cell["task"]: cell["state"] for cell in cells["cells"] if cell["method"] == "scratch"}
    assert states == {"silhouette@squares": "missing", "silhouette": "done"}  # its code is in the key


def test_code_that_ends_the_process_that_imports_it_is_one_line(
    bench: Bench, outside: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    (outside / "silhouette.py").write_text(f"import os\nos._exit(5)\n{TASK}")
    words = ("--methods", "scratch", "--tasks", "silhouette", "--config-dir", str(outside))
    done = bench("run", *words, "--store", str(tmp_path / "s"), *small)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "an adapter was imported, and its process left" in done.stderr and "exit code 5" in done.stderr
