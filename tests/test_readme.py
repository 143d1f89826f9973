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


def tutorial() -> list[str]:
    """Return the commands that add a method in a folder of one's own."""
    text = (ROOT / "README.md").read_text().partition("## Add a method")[2]
    lines = text.partition("```bash\n")[2].partition("```")[0].splitlines()
    return [line for line in lines if line.startswith("bench ")]


def test_tutorial_gives_a_row(bench: Bench, small: tuple[str, ...], tmp_path: Path) -> None:
    assert [shlex.split(line)[1] for line in tutorial()] == ["new", "test-adapter", "run"]
    for line in tutorial():
        words = shlex.split(line)[1:] + (["--store", "store", *small] if " run " in line else [])
        done = bench(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
    assert "foo" in done.stdout and "2 of 2 cells done" in done.stdout


def test_ci_runs_the_gate() -> None:
    gate = next(c for c in commands() if c.startswith("bench check") and "--update" not in c)
    assert gate.replace("bench check", 'bench" check') in (ROOT / ".ci" / "run").read_text()
    assert gate in (ROOT / ".github" / "workflows" / "check.yml").read_text()


RUN_ELSEWHERE = ("bench check --baseline leaderboards/ci-baseline.json", *tutorial())
FILES = ("my-leaderboard", "people-sheets", "my-records.json", "my-baseline.json", "other-store")


@pytest.mark.parametrize("command", [c for c in commands() if bench_words(c) and c not in RUN_ELSEWHERE])
def test_command_runs(
    command: str, bench: Bench, finished: Path, grid: tuple[str, ...], small: tuple[str, ...], tmp_path: Path
) -> None:
    words = bench_words(command)
    assert words
    words = [str(tmp_path / w) if w in FILES else w for w in words]
    if words[0] in ("run", "plan", "status", "data", "check"):
        words += small
        if words[0] == "run" and "3x" in words:  # a grid of ninety cells: one seed, and fewer steps
            words[words.index("3x")] = "1x"
            words += ["preset.finetune.steps=2", "preset.finetune.evaluations=1"]
    if words[0] not in ("list",) and "--store" not in words:
        has_run = words[0] in ("leaderboard", "export", "check")
        words += ["--store", str(finished if has_run else tmp_path / "store")]
    if words[:2] in (["data", "verify"], ["data", "show"]):
        assert (
            bench("data", "build", "people", *words[words.index("people") + 1 :][-2:], *small).returncode == 0
        )
    if words[0] == "import" and not (ROOT / words[1]).is_file():  # else a record set of the project
        assert bench("export", words[1], "--store", str(finished)).returncode == 0
    done = bench(*words, timeout=900)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (done.stdout + done.stderr).strip()
