"""Where a user's files lie; `bench data add` and `check` with an adapter of a folder of one's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import AssetError, DataError
from bench.grid import places

Bench = Callable[..., subprocess.CompletedProcess[str]]

ADAPTER = """
import hashlib
from dataclasses import dataclass

from bench.dataset import Dataset, Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    files: str = ""


class Notes(Dataset):
    Config = Config

    @classmethod
    def look_over(cls, root, progress=None):
        text = (root / "notes.txt").read_text()
        lines = text.splitlines()
        problems = tuple(f"line {i}: empty" for i, line in enumerate(lines, 1) if not line)
        counts = {"main": {"train": len(lines), "test": lines.count("test")}}
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return Found(digest=digest, counts=counts, text=f"{len(lines)} notes", problems=problems)
"""

YAML = """
summary: notes
adapter: notes:Notes
version: 1
files: true
config: {}
default: main
sources: {main: [train, test]}
splits: {train: train, val: "", test: test}
"""


def entry(root: str = "/data", digest: str = "0" * 16) -> places.Registered:
    return places.Registered(root=root, digest=digest, counts={"main": {"train": 3}})


def test_data_sets_are_known_by_name_and_by_what_was_planned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "sub" / "places.json"))
    with pytest.raises(AssetError, match="data set coco is not on this machine; run `bench data add coco"):
        places.registered("coco")
    assert places.add("coco", entry()) == tmp_path / "sub" / "places.json"
    places.add("other", entry(root="/elsewhere"))
    assert places.registered("coco") == entry() and places.registered("other").root == "/elsewhere"
    places.add("coco", entry(digest="1" * 16))  # other annotations
    assert places.registered("coco", "1" * 16) and len(places.all_registered()) == 2
    with pytest.raises(AssetError, match="coco was added anew with other annotations; run the command again"):
        places.registered("coco", "0" * 16)


def test_the_file_lies_among_the_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/settings")
    assert places.file() == Path("/settings/bodybench/data.json")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "3",
        '{"coco": 3}',
        '{"coco": {"root": "/x"}}',
        '{"coco": {"root": 1, "digest": 2, "counts": 3}}',
    ],
)
def test_a_damaged_file_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "places.json"
    path.write_text(text)
    monkeypatch.setenv(places.VARIABLE, str(path))
    for call in (lambda: places.registered("coco"), lambda: places.add("other", entry())):
        with pytest.raises(DataError, match=r"places\.json is damaged .*; remove it and add the data sets"):
            call()
    assert path.read_text() == text  # nothing is thrown away


def test_files_are_looked_over_registered_and_checked_again(bench: Bench, tmp_path: Path) -> None:
    mine, files, register = tmp_path / "mine", tmp_path / "files", tmp_path / "places.json"
    (mine / "dataset").mkdir(parents=True)
    (mine / "dataset" / "notes.yaml").write_text(YAML)
    (mine / "notes.py").write_text(ADAPTER)
    files.mkdir()
    (files / "notes.txt").write_text("one\n\ntest\n")

    def data(*words: str) -> subprocess.CompletedProcess[str]:
        return bench("data", *words, "--config-dir", str(mine), BENCH_PLACES=str(register))

    def one_line(done: subprocess.CompletedProcess[str], message: str) -> None:
        assert done.returncode == 2 and message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1

    one_line(
        data("check", "notes"), "data set notes is not on this machine; run `bench data add notes FOLDER`"
    )
    one_line(data("add", "notes", str(tmp_path / "no")), f"there is no folder {tmp_path / 'no'}")
    one_line(data("add", "notes", str(files)), "notes: line 2: empty")
    assert not register.exists()
    (files / "notes.txt").write_text("one\ntest\n")
    added = data("add", "notes", str(files))
    assert added.returncode == 0, added.stderr
    assert added.stdout.splitlines() == ["2 notes", f"notes is registered in {register}"]
    kept = json.loads(register.read_text())["notes"]
    assert kept["root"] == str(files) and kept["counts"] == {"main": {"train": 2, "test": 1}}
    checked = data("check", "notes")
    assert (checked.returncode, checked.stdout) == (0, "2 notes\n")
    (files / "notes.txt").write_text("one\ntest\ntest\n")
    changed = data("check", "notes")
    assert changed.returncode == 1 and "the annotations have changed; add it again" in changed.stdout
    one_line(data("add", "people", str(files)), "needs no files; `bench data build` makes it")
    one_line(data("add", "nots", str(files)), 'unknown dataset "nots". Did you mean "notes"?')
