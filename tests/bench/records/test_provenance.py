from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bench.files import canonical
from bench.records import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, taken for the project's."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path.resolve())
    provenance.revision.cache_clear()
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "a.py").write_text("a = 1\n")
    (tmp_path / "notes.txt").write_text("not a source")
    identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    return tmp_path


def revision() -> dict[str, str]:
    provenance.revision.cache_clear()
    found = provenance.revision()
    provenance.revision.cache_clear()
    return found


def test_revision_tells_clean_from_changed_sources(checkout: Path) -> None:
    clean = revision()
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"]) and clean["dirty_sha256"] == ""
    (checkout / "notes.txt").write_text("changed")
    assert revision() == clean  # cannot move a number
    seen = set()
    for path, text in (("bench/a.py", "a = 2\n"), ("bench/a.py", "a = 3\n"), ("bench/new.py", "")):
        (checkout / path).write_text(text)
        found = revision()
        assert found["commit"] == clean["commit"]
        seen.add(found["dirty_sha256"])
    assert len(seen) == 3 and "" not in seen


def test_version_and_sources_stand_in_for_the_commit_outside_a_checkout(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in (checkout / "bench", tmp_path_factory.mktemp("plain")):  # inside another repository; in none
        monkeypatch.setattr(provenance, "ROOT", root)
        (root / "methods").mkdir()
        (root / "methods" / "a.py").write_text("a = 1\n")
        first = revision()
        assert re.fullmatch(r"\d+\.\d+\.\d+\+[0-9a-f]{16}", first["commit"]) and first["dirty_sha256"] == ""
        (root / "methods" / "a.py").write_text("a = 2\n")
        assert revision()["commit"] != first["commit"]
    monkeypatch.setenv("PATH", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\+[0-9a-f]{16}", revision()["commit"])


def test_entry_names_versions_and_sources_but_no_paths(tmp_path: Path) -> None:
    one = provenance.provenance("cpu", ["methods.cmc:CMC", "own:Own"])
    two = provenance.provenance("cpu", ["methods.cmc:CMC", "bench.encoders.vit:ViT"])
    assert one["source_sha256"] != two["source_sha256"] and len(one["source_sha256"]) == 16
    assert provenance.provenance("cpu")["source_sha256"] == ""
    assert one["versions"]["torch"] and one["versions"]["numpy"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["created"])
    text = canonical(one)
    assert str(tmp_path) not in text and str(Path.home()) not in text


def test_the_processor_has_a_name() -> None:
    assert provenance.cpu_name().strip()
