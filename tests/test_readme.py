"""Every command of the README runs, made small where it trains."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
Bench = Callable[..., subprocess.CompletedProcess[str]]


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`(bench data [^`]+)`", text)
    return [line for block in blocks for line in block.splitlines() if line] + inline


def bench_words(command: str) -> list[str] | None:
    """Return the words after `bench`, also where a command sets up an environment first."""
    last = command.rpartition("&&")[2].strip()
    words = shlex.split(last)
    return words[1:] if words and words[0].rpartition("/")[2] == "bench" else None


def test_set_up_is_two_lines_and_ci_uses_the_second() -> None:
    setups = [c for c in commands() if "venv" in c]
    assert len(setups) == 2
    install, test = (part.strip().partition(".venv/bin/")[2] for part in setups[1].split("&&")[1:])
    script = (ROOT / ".ci" / "run").read_text()
    assert install.replace("pip install", 'pip" install --quiet') in script
    assert test.replace("pytest", 'pytest"') in script


@pytest.mark.parametrize("command", [c for c in commands() if bench_words(c)])
def test_command_runs(
    command: str, bench: Bench, finished: Path, grid: tuple[str, ...], small: tuple[str, ...], tmp_path: Path
) -> None:
    words = bench_words(command)
    assert words
    words = [str(tmp_path / w) if w in ("my-leaderboard", "people-sheets", "ci-store") else w for w in words]
    if words[0] in ("run", "plan", "status", "data"):
        words += small
        if words[0] == "run" and "3x" in words:  # a grid of ninety cells: one seed, and fewer steps
            words[words.index("3x")] = "1x"
            words += ["preset.finetune.steps=2", "preset.finetune.evaluations=1"]
    if words[0] not in ("list",) and "--store" not in words:
        words += ["--store", str(finished if words[0] == "leaderboard" else tmp_path / "store")]
    if words[:2] in (["data", "verify"], ["data", "show"]):
        assert (
            bench("data", "build", "people", *words[words.index("people") + 1 :][-2:], *small).returncode == 0
        )
    done = bench(*words, timeout=900)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (done.stdout + done.stderr).strip()
