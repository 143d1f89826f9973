"""Source files of adapters, read without importing them: where they lie, and what their code says.

An adapter outside the project is known by the file in its own folder, where its YAML's group lies, and by a
digest of what that file and the files it imports from there say; comments, docstrings, layout do not count.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import ConfigError
from bench.files import canonical, sha256_text

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("bench", "methods", "tasks")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the modules of an adapter lie."""

    folder: Path
    prefix: str = ""  # only modules whose names begin like this belong to it, e.g. "their_package."

    def file(self, module: str) -> Path | None:
        """Return the file of a module; None where it is not one of this place."""
        if not f"{module}.".startswith(self.prefix):
            return None
        base = self.folder.joinpath(*module.split("."))
        paths = (base.with_name(f"{base.name}.py"), base / "__init__.py")
        return next((path for path in paths if path.is_file()), None)

    def below(self, package: str) -> list[str]:
        """Return the names of the files right in a package, any of which `from package import *` may mean."""
        found = self.folder.joinpath(*package.split(".")).glob("*.py")
        return [f"{package}.{path.stem}" for path in sorted(found) if path.name != "__init__.py"]

    def owns(self, module: str) -> bool:
        """Say whether an import of this name means a file or a folder of files of this place."""
        top = self.folder / module.partition(".")[0]
        return self.file(module.partition(".")[0]) is not None or (top.is_dir() and any(top.glob("*.py")))


def split(address: str) -> tuple[str, str]:
    """Return module and class of an address.

    Raises:
        ConfigError: it is malformed.
    """
    module, _, name = address.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ConfigError(f'adapter "{address}" is not of the form module:Class')
    return module, name


def is_shipped(address: str) -> bool:
    """Say whether an adapter is one of the project."""
    return address.partition(":")[0].partition(".")[0] in PROJECT


def place_of(address: str, folder: Path) -> Place:
    """Return where the module of an adapter lies: in the project, in a folder, or in an installed package.

    Args:
        address: `module:Class`.
        folder: of the adapter, in which its YAML's group lies.

    Raises:
        ConfigError: there is no such module, or the address is malformed.
    """
    module, _ = split(address)
    if is_shipped(address):
        place: Place | None = Place(ROOT, f"{module.rpartition('.')[0]}.")
    else:
        place = Place(folder) if Place(folder).file(module) else installed(module)
    if place is None or place.file(module) is None:
        raise ConfigError(f'adapter "{address}": there is no module {module} in {folder}, nor installed')
    return place


def installed(module: str) -> Place | None:
    """Return where a module of an installed package lies; the package is not imported."""
    top = module.partition(".")[0]
    found = importlib.util.find_spec(top)
    inner = list(found.submodule_search_locations or ()) if found else []
    origins = inner or ([found.origin] if found and found.origin else [])
    place = Place(Path(origins[0]).resolve().parent, f"{top}.") if origins else None
    return place if place and place.file(module) else None


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        ConfigError: it cannot be read or is not Python.
    """
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def digest(place: Place, module: str) -> str:
    """Return 16 hex digits of what a module and those it imports from its own place say."""
    texts: dict[str, str] = {}
    todo = [module]
    for name in todo:  # grows while it is walked
        path = place.file(name)
        if path is None or name in texts or (place.folder == ROOT and path.name == "__init__.py"):
            continue
        tree = parse(path)
        for other in _imported(tree, name if path.name == "__init__.py" else name.rpartition(".")[0]):
            todo += place.below(other.removesuffix(".*")) if other.endswith(".*") else [other]
        texts[name] = _said(tree)
    return sha256_text(canonical(texts))[:16]


def shipped_digest(addresses: Iterable[str]) -> str:
    """Return 16 hex digits of what adapters of the project say; others are told by their keys ("" = none)."""
    found = [digest(place_of(a, ROOT), split(a)[0]) for a in sorted(addresses) if is_shipped(a)]
    return sha256_text("".join(found))[:16] if found else ""


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names of modules that a tree may import, with the packages they are in; `a.*` = all of a's.

    Imports by call count where the name is written out: `import_module("helpers")`.
    """
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and (called := _called(node)):
            level = len(called) - len(called.lstrip("."))
            names = [".".join([*_above(package, level), called.lstrip(".")])]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*_above(package, node.level), *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
        for name in names:
            words = name.split(".")
            yield from (".".join(words[:n]) for n in range(1, len(words) + 1))


def _above(package: str, level: int) -> list[str]:
    """Return the words of the package that a relative import of some dots starts from."""
    words = package.split(".")
    return [word for word in words[: len(words) - level + 1] if word] if level else []


def _called(node: ast.Call) -> str:
    """Return the module that a call imports by a name that is written out; "" = none."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name not in ("import_module", "__import__") or not node.args:
        return ""
    first = node.args[0]
    text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    return text if text.replace(".", "").isidentifier() else ""


def _said(tree: ast.Module) -> str:
    """Return the code of a tree without docstrings, in one layout."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
