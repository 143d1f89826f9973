"""The `Config` of an adapter without its module, which imports torch.

Of the module's file only the class and what it is made of are run: aliases, constants, functions, and imports
of modules that are light.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from typing import Any

from bench.adapters.sources import ROOT, Place, parse, split
from bench.errors import ConfigError, nearest

LIGHT = ("bench.errors", "bench.settings", "bench.weights.layout", "msgspec")
_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


class Unreadable(Exception):
    """A name cannot be had without importing something heavy."""


class _File:
    """A module's file, of which single names are run."""

    def __init__(self, place: Place, module: str) -> None:
        path = place.file(module)
        assert path is not None
        self.place, self.module = place, module
        self.names: dict[str, _Definition] = {}
        self.values: dict[str, Any] = {"__name__": module}
        for node in parse(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.names[node.name] = node
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    self.names[alias.asname or alias.name.partition(".")[0]] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                self.names |= {target.id: node for target in targets if isinstance(target, ast.Name)}

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
                return _File(place, module).value(alias.name)
        _light(module)
        return getattr(importlib.import_module(module), alias.name)

    def config(self, name: str) -> Any:
        """Return the `Config` of a class.

        Raises:
            ConfigError: there is no such class.
            Unreadable: it is made of something heavy.
        """
        node = self.names.get(name)
        if node is None:
            close = nearest(name, self.names)
            raise ConfigError(f'adapter "{self.module}:{name}": {self.module} has no {name}.{close}')
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            alias = next(a for a in node.names if (a.asname or a.name) == name)
            for place in (self.place, Place(ROOT)):
                if place.file(node.module):
                    return _File(place, node.module).config(alias.name)
        if not isinstance(node, ast.ClassDef):
            raise Unreadable(name)
        for part in node.body:
            if isinstance(part, ast.ClassDef) and part.name == "Config":
                self._run(part)
                return self.values["Config"]
            target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
            if isinstance(target, ast.Name) and target.id == "Config":
                value = getattr(part, "value", None)
                if isinstance(value, ast.Name):
                    return self.value(value.id)
                raise Unreadable(name)  # not that of a base
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.names:
                return self.config(base.id)
        raise Unreadable(name)


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
    module, name = split(address)
    try:
        found = _File(place, module).config(name)
    except ConfigError:
        raise
    except Exception:  # whatever code of others raises; the import before the first step says it in full
        return None
    return found if isinstance(found, type) else None
