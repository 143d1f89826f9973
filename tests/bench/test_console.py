"""What the command line does with streams and folders that are not as usual."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.console import UNLIMITED, output_width, table_lines

ROOT = Path(__file__).resolve().parents[2]
BENCH = f"{sys.executable} -m bench.cli"
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line: str, cwd: Path = ROOT, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **extra}
    words = ["bash", "-o", "pipefail", "-c", line.replace("bench ", f"{BENCH} ", 1)]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        cwd=cwd,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("extra", [{"PYTHONIOENCODING": "ascii"}, PLAIN])
@pytest.mark.parametrize("command", ["list methods", "show cmc", "plan", "status", "run -h"])
def test_any_encoding_of_the_output_will_do(command: str, extra: dict[str, str], tmp_path: Path) -> None:
    name = "déjà" if extra is not PLAIN else "store"
    done = shell(
        f"bench {command} --store {tmp_path / name}" if command in ("plan", "status") else f"bench {command}",
        **extra,
    )
    assert done.returncode == (2 if command == "status" else 0), done.stderr
    assert "Traceback" not in done.stderr and done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("bench list methods 2>&-", 0, ""),
        ("bench list methods <&- 2>&-", 0, ""),
        ("bench list methods >&-", 0, ""),
        ("bench show nothing_of_that_name 2>&-", 2, ""),
        ("bench list methods | true", 141, ""),
        ("bench show cmc | head -1", 141, ""),
        ("bench -h | true", 1, ""),
        ("bench list methods --json 2>&1 | true", 141, ""),
        (
            "bench list methods > /dev/full",
            2,
            "bench: the output cannot be written (No space left on device)",
        ),
    ],
)
def test_closed_broken_and_full_streams_are_no_tracebacks(line: str, code: int, said: str) -> None:
    for _ in range(3):  # `head` may or may not have read all before it leaves
        done = shell(line)
        if code != 141 or done.returncode == code:
            break
    assert done.returncode == code or ("head" in line and done.returncode == 0), done.stderr
    assert said in done.stderr and (said or not done.stderr) and "Traceback" not in done.stderr


def test_a_file_does_not_get_the_messages_of_a_closed_stream(tmp_path: Path) -> None:
    """The first file that a program opens gets the number of a stream that is closed."""
    script = (
        "import os; from bench.console import open_streams, warn; open_streams(); "
        f"file = open({str(tmp_path / 'x')!r}, 'w'); assert file.fileno() > 2; "
        "warn('hello'); os.write(2, b'y')"
    )
    done = shell(f'{sys.executable} -c "{script}" 2>&- <&-')
    assert done.returncode == 0 and (tmp_path / "x").read_text() == ""


def test_a_deleted_working_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    for command in ("plan", "list methods", "status"):
        done = shell(
            f"rmdir {tmp_path / 'gone'} && bench {command}; e=$?; mkdir {tmp_path / 'gone'}; exit $e",
            tmp_path / "gone",
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("bench: the folder you are in does not exist any more")


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "store").mkdir()
    place, store = tmp_path / "file" / "x", tmp_path / "store"
    for command, option in (
        (f"check --baseline {place} --update --preset small", "--baseline"),
        (f"leaderboard --store {store} --out {place}", "--out"),
        (f"export {place} --store {store}", "FILE"),
        (f"data show people --out {place} --store {store}", "--out"),
        (f"data build people --store {place}", "--store"),
        (f"import {tmp_path / 'none'} --store {place}", "--store"),
        (f"run --store {place}", "--store"),
    ):
        begun = time.monotonic()
        done = shell(f"bench {command}")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, (command, done.stderr)
        assert done.stderr.startswith(f"bench: {option}: cannot write {place}")
        assert "in the way; choose another place" in done.stderr and "(--store" not in done.stderr
        assert time.monotonic() - begun < 30


def test_tables_are_as_wide_as_they_are_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["a" * 90, "[red]" + "b" * 90, 3]
    assert output_width() == UNLIMITED
    assert table_lines(("x", "long", "n"), [row])[1] == f"{row[0]}  {row[1]}  3"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = table_lines(("x", "long", "n"), [row])
    assert max(map(len, lines)) <= 80 and "".join(lines).count("b") == 90 and "".join(lines).count("a") == 90


def test_the_live_line_is_one_line_of_the_terminal() -> None:
    script = """
from bench.execute.progress import Progress
from bench.grid.plan import Plan, Step
from bench.records.store import Store
from pathlib import Path
progress = Progress(Plan(cells=(), steps=()), Store(Path("none")), 9)
steps = [Step("pretrain", {"name": "n" * 60, "encoder": {"name": "[bold]"}, "seed": i}) for i in range(3)]
progress.started(steps[0])
progress.tick(steps, 4)
progress.say("a line [bold] " + "w" * 100)
progress.ended(steps[0], "done")
progress.tick(steps, 3)
progress.close()
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", script], stderr=theirs, env=environment, check=True)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        text += part
        if not part:
            break
    os.close(ours)
    lines = [remove_codes(line) for line in text.decode().replace("\r", "\n").split("\n")]
    live = [line for line in lines if "queued" in line]
    assert live and all(len(line) <= 80 for line in live) and any("…" in line for line in live)
    assert any(line == "bench: a line [bold] " + "w" * 100 for line in lines)
    assert any("[1/9] done" in line for line in lines)


def remove_codes(line: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
