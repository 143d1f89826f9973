"""`bench new` and `bench test-adapter`, in a checkout of the project and in a folder of one's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("bench", "methods", "tasks", "configs", "leaderboards")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inside(environment: dict[str, str], tmp_path: Path) -> Run:
    """A command in a folder; with `checkout` as the root of a copy of the project."""

    def run(folder: Path, *words: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
        folder.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env={**environment, "PYTHONPATH": str(root)},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return run


BENCH = ("-m", "bench.cli")


def test_a_skeleton_in_ones_own_folder_is_found_from_there(inside: Run, tmp_path: Path) -> None:
    """That it passes the contract and gives a row is seen by the test of the README."""
    here = tmp_path / "mine"
    made = inside(here, *BENCH, "new", "method", "foo")
    assert made.returncode == 0, made.stderr
    assert sorted(p.relative_to(here).as_posix() for p in here.rglob("*.*") if p.is_file()) == [
        "foo.py", "method/foo.yaml", "test_foo.py",
    ]  # fmt: skip
    assert "bench run --methods foo,scratch --tasks densepose" in made.stdout
    assert "foo" in inside(here, *BENCH, "list", "methods").stdout
    assert "foo" not in inside(tmp_path, *BENCH, "list", "methods").stdout
    again = inside(here, *BENCH, "new", "method", "foo")
    assert again.returncode == 2 and "registered already" in again.stderr


def test_skeletons_in_a_checkout_are_found_there_and_pass_lint(inside: Run, tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    kinds = (("method", "turn_it"), ("task", "cut_out"), ("dataset", "blocks"), ("encoder", "halves"))
    for kind, name in kinds:
        made = inside(copy, *BENCH, "new", kind, name, root=copy)
        assert made.returncode == 0, made.stderr
        home = f"bench/{kind}s" if kind in ("dataset", "encoder") else f"{kind}s"
        files = (f"{home}/{name}.py", f"configs/{kind}/{name}.yaml", f"tests/{home}/test_{name}.py")
        assert all((copy / file).is_file() for file in files)
        listed = inside(copy, *BENCH, "list", f"{kind}s", root=copy)
        assert name in listed.stdout
    for tool in (("ruff", "check", "."), ("ruff", "format", "--check", ".")):
        done = inside(copy, "-m", *tool, root=copy)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "method", "Foo"), "names are lower-case letters"),
        (("new", "method", "../x"), "names are lower-case letters"),
        (("new", "method", "x" * 41), "at most 40 characters"),
        (("new", "method", "class"), "no word of Python"),
        (("new", "method", "hcmoco"), "is registered already"),
        (("new", "task", "json"), "there is a Python module of that name"),
        (("new", "method", "torch"), "there is a Python module of that name"),
        (("new", "thing", "x"), "'thing' is not one of"),
        (("test-adapter", "hcmocco"), 'Did you mean "hcmoco"'),
        (("test-adapter", "cmc", "--kind", "task"), 'no task is named "cmc"'),
    ],
)
def test_wrong_words_are_one_line_and_write_nothing(
    words: tuple[str, ...], said: str, inside: Run, tmp_path: Path
) -> None:
    done = inside(tmp_path / "empty", *BENCH, *words)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list((tmp_path / "empty").iterdir())


def test_nothing_is_overwritten_and_a_broken_adapter_fails(inside: Run, tmp_path: Path) -> None:
    here = tmp_path / "mine"
    here.mkdir()
    (here / "test_bar.py").write_text("mine")
    made = inside(tmp_path, *BENCH, "new", "task", "bar", "--dir", "mine")
    assert made.returncode == 2 and "is there already" in made.stderr
    assert [p.name for p in here.iterdir()] == ["test_bar.py"]
    (here / "test_bar.py").unlink()
    assert inside(tmp_path, *BENCH, "new", "task", "bar", "--dir", "mine").returncode == 0
    code = (here / "bar.py").read_text()
    (here / "bar.py").write_text(code.replace('"mask": truth["mask"]}', '"mask": ~truth["mask"]}'))
    done = inside(tmp_path, *BENCH, "test-adapter", "bar", "--config-dir", "mine")
    assert done.returncode == 1 and "failed" in done.stdout and "perfect predictions score" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
