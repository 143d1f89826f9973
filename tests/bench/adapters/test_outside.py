"""Folders whose modules have the same names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.adapters.loading import load_adapter
from bench.adapters.sources import Place, digest
from bench.errors import AssetError, ConfigError

FOO = (
    "import helpers, lib.inner\nfrom lib import inner as again\n\n\nclass Foo:\n    name = helpers.NAME\n\n"
    "    def late(self):\n        import later\n\n        return later.NAME, lib.inner.NAME, again.NAME\n"
)


def folder(path: Path, name: str) -> Path:
    (path / "lib").mkdir(parents=True)
    (path / "foo.py").write_text(FOO)
    for module in ("helpers", "later", "lib/inner"):
        (path / f"{module}.py").write_text(f"NAME = {f'{name} {module}'!r}\n")
    return path.resolve()


def test_two_folders_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("NAME = 'on the path'\n")
    first, second = folder(tmp_path / "a", "a"), folder(tmp_path / "b", "b")
    path, dirs = list(sys.path), [str(first), str(second)]
    sources = [digest(Place(place), "foo") for place in (first, second)]
    assert sources[0] != sources[1]
    for order in (dirs, dirs[::-1]):
        for name, source in zip("ab", sources, strict=True):
            found = load_adapter("foo:Foo", order, source)
            assert found.name == f"{name} helpers"
            assert found().late() == (f"{name} later", f"{name} lib/inner", f"{name} lib/inner")
    assert sys.path == path and not {"foo", "helpers", "later", "lib"} & sys.modules.keys()


def test_edited_code_is_another_adapter(tmp_path: Path) -> None:
    place = folder(tmp_path / "a", "a")
    before = digest(Place(place), "foo")
    assert load_adapter("foo:Foo", [str(place)], before).name == "a helpers"
    time = (place / "helpers.py").stat()
    (place / "helpers.py").write_text("NAME = 'b helpers'\n")  # as long as before
    os.utime(place / "helpers.py", ns=(time.st_atime_ns, time.st_mtime_ns))
    with pytest.raises(AssetError, match=r'code of "foo:Foo" has changed since the grid was planned'):
        load_adapter("foo:Foo", [str(place)], before)
    assert load_adapter("foo:Foo", [str(place)], digest(Place(place), "foo")).name == "b helpers"


def test_modules_of_a_folder_go_before_others_of_that_name_but_do_not_hide_them(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("NAME = 'own'\n")
    (tmp_path / "foo.py").write_text("import json, csv\nfrom bench.errors import ConfigError as E\n")
    (tmp_path / "bar.py").write_text("import a_module_that_is_missing\n")
    found = load_adapter("foo:json", [str(tmp_path)])
    assert found.NAME == "own" and load_adapter("foo:E", [str(tmp_path)]) is ConfigError
    import json

    assert hasattr(json, "dumps")
    with pytest.raises(
        ModuleNotFoundError, match="a_module_that_is_missing"
    ):  # of the adapter, not of the user
        load_adapter("bar:B", [str(tmp_path)])
