"""Import adapters by the address in their YAML and build their typed configs."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, nearest


def load_adapter(address: str, config_dirs: Sequence[str] = ()) -> Any:
    """Import `module:Class`; modules in a `--config-dir` are found too.

    Raises:
        ConfigError: malformed address, no such module, one that ends the program, or no such class in it.
    """
    module_name, _, class_name = address.partition(":")
    if not class_name:
        raise ConfigError(f'adapter "{address}" is not of the form module:Class')
    for folder in config_dirs:
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(f'adapter "{address}": there is no module {error.name}') from error
        raise
    except SystemExit as error:
        raise ConfigError(
            f'adapter "{address}": {module_name} called sys.exit({error.code!r}) while it was imported; '
            'read the command line, and end the program, under `if __name__ == "__main__":` alone'
        ) from error
    if not hasattr(module, class_name):
        public = [n for n, v in vars(module).items() if isinstance(v, type)]
        close = nearest(class_name, public)
        raise ConfigError(f'adapter "{address}": {module_name} has no {class_name}.{close}')
    return getattr(module, class_name)


def source_file(address: str) -> Path | None:
    """Return the file of an imported adapter's module."""
    name = getattr(sys.modules.get(address.partition(":")[0]), "__file__", None)
    return Path(name) if name else None


def build_config(schema: type, values: Mapping[str, Any], where: str) -> Any:
    """Build a config dataclass from YAML values.

    Raises:
        ConfigError: unknown, missing or wrongly typed keys.
    """
    if not dataclasses.is_dataclass(schema):
        raise ConfigError(f"{where}: Config is not a dataclass")
    hints = typing.get_type_hints(schema)
    fields = {f.name: f for f in dataclasses.fields(schema)}
    for key in values:
        if key not in fields:
            raise ConfigError(f'{where}: unknown key "{key}".{nearest(key, fields)}')
    missing = [
        n
        for n, f in fields.items()
        if n not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    return schema(**{k: _coerce(v, hints[k], f"{where}.{k}") for k, v in values.items()})


def _coerce(value: Any, hint: Any, where: str) -> Any:
    """Check a value against its declared type; lists become tuples, whole numbers floats where declared."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if not isinstance(value, str | int | None) or value not in arguments:
            raise ConfigError(f'{where}: "{value}" is none of {", ".join(map(str, arguments))}')
        return value
    if origin in (types.UnionType, typing.Union):
        for option in arguments:
            if option is type(None) and value is None:
                return None
            try:
                return _coerce(value, option, where)
            except ConfigError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        inner = arguments[0] if arguments[-1:] == (...,) else None
        if inner is not None or len(arguments) == len(value):
            return tuple(_coerce(v, inner or arguments[i], where) for i, v in enumerate(value))
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif _is_of(value, origin or hint):
        return value
    raise ConfigError(f"{where}: {value!r} is not of type {getattr(hint, '__name__', hint)}")


def _is_of(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) and kind is int:
        return False
    return kind is Any or (isinstance(kind, type) and kind is not tuple and isinstance(value, kind))
