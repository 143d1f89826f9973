"""Import modules of adapters from folders, each under a name of its own.

Two folders may each hold a `foo.py` and a `helpers.py`: the modules of a folder are those of a package named
after the folder's path, and what they import by bare name is looked for beside them first.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bench.adapters.sources import Place, digest
from bench.files import sha256_text

PREFIX = "bench_outside_"


def import_module(folder: Path, module: str, source: str) -> ModuleType:
    """Import a module of a folder, anew where its code has changed.

    Args:
        folder: whole path.
        module: its name there.
        source: digest of its code and of what it imports from the folder.
    """
    name = PREFIX + sha256_text(str(folder))[:12]
    known: dict[str, str] = getattr(sys.modules.get(name), "digests", {})
    if known.get(module, source) != source:
        for old in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            del sys.modules[old]
    if name not in sys.modules:
        package: Any = ModuleType(name)
        package.__path__ = [str(folder)]
        package.digests = {}
        sys.modules[name] = package
        importlib.invalidate_caches()
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    found = importlib.import_module(f"{name}.{module}")
    sys.modules[name].digests[module] = source
    return found


def source_of(kind: type) -> str:
    """Return the digest of the code that a class of a folder was imported from; "" = it is of no folder."""
    package, _, module = kind.__module__.partition(".")
    return str(sys.modules[package].digests[module]) if package.startswith(PREFIX) else ""


class _Finder(MetaPathFinder):
    """Finds modules of such packages, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module in which `import helpers` means the file beside it."""

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        place = Place(Path(sys.modules[package].__path__[0]))

        def own_import(
            name: str,
            globals: Mapping[str, Any] | None = None,
            locals: Mapping[str, Any] | None = None,
            fromlist: Sequence[str] = (),
            level: int = 0,
        ) -> ModuleType:
            if level or not place.owns(name):
                return builtins.__import__(name, globals, locals, fromlist, level)
            found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist, 0)
            return found if fromlist else sys.modules[f"{package}.{name.partition('.')[0]}"]

        name = module.__name__.partition(".")[2]
        vars(sys.modules[package])["digests"][name] = digest(place, name)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": own_import}
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file as it is: byte code of a file edited within a second counts as fresh."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)
