"""A running SLURM, site files for it, and pretrainings that get into trouble."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
CLUSTER = [sys.executable, str(HERE / "cluster.py")]

Bench = Callable[..., subprocess.CompletedProcess[str]]

METHOD = '''
"""Regress the mean colour, slowly, or not to the end; how slowly is not part of a key."""

import os
import signal
import time
from dataclasses import dataclass

from torch import nn
from torch.nn import functional as F

from bench.api import Method, StepOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    weight: float = 1.0
    trouble: str = ""


class Colour(Method):
    Config = Config

    def __init__(self, cfg, encoders, data):
        super().__init__(cfg, encoders, data)
        self.cfg = cfg
        self.mapper = nn.Linear(encoders["rgb"].feature_info.pooled, 3)

    def training_step(self, batch, ctx):
        time.sleep(float(os.environ.get("STEP_S", "0")))
        if "GO" in os.environ and not os.path.exists(os.environ["GO"]):
            time.sleep(2)  # the slow are still to be running when the last has started
        if ctx.step >= 2 and not os.environ.get("MENDED"):
            if self.cfg.trouble == "fails":
                raise ValueError("this method fails at its third step")
            if self.cfg.trouble == "hungry":
                self.fat = [bytearray(os.urandom(2**20)) * 2500 for _ in range(2)]
                time.sleep(60)
            if self.cfg.trouble == "hangs":
                time.sleep(300)
            if self.cfg.trouble == "second fails" and ctx.world.rank == 1:
                raise ValueError("this method fails in its second process")
            if self.cfg.trouble == "second dies" and ctx.world.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        guess = self.mapper(self.encoders["rgb"](batch["rgb"]).pooled)
        return StepOutput(terms={"colour": self.cfg.weight * F.mse_loss(guess, batch["rgb"].mean((2, 3)))})
'''
TRAIN = {
    "optimizer": "adamw", "lr": 1e-3, "base_batch": 16, "momentum": 0.9, "weight_decay": 0.05,
    "betas": [0.9, 0.99], "schedule": "cos_warm_step", "warmup": 0.05, "clip": 1.0,
}  # fmt: skip
# what is special about each method: config, resources
METHODS = {
    "slow_a": ({"weight": 1.0}, {}),
    "slow_b": ({"weight": 2.0}, {}),
    "slow_c": ({"weight": 3.0}, {}),
    "fails": ({"trouble": "fails"}, {}),
    "hungry": ({"trouble": "hungry"}, {"mem": 2}),
    "endless": ({"trouble": "hangs", "weight": 1.0}, {"hours": 0.016}),
    "doomed": ({"trouble": "hangs", "weight": 2.0}, {}),
    "pair": ({"weight": 4.0}, {"nodes": 2}),
    "second_fails": ({"trouble": "second fails"}, {"nodes": 2}),
    "second_dies": ({"trouble": "second dies"}, {"nodes": 2}),
}


class Cluster:
    """A running SLURM, and what is known there about the jobs of a store."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def output(self, *words: str) -> str:
        """Run a program of SLURM."""
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout

    def jobs(self, store: Path) -> dict[str, str]:
        """The newest job of each submitted step, by key."""
        found: dict[str, str] = {}
        for path in sorted(store.glob("launches/*/arrays.jsonl")):
            for line in path.read_text().splitlines():
                array = json.loads(line)
                found |= dict(zip(array["keys"], array["jobs"], strict=True))
        return found

    def logs(self, store: Path, job: str) -> str:
        """What the processes of a job wrote to standard error."""
        return "".join(path.read_text() for path in sorted(store.glob(f"launches/*/{job}_*_log.err")))

    def cells(self, store: Path) -> dict[str, dict[str, str]]:
        """What `bench status` says in a new shell, by method."""
        shown = json.loads(self.bench("status", "--store", str(store), "--json").stdout)
        assert not shown["trouble"]
        return {row["method"]: row for row in shown["cells"]}

    def until(self, what: str, ready: Callable[[], object], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < limit, f"waited {seconds} s in vain for {what}"
            time.sleep(1)

    def until_over(self, store: Path, seconds: float) -> dict[str, dict[str, str]]:
        """Wait until no cell of a store waits or runs; return the cells."""
        alive = {"queued", "running"}
        self.until(
            "the end of all jobs",
            lambda: alive.isdisjoint(row["state"] for row in self.cells(store).values()),
            seconds,
        )
        return self.cells(store)


@pytest.fixture(scope="session")
def cluster(bench: Bench) -> Iterator[Cluster]:
    """A SLURM that runs; one that ran before is left running."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("cluster", HERE / "cluster.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if os.geteuid() or module.missing():
        pytest.skip(f"wants root and the packages {module.PACKAGES}")
    ran = subprocess.run(["squeue"], capture_output=True, check=False, timeout=60).returncode == 0
    subprocess.run([*CLUSTER, "start"], check=True, timeout=120)
    yield Cluster(bench)
    if not ran:
        subprocess.run([*CLUSTER, "stop"], check=True, timeout=120)


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the methods above, of one stage each."""
    root = tmp_path_factory.mktemp("adapters")
    (root / "method").mkdir()
    (root / "colour.py").write_text(METHOD)
    for name, (config, resources) in METHODS.items():
        stage = {
            "adapter": "colour:Colour", "version": 1, "budget_share": 1.0, "train": TRAIN,
            "augment": {"flip": True},
            "config": {"weight": 1.0, "trouble": "", **config},
        }  # fmt: skip
        body = {
            "summary": name, "paper": None, "encoders": {"rgb": "image"}, "gives": ["rgb"], "mix": "body",
            "encoder_kinds": ["pyramid"], "stages": {"colour": stage}, "resources": resources,
        }  # fmt: skip
        (root / "method" / f"{name}.yaml").write_text(yaml.safe_dump(body))
    return root


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Write a site file and return its path."""

    def write(**values: object) -> str:
        path = tmp_path_factory.mktemp("site") / "site.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


@pytest.fixture(scope="session")
def warm(bench: Bench, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rendered images of the small grid."""
    store = tmp_path_factory.mktemp("warm")
    done = bench(
        "data", "build", "people", "--tasks", "densepose", "--store", str(store), "--jobs", "2", *small
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def jobs(cluster: Cluster, bench: Bench) -> Iterator[Callable[[Path], Path]]:
    """Register stores whose jobs are cancelled at the end of the test."""
    stores: list[Path] = []

    def register(store: Path) -> Path:
        stores.append(store)
        return store

    yield register
    for store in stores:
        bench("cancel", "--store", str(store))
