from __future__ import annotations

from pathlib import Path

import pytest

from bench.doctor import examine


def line(report: str, name: str) -> str:
    (found,) = [text for text in report.splitlines() if text.split()[1] == name]
    return found


@pytest.mark.parametrize(("name", "variable"), [("cache", "BENCH_CACHE"), ("data", "BENCH_DATA")])
def test_a_folder_that_cannot_be_written_is_told_with_its_option(
    name: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "good"))
    text, _ = examine(tmp_path / "store")
    assert line(text, name).startswith("ok") and str(tmp_path / "good") in line(text, name)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "file" / "below"))
    text, healthy = examine(tmp_path / "store")
    assert not healthy
    assert line(text, name).startswith("BAD") and f"{variable}=DIR" in line(text, name)
    assert str(tmp_path / "file" / "below") in line(text, name)
