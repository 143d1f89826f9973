from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.cli.main import _interruptible, main
from bench.cli.options import UserPath


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["runn"], ["runn", "Did you mean", "run"]),
        (["run", "--fraction", "0.1"], ["--fraction", "Did you mean", "--fractions"]),
        (["run", "--jobs", "0"], ["--jobs", "0 is not in the range"]),
        (["show"], ["NAME"]),
        (["plan", "--methods", "hcmocoo"], ['unknown method "hcmocoo"', '"hcmoco"']),
        (["run", "--wait"], ["--wait", "belongs to --executor slurm"]),
        (
            ["run", "--methods", "mae_body", "--encoders", "resnet10_w24"],
            ["mae_body trains tokens", "--encoders"],
        ),
        (["plan", "--tasks", "densepose", "--shots", "4"], ["no cell of this grid", "use --fractions"]),
        (["plan", "--shots", ""], ["--shots", "is empty; leave it out"]),
        (["plan", "--fractions", " , "], ["--fractions", "is empty"]),
        (["data", "build", "hands", "--tasks", "densepose"], ["none of densepose reads hands"]),
        (["weights", ""], ["name a file of weights"]),
        (["plan", "--seeds", "1000000x"], ["--seeds: 1000000x asks for more than 1000 seeds"]),
    ],
)
def test_wrong_words_get_one_line_and_exit_code_2(words: list[str], parts: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("bench: ") and all(part in result.stderr for part in parts)


def test_ctrl_c_that_becomes_another_error_is_told_as_ctrl_c() -> None:
    """As numba does while it compiles."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), _interruptible():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RuntimeError("no compiled object yet") from None
        with pytest.raises(RuntimeError, match="of its own"), _interruptible():
            raise RuntimeError("of its own")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_help_and_version_end_well_and_no_command_shows_the_help() -> None:
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    shown = CliRunner().invoke(main, ["run", "-h"])
    assert shown.exit_code == 0 and "--fractions" in shown.stdout
    alone = CliRunner().invoke(main, [])
    assert alone.exit_code == 2 and "leaderboard" in alone.output


def parameters(command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield f"{command.name} {parameter.name}", parameter
    for inner in getattr(command, "commands", {}).values():
        yield from parameters(inner)


def test_the_home_of_the_user_is_understood_in_all_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves `--store=~/x` as it is."""
    names = ("store", "config_dirs", "out", "site", "baseline", "folder", "file", "sources")
    found = dict(parameters(main))
    paths = {name for name, p in found.items() if isinstance(p.type, UserPath)}
    assert {name.split()[1] for name in paths} == set(names)
    assert paths == {name for name, p in found.items() if p.name in names or isinstance(p.type, click.Path)}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert UserPath().convert("~/x", None, None) == str(tmp_path / "x")
    assert UserPath(path_type=Path).convert("~/x", None, None) == tmp_path / "x"
    assert UserPath().convert("", None, None) == ""  # not named
