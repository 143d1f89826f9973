"""The committed baseline of CI against the code as it is, and against copies of it that were made worse."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BASELINE = ROOT / "leaderboards" / "ci-baseline.json"
PACKAGES = ("bench", "methods", "tasks", "configs", "leaderboards")
PLANTED = {  # in methods/hcmoco.py: a line that adds a loss term -> what stands there instead
    "sample": ('            terms["sample"] = cfg.weight_sample * loss\n', ""),
    "dense": ('terms["dense"], floors["dense"] = cfg.weight_dense * loss, cfg.weight_dense * floor', "pass"),
    "joint_rgb": ("            for m in self.dense_modalities:\n                values = joint_contrast",
                  '            for m in ("depth",):\n                values = joint_contrast'),
    "joint_depth": ("            for m in self.dense_modalities:\n                values = joint_contrast",
                    '            for m in ("rgb",):\n                values = joint_contrast'),
    "structure": ('terms["structure"], floors["structure"] = cfg.weight_sparse * loss, '
                  "cfg.weight_sparse * floor", "pass"),
}  # fmt: skip


def check(tree: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ("check", "--baseline", str(BASELINE), "--throughput-ratio", "0")
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *words],
        env={**environment, "PYTHONPATH": str(tree)}, cwd=tree,
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("term", PLANTED)
def test_a_loss_term_that_is_removed_is_noticed(
    term: str, environment: dict[str, str], tmp_path: Path
) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "methods" / "hcmoco.py"
    old, new = PLANTED[term]
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    done = check(tmp_path, environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{term} | " in done.stdout and "**vanished**" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("run", range(5))
def test_an_unchanged_tree_passes(run: int, environment: dict[str, str]) -> None:
    threads = {"OMP_NUM_THREADS": str(1 + run % 2)}
    done = check(ROOT, {**environment, **threads, "PYTHONHASHSEED": str(run)})
    assert done.returncode == 0, done.stdout + done.stderr
