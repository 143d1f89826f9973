"""The `Config` of an adapter, and constants of its class, without its module, which imports torch.

Of the module's file only the class and what it is made of are run: aliases, constants, functions, and imports
of modules that are light.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.adapters.sources import ROOT, Place, parse, split
from bench.errors import ConfigError, nearest

LIGHT = ("bench.errors", "bench.settings", "bench.weights.layout", "msgspec")
_VALUE = "value of a member"  # where it is kept; no name of a module
_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


class Unreadable(Exception):
    """A name cannot be had without importing something heavy."""


class _File:
    """A module's file, of which single names are run."""

    def __init__(self, place: Place, module: str, files: dict[tuple[Place, str], _File]) -> None:
        path = place.file(module)
        assert path is not None
        self.place, self.module, self.files = place, module, files  # files: of one reading, each once
        self.names: dict[str, _Definition] = {}
        self.values: dict[str, Any] = {"__name__": module}
        for node in _parsed(path, path.stat().st_mtime_ns).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.names[node.name] = node
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    self.names[alias.asname or alias.name.partition(".")[0]] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.names |= {target.id: node for target in targets if isinstance(target, ast.Name)}

    def other(self, place: Place, module: str) -> _File:
        """Return another file, the same one whoever asks, so that classes are the same, too."""
        if (place, module) not in self.files:
            self.files[place, module] = _File(place, module, self.files)
        return self.files[place, module]

    def value(self, name: str) -> Any:
        """Return what a name of the module stands for."""
        if name not in self.values:
            node = self.names.get(name)
            if node is None:
                raise Unreadable(name)
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.values[name] = self._imported(node, name)
            else:
                self._run(node)
        return self.values[name]

    def _run(self, node: ast.stmt) -> None:
        """Run a definition, and before it those of the module that it uses."""
        parts = list(ast.walk(node))
        used = {n.id for n in parts if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        bound = {n.id for n in parts if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        bound |= {n.name for n in parts if isinstance(n, ast.ExceptHandler) and n.name}
        local = (a for n in parts if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names)
        inner = {n.arg for n in parts if isinstance(n, ast.arg)}  # hide names of the module
        inner |= {a.asname or a.name.partition(".")[0] for a in local}
        for name in used - inner:
            if name in self.names and self.names[name] is not node:
                self.value(name)
            elif name not in (*bound, *self.names, *self.values) and not hasattr(builtins, name):
                raise Unreadable(name)
        tree = ast.Module([node], [])
        exec(compile(tree, self.module, "exec", dont_inherit=True), self.values)

    def _imported(self, node: ast.Import | ast.ImportFrom, name: str) -> Any:
        alias = next(a for a in node.names if (a.asname or a.name.partition(".")[0]) == name)
        if isinstance(node, ast.Import):
            _light(alias.name)
            return importlib.import_module(alias.name if alias.asname else name)
        module = node.module or ""
        if node.level:
            raise Unreadable(name)
        for place in (self.place, Place(ROOT)):
            if not _is_light(module) and place.file(module):
                return self.other(place, module).value(alias.name)
        _light(module)
        return getattr(importlib.import_module(module), alias.name)

    def member(self, name: str, wanted: str) -> Any:
        """Return what a class or its bases say under a name: a class, or the value of an assignment.

        Raises:
            ConfigError: there is no such class.
            Unreadable: it is made of something heavy, or nowhere to be found.
        """
        node = self.names.get(name)
        if node is None:
            close = nearest(name, self.names)
            raise ConfigError(f'adapter "{self.module}:{name}": {self.module} has no {name}.{close}')
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            alias = next(a for a in node.names if (a.asname or a.name) == name)
            for place in (self.place, Place(ROOT)):
                if place.file(node.module):
                    return self.other(place, node.module).member(alias.name, wanted)
        if not isinstance(node, ast.ClassDef):
            raise Unreadable(name)
        for part in node.body:
            if isinstance(part, ast.ClassDef) and part.name == wanted:
                self._run(part)
                return self.values[wanted]
            targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
            value = getattr(part, "value", None)
            if value and any(isinstance(target, ast.Name) and target.id == wanted for target in targets):
                kept: ast.expr = ast.copy_location(ast.Name(_VALUE, ast.Store()), value)
                self._run(ast.copy_location(ast.Assign([kept], value), value))
                return self.values[_VALUE]
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.names:
                return self.member(base.id, wanted)
        raise Unreadable(name)


@lru_cache(maxsize=256)
def _parsed(path: Path, changed_ns: int) -> ast.Module:
    return parse(path)


def _light(module: str) -> None:
    """Make sure that importing a module costs nothing."""
    if not _is_light(module):
        raise Unreadable(module)


def _is_light(module: str) -> bool:
    return module in LIGHT or module in sys.modules or module.partition(".")[0] in sys.stdlib_module_names


def config_class(address: str, place: Place) -> type | None:
    """Return the `Config` of an adapter; None where it cannot be had without importing something heavy.

    Raises:
        ConfigError: there is no such class, or the file is not Python.
    """
    found = constant(address, place, "Config")
    return found if isinstance(found, type) else None


def constant(address: str, place: Place, wanted: str) -> Any:
    """Return what an adapter's class says under a name, e.g. the `targets` of a task; None as above.

    Raises:
        ConfigError: as `config_class`.
    """
    module, name = split(address)
    try:
        return _File(place, module, {}).member(name, wanted)
    except ConfigError:
        raise
    except Exception:  # whatever code of others raises; the import before the first step says it in full
        return None
