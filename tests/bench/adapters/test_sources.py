"""What the code of adapters says, and where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.adapters.sources import Place, digest, place_of, shipped_digest
from bench.errors import ConfigError

MAIN = '''"""Doc."""
import helpers
from deep.er import x


class A:
    def go(self):
        return helpers.y + x

    def late(self):
        import later
        from importlib import import_module

        return later, import_module("called"), import_module(".relative", __package__)
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "deep").mkdir()
    (tmp_path / "stars").mkdir()
    for name, text in (("a", MAIN), ("helpers", "y = 1\n"), ("deep/er", "from . import est\nx = 2\n"),
                       ("deep/est", "z = 3\n"), ("other", "1\n"), ("later", "from stars import *\n"),
                       ("called", "w = 1\n"), ("relative", "v = 1\n"),
                       ("stars/__init__", "__all__ = ['all_of_it']\n"), ("stars/all_of_it", "u = 1\n"),
                      ):  # fmt: skip
        (tmp_path / f"{name}.py").write_text(text)
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "moved"),
    [
        ("a.py", MAIN.replace("Doc", "Other words"), False),
        ("a.py", MAIN.replace("helpers.y + x", "(helpers.y\n            + x)  # the same"), False),
        ("a.py", MAIN.replace("helpers.y + x", "helpers.y - x"), True),
        ("helpers.py", "y = 2\n", True),
        ("helpers.py", "# one\ny = 1\n", False),
        ("deep/er.py", "from . import est\nx = 3\n", True),
        ("deep/est.py", "z = 4\n", True),
        ("deep/__init__.py", "import numpy\n", True),
        ("later.py", "from stars import *\nz = 1\n", True),
        ("stars/all_of_it.py", "u = 2\n", True),
        ("called.py", "w = 2\n", True),
        ("relative.py", "v = 2\n", True),
        ("other.py", "2\n", False),  # nobody imports it
    ],
)
def test_a_digest_follows_what_is_said_by_all_files_that_are_imported(
    place: Place, file: str, text: str, moved: bool
) -> None:
    before = digest(place, "a")
    (place.folder / file).write_text(text)
    assert (digest(place, "a") != before) == moved


def test_a_digest_does_not_depend_on_the_folder(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "copy"
    other.symlink_to(place.folder)
    assert digest(Place(other), "a") == digest(place, "a")


def test_places_are_the_folder_an_installed_package_or_the_project(
    place: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place_of("a:A", place.folder) == place
    assert place_of("methods.cmc:CMC", place.folder).prefix == "methods."
    base = tmp_path_factory.mktemp("site")
    (base / "their_package").mkdir()
    (base / "their_package" / "__init__.py").write_text("raise RuntimeError('is never imported')\n")
    (base / "their_package" / "a.py").write_text("import helpers\n")
    monkeypatch.syspath_prepend(base)
    found = place_of("their_package.a:A", place.folder)
    assert found == Place(base.resolve(), "their_package.") and found.file("helpers") is None
    for address, said in (("nothing.here:A", "there is no module nothing.here in"), ("a", "not of the form"),
                          ("a.b:", "not of the form"), ("../a:A", "not of the form")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            place_of(address, place.folder)


def test_a_file_that_is_not_python_is_one_line(place: Place) -> None:
    (place.folder / "helpers.py").write_text("x = 1\ndef (:\n")
    with pytest.raises(ConfigError, match=r"helpers\.py, line 2: ") as caught:
        digest(place, "a")
    assert "\n" not in str(caught.value)


def test_adapters_of_the_project_are_told_apart() -> None:
    one, other = shipped_digest(["methods.cmc:CMC"]), shipped_digest(["methods.mae_body:MAEBody"])
    assert one != other and len(one) == 16
    assert shipped_digest(["somewhere.else:X"]) == "" and shipped_digest(["methods.cmc:CMC", "x:X"]) == one
