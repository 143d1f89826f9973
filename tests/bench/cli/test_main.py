from __future__ import annotations

import pytest
from click.testing import CliRunner

from bench.cli.main import main


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["runn"], ["runn", "Did you mean", "run"]),
        (["run", "--fraction", "0.1"], ["--fraction", "Did you mean", "--fractions"]),
        (["run", "--jobs", "0"], ["--jobs", "0 is not in the range"]),
        (["show"], ["NAME"]),
        (["plan", "--methods", "hcmocoo"], ['unknown method "hcmocoo"', '"hcmoco"']),
        (["run", "--wait"], ["--wait", "belongs to --executor slurm"]),
    ],
)
def test_wrong_words_get_one_line_and_exit_code_2(words: list[str], parts: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("bench: ") and all(part in result.stderr for part in parts)


def test_help_and_version_end_well_and_no_command_shows_the_help() -> None:
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0
    shown = CliRunner().invoke(main, ["run", "-h"])
    assert shown.exit_code == 0 and "--fractions" in shown.stdout
    alone = CliRunner().invoke(main, [])
    assert alone.exit_code == 2 and "leaderboard" in alone.output
